"""The FNO's layer and its pointwise networks, in plain torch.

Twin of `fno/cpu.py` and `fno/composed.py`. Here channels come first, every intermediate field is
stored, and the spectral convolution uses FFTs.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ..spectral_conv import reference as spectral_conv_reference


def pointwise(
    u: Float[Tensor, "b c *space"], W: Float[Tensor, "o c"], b: Float[Tensor, " o"]
) -> Float[Tensor, "b o *space"]:
    """W u(x) + b at every node."""
    v = torch.einsum("bc...,oc->bo...", u, W)
    return v + b.view(-1, *[1] * (u.ndim - 2))


def fourier_layer(
    u: Float[Tensor, "b c *space"],
    K: Float[Tensor, "*modes c two k"],
    M1: Float[Tensor, "m k"],
    m1: Float[Tensor, " m"],
    M2: Float[Tensor, "o m"],
    m2: Float[Tensor, " o"],
    W: Float[Tensor, "o c"],
    w: Float[Tensor, " o"],
) -> Float[Tensor, "b o *space"]:
    """M₂ gelu(M₁ K u + m₁) + m₂ + W u + w, K the spectral convolution with these weights."""
    h = F.gelu(pointwise(spectral_conv_reference.convolve(u, K), M1, m1))
    return pointwise(h, M2, m2) + pointwise(u, W, w)


def pointwise_mlp(
    u: Float[Tensor, "b c *space"],
    shape: Sequence[int],
    W1: Float[Tensor, "m c"],
    b1: Float[Tensor, " m"],
    W2: Float[Tensor, "o m"],
    b2: Float[Tensor, " o"],
) -> Float[Tensor, "b o *shape"]:
    """W₂ gelu(W₁ u(x) + b₁) + b₂, cropped or padded by zeros to `shape` per axis."""
    v = pointwise(F.gelu(pointwise(u, W1, b1)), W2, b2)
    for axis, n in enumerate(shape):
        v = v.narrow(axis + 2, 0, min(n, v.shape[axis + 2]))
        pad = [0, 0] * (len(shape) - 1 - axis) + [0, n - v.shape[axis + 2]]
        v = F.pad(v, pad)
    return v
