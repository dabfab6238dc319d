"""The FNO's layer and its pointwise networks, composed of differentiable torch operations.

For GPUs, autocast, torch.compile and torch.func, and for derivatives of higher order. Channels are
the last axis.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..runtime.slabs import Slabs
from ..spectral_conv import convolve


def fourier_layer(
    u: Tensor,
    K: Tensor,
    M1: Tensor,
    m1: Tensor,
    M2: Tensor,
    W: Tensor,
    w: Tensor,
    activate: bool,
    shared: Slabs | None = None,
) -> Tensor:
    """Same as `fno.fourier_layer`; sums and coefficients are float32 under autocast."""
    with torch.autocast(u.device.type, enabled=False):
        h = convolve(u, K, (M1, m1), shared)
    z = F.linear(u, W, w) + F.linear(F.gelu(h), M2)
    return F.gelu(z) if activate else z


def pointwise_mlp(
    u: Tensor, W1: Tensor, b1: Tensor, W2: Tensor, b2: Tensor, shape: tuple[int, ...]
) -> Tensor:
    """Same as `fno.pointwise_mlp`."""
    u = cropped(u, shape)
    v = F.linear(F.gelu(F.linear(u, W1, b1)), W2, b2)
    missing = [N - n for N, n in zip(shape, u.shape[1:-1], strict=True)]
    if any(missing):
        v = F.pad(v, [0, 0, *(p for m in reversed(missing) for p in (0, m))])
    return v


def cropped(u: Tensor, shape: Sequence[int]) -> Tensor:
    """The nodes of u inside a grid of this shape."""
    for axis, n in enumerate(shape, 1):
        u = u.narrow(axis, 0, min(n, u.shape[axis]))
    return u
