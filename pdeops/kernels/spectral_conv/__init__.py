"""Spectral convolution: a convolution given by one matrix per Fourier mode,

    v(x) = Σ_k W_k û_k exp(2πi k·x/L),    û_k = (1/N) Σ_x u(x) exp(-2πi k·x/L),  N nodes.

`reference.py`, the twin by FFT, defines which k are kept and how W_k is stored. The other forms
multiply by the truncated Fourier matrices (`functions.py`): `gpu.py` has Triton kernels that read
and write a field once, `cpu.py` matrix products that serve every device.
"""

import math
from collections.abc import Sequence

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ..forms import is_portable
from ..runtime.slabs import Slabs
from . import functions, reference, slabs
from .functions import FORMS, mix
from .matrices import constants

__all__ = ["FORMS", "analyse", "convolve", "fft_is_faster", "mix", "synthesise"]


def convolve(
    u: Float[Tensor, "b *space i"],
    weight: Float[Tensor, "*modes i two o"],
    pointwise: tuple[Float[Tensor, "p o"], Float[Tensor, " p"]] | None = None,
    shared: Slabs | None = None,
) -> Float[Tensor, "b *space p"]:
    """The spectral convolution of u in u's dtype; differentiable to any order.

    Weights are float64 for fields in float64, else float32; so are the sums.

    Args:
        pointwise: M and m; the result then is M v + m instead of v. The map is applied to the
            coefficients, which are fewer than the nodes.
        shared: the processes that share the field, of which u is the slab of this one.
    """
    if shared is not None:
        return slabs.convolve(u, weight, pointwise, shared)
    # Formats of exported programs lack FFTs.
    if is_portable() or not (FORMS.only_twin or fft_is_faster(u.shape[1:-1], weight)):
        return functions.convolve(u, weight, pointwise)
    wide = u.movedim(-1, 1).to(functions.coefficients_dtype(u))
    v = reference.convolve(wide, weight).movedim(1, -1)
    return (v if pointwise is None else F.linear(v, *pointwise)).to(u.dtype)


def fft_is_faster(shape: Sequence[int], weight: Float[Tensor, "*modes i two o"]) -> bool:
    """Whether the FFT beats products: only for many modes of long fields with one axis.

    Measured forward and backward, one thread, 16 channels, time of FFT over products: 4096 nodes
    with 64, 128, 512, 1024 modes 0.9, 0.5, 0.3, 0.3; 1024 with 64 modes 1.0. In more dimensions
    products always win: 512² with 64, 128, 256 modes 3.0, 1.3, 1.4; 64³ with 16, 32 modes 3.7, 1.8;
    128² with all modes 3.3; 32³ with all modes 4.4.
    """
    return len(shape) == 1 and shape[0] >= 1024 and weight.shape[0] > 33


def analyse(
    u: Float[Tensor, "b *space c"], n_modes: Sequence[int]
) -> Float[Tensor, "b two *modes c"]:
    """The Fourier coefficients û_k of the kept modes, as real pairs; 0 for modes that the grid does
    not resolve. Differentiable to any order."""
    shape, n_modes = tuple(u.shape[1:-1]), tuple(n_modes)
    A, _ = constants(shape, n_modes, functions.coefficients_dtype(u), u.device)
    u_hat = functions.transform(u, A) / math.prod(shape)
    margins = reference.margins(shape, n_modes)
    pad = [p for before, _, after in reversed(margins) for p in (before, after)]
    return F.pad(u_hat, [0, 0, *pad]) if any(pad) else u_hat


def synthesise(
    v_hat: Float[Tensor, "b two *modes c"], n_modes: Sequence[int], shape: Sequence[int]
) -> Float[Tensor, "b *space c"]:
    """Σ_k v̂_k exp(2πi k·x/L) over the kept modes that a grid of this shape resolves; `convolve` is
    analyse, one matrix per mode, synthesise. Differentiable to any order."""
    shape, n_modes = tuple(shape), tuple(n_modes)
    A, c = constants(shape, n_modes, v_hat.dtype, v_hat.device)
    v_hat = reference.narrowed(v_hat, 2, shape, n_modes)
    c = (c * math.prod(shape)).view(*v_hat.shape[2:-1], 1)
    return functions.invert(v_hat * c, A, False, v_hat.dtype)
