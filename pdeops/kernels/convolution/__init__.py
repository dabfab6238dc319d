"""The 3D convolution of a zero-padded field,

    v_o(x) = b_o + Σ_i Σ_k W_oi(k) u_i(s x + d k - p),

with stride s, dilation d and padding p per axis. torch hands a batch of fields to oneDNN but
computes a single small field with its own loops, which were measured to be 6 to 12 times slower
(16 channels on 16³ and 32³ cells). In that case `cpu.py` calls oneDNN itself.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ..forms import Forms
from ..runtime.memory import traced
from . import cpu, reference

FORMS = Forms(__name__, cpu="cpu")


def conv3d(
    u: Float[Tensor, "b i x y z"],
    weight: Float[Tensor, "o i_g kx ky kz"],
    bias: Float[Tensor, " o"] | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> Float[Tensor, "b o x_ y_ z_"]:
    """v for the field u; differentiable."""
    form = cpu if FORMS.serve(u) and _is_single_without_gradient(u) else reference
    return form.conv3d(u, weight, bias, stride, padding, dilation, groups)


def _is_single_without_gradient(u: Tensor) -> bool:
    """Whether u is one field that oneDNN supports but torch would not pass to it."""
    return (
        not traced()
        and u.ndim == 5
        and len(u) == 1
        and u.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and torch.backends.mkldnn.is_available()
    )
