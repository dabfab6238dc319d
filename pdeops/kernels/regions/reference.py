"""Removal of means over regions in plain torch: twin of `regions/cpu.py`.

Any device, dtype and dimension, leading batch axes, differentiable. `labels` (*space) and `weights`
(regions + 1) are those of `regions.Projection`.
"""

import torch
from torch import Tensor


def means(u: Tensor, labels: Tensor, weights: Tensor, w: Tensor | None = None) -> Tensor:
    """Σ w u / Σ w over each floating region, as a field; 0 elsewhere. w is 1 if not given."""
    region = labels.clamp(min=0).flatten().to(u.device)
    flat = (u if w is None else u * w.to(u)).flatten(-labels.ndim)
    factors = weights.to(u)
    if w is not None:
        totals = factors.new_zeros(len(factors)).index_add(0, region, w.to(u).flatten())
        factors = torch.where(factors > 0, 1 / totals, 0)
    sums = flat.new_zeros(*flat.shape[:-1], len(factors)).index_add(-1, region, flat)
    return (sums * factors)[..., region].reshape(u.shape)


def project(u: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """u minus its mean over each floating region; 0 at solid nodes."""
    return torch.where(labels.to(u.device) >= 0, u - means(u, labels, weights), 0)
