"""-div(a grad u) + c u from couplings at the faces, in plain torch.

Twin of `diffusion/cpu.py`. Any device, dtype and dimension, leading batch axes, differentiable.

**Faces.** An axis with n unknowns has n + 1 faces; face i lies between the unknowns i - 1 and i,
and `faces[axis]` contains its coupling: the coefficient at the face over h², times the fraction of
the face that belongs to the cell of the node. Beyond the faces 0 and n the value of u is zero; at
an end without flux the coupling is zero. On a periodic axis 0 and n are the same face, between the
last unknown and the first.
"""

from collections.abc import Sequence
from functools import reduce

import torch
from jaxtyping import Float
from torch import Tensor

from .factors import Factors


def harmonic(a: Tensor, b: Tensor) -> Tensor:
    """2 a b / (a + b), without overflow; the flux is exact for a jump midway between nodes."""
    return 2 * a * (b / (a + b))


def outer(profiles: Sequence[Float[Tensor, " n"]]) -> Tensor:
    """The product of one profile per axis as a field."""
    return reduce(lambda a, b: a[..., None] * b, profiles)


def along(u: Tensor, axis: int, ndim: int, first: int, length: int) -> Tensor:
    """`length` entries of the axis from `first`; the last `ndim` axes are those of space."""
    return u.narrow(axis - ndim, first, length)


def beyond(u: Tensor, axis: int, ndim: int, periodic: bool) -> Tensor:
    """u with one more value at each end of the axis: zero, or if periodic the other end of u."""
    n = u.shape[axis - ndim]
    first, last = along(u, axis, ndim, 0, 1), along(u, axis, ndim, n - 1, 1)
    ends = (last, first) if periodic else (torch.zeros_like(first), torch.zeros_like(last))
    return torch.cat((ends[0], u, ends[1]), dim=axis - ndim)


def harmonic_faces(
    a: Float[Tensor, "*nodes"], factors: Factors, skipped: Sequence[int]
) -> Float[Tensor, "*faces"]:
    """The couplings through the faces of an axis from a at the nodes."""
    axis, ndim = factors.axis, a.ndim
    for other, s in enumerate(skipped):
        if s:
            a = along(a, other, ndim, s, a.shape[other] - 2 * s)
    n = a.shape[axis] - 1
    result = harmonic(along(a, axis, ndim, 0, n), along(a, axis, ndim, 1, n))
    # One factor at a time needs no field of factors.
    for b, factor in enumerate(factors.along):
        if factor is not None:
            result = result * factor.to(result)[(..., *(None,) * (ndim - 1 - b))]
    return result


def apply(
    u: Float[Tensor, "*batch_space"],
    faces: Sequence[Tensor],
    excess: Tensor | None,
    periodic: Sequence[bool],
) -> Float[Tensor, "*batch_space"]:
    """A u: the flux out of each cell, plus excess u."""
    ndim = len(faces)
    result = torch.zeros_like(u) if excess is None else excess * u
    for axis, c in enumerate(faces):
        flux = c * beyond(u, axis, ndim, periodic[axis]).diff(dim=axis - ndim)
        result = result - flux.diff(dim=axis - ndim)
    return result


def diagonal(faces: Sequence[Tensor], excess: Tensor | None) -> Float[Tensor, "*space"]:
    """The diagonal of A: the sum of the couplings at the faces of each node, plus its excess."""
    ndim = len(faces)
    total = 0.0 if excess is None else excess
    for axis, c in enumerate(faces):
        n = c.shape[axis - ndim] - 1
        total = total + along(c, axis, ndim, 0, n) + along(c, axis, ndim, 1, n)
    assert isinstance(total, Tensor)
    return total
