"""The layer of the Fourier neural operator and its pointwise networks; channels are the last axis.

A CPU computes them in tiles (`cpu.py`), with autograd Functions of their own. Other devices, and
transformations of single operations (autocast, torch.compile, torch.func), use `composed.py`. The
plain twin of both, with channels first and FFTs, is `reference.py`.
"""

from collections.abc import Sequence
from types import ModuleType

import torch
from jaxtyping import Float
from torch import Tensor

from ..forms import Forms
from ..runtime.slabs import Slabs
from ..spectral_conv import fft_is_faster
from . import composed, cpu

FORMS = Forms(__name__, otherwise="composed", cpu="cpu")


def fourier_layer(
    u: Float[Tensor, "b *space c"],
    K: Float[Tensor, "*modes c two k"],
    M1: Float[Tensor, "m k"],
    m1: Float[Tensor, " m"],
    M2: Float[Tensor, "o m"],
    W: Float[Tensor, "o c"],
    w: Float[Tensor, " o"],
    *,
    activate: bool,
    shared: Slabs | None = None,
) -> Float[Tensor, "b *space o"]:
    """M₂ gelu(M₁ K u + m₁) + W u + w, K the spectral convolution with these weights; with
    `activate` a gelu of the sum.

    Args:
        shared: the processes that share the field, of which u is the slab of this one.
    """
    if shared is not None:
        return composed.fourier_layer(u, K, M1, m1, M2, W, w, activate, shared)
    form = composed if fft_is_faster(u.shape[1:-1], K) else _form(u)
    return form.fourier_layer(u, K, M1, m1, M2, W, w, activate)


def pointwise_mlp(
    u: Float[Tensor, "b *space c"],
    shape: Sequence[int],
    W1: Float[Tensor, "m c"],
    b1: Float[Tensor, " m"],
    W2: Float[Tensor, "o m"],
    b2: Float[Tensor, " o"],
) -> Float[Tensor, "b *shape o"]:
    """W₂ gelu(W₁ u(x) + b₁) + b₂ at every node, cropped or padded by zeros to `shape`."""
    return _form(u).pointwise_mlp(u, W1, b1, W2, b2, tuple(shape))


def _form(u: Tensor) -> ModuleType:
    """The form for the device of u, or `composed` if single operations must be visible."""
    if (
        not FORMS.serve(u)
        or torch.compiler.is_compiling()
        or torch.is_autocast_enabled(u.device.type)
        or torch._C._are_functorch_transforms_active()
    ):
        return composed
    return cpu
