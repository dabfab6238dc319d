"""The spectral convolution of a field that several processes share as slabs (`runtime/slabs.py`).

All axes but the first are transformed in place and truncated to the kept modes. The first axis is
then transformed in one of two orders, and only kept modes are sent:

    transpose, then transform   all rows of a part of the modes: b · X/P · K · c complex numbers
    transform, then add         sums over the rows of all slabs: b · k₀ · K · c complex numbers

per process, of which the part 1 - 1/P leaves it; X rows on P processes, k₀ modes of the first axis
and K of all others. The smaller is chosen. Each process multiplies its part of the K modes by their
matrices W_k. The way back is the transpose of these steps.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ..runtime.slabs import Slabs
from .cpu import channels_first_in_memory
from .functions import coefficients_dtype, invert, mix, transform
from .matrices import constants, mode_zero, modes_of
from .reference import weights_of_kept_modes

# Axes: b batch, x rows of this process, X rows of all, k modes of all axes but the first, m those
# of this process, r real and imaginary part, i and o channels in and out.


def convolve(
    u: Float[Tensor, "b x *space i"],
    weight: Float[Tensor, "*modes i two o"],
    pointwise: tuple[Float[Tensor, "p o"], Float[Tensor, " p"]] | None,
    slabs: Slabs,
) -> Float[Tensor, "b x *space p"]:
    """Same as `spectral_conv.convolve`, for this process's slab of the field.

    Raises:
        ValueError: the field has one axis of space only.
    """
    b, x, *others, _ = u.shape
    if not others:
        raise ValueError(
            "Processes share fields of two or more axes of space; got one. Use training.slabs = 1."
        )
    shape, n_modes = (x * slabs.size, *others), modes_of(weight)
    (A0, *A), c = constants(shape, n_modes, coefficients_dtype(u), u.device)
    h = transform(u.flatten(0, 1), tuple(A))
    modes = h.shape[2:-1]
    mine = slabs.modes(math.prod(modes))[slabs.rank]
    u_hat = _analysis(h.flatten(2, -2).unflatten(0, (b, x)), A0, slabs)
    W = weights_of_kept_modes(weight, shape).flatten(1, -4)[:, mine]
    c = c.view(-1, math.prod(modes))[:, mine].flatten()
    v_hat = mix(u_hat.flatten(2, 3), W.flatten(0, 1), c).unflatten(2, W.shape[:2])
    if pointwise is not None:
        M, m = pointwise
        v_hat = F.linear(v_hat, M)
        k0, k = divmod(mode_zero(shape, weight), math.prod(modes))
        place = range(mine.start, mine.stop)
        at = slice(place.index(k), place.index(k) + 1) if k in place else slice(0)
        v_hat[:, 0, k0, at] += m  # also of no mode: every process then has a gradient of m
    h = _synthesis(v_hat, A0, math.prod(modes), slabs)
    h = h.flatten(0, 1).unflatten(2, modes)
    v = invert(h, tuple(A), channels_first_in_memory(u), u.dtype)
    return v.unflatten(0, (b, x))


def sums_are_shorter(A0: Tensor, num_processes: int) -> bool:
    """Whether the k₀ modes of the first axis are fewer than the rows of a process."""
    return A0.shape[0] <= A0.shape[1] // num_processes


def _analysis(
    h: Float[Tensor, "b x r k i"], A0: Float[Tensor, "rk0 Xr"], slabs: Slabs
) -> Float[Tensor, "b r k0 m i"]:
    """The coefficients of this process's modes."""
    if sums_are_shorter(A0, slabs.size):
        partial = _along_first_axis(_columns(A0, slabs), h.flatten(1, 2))
        u_hat = slabs.to_modes(partial[:, None]).sum(1)
    else:
        u_hat = _along_first_axis(A0, slabs.to_modes(h).flatten(1, 2))
    return u_hat.unflatten(1, (2, -1))


def _synthesis(
    v_hat: Float[Tensor, "b r k0 m o"],
    A0: Float[Tensor, "rk0 Xr"],
    num_modes: int,
    slabs: Slabs,
) -> Float[Tensor, "b x r k o"]:
    """The transpose of `_analysis`."""
    v_hat = v_hat.flatten(1, 2)
    if sums_are_shorter(A0, slabs.size):
        copies = v_hat[:, None].expand(-1, slabs.size, *v_hat.shape[1:])
        v_hat = slabs.to_rows(copies, num_modes)[:, 0]
        return _along_first_axis(_columns(A0, slabs).t(), v_hat).unflatten(1, (-1, 2))
    h = _along_first_axis(A0.t(), v_hat).unflatten(1, (-1, 2))
    return slabs.to_rows(h, num_modes)


def _columns(A0: Tensor, slabs: Slabs) -> Tensor:
    """The columns of A0 of this process's rows."""
    return A0.chunk(slabs.size, 1)[slabs.rank]


def _along_first_axis(matrix: Tensor, h: Float[Tensor, "b n k c"]) -> Float[Tensor, "b n_out k c"]:
    return torch.matmul(matrix, h.flatten(2)).unflatten(2, h.shape[2:])
