"""Finite volumes around the nodes of a grid: cell fractions, and couplings through the faces."""

from functools import lru_cache

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...domain import Boundary, Grid, Placement
from ...kernels.diffusion import Factors, harmonic_faces
from ...kernels.diffusion.reference import along, beyond, outer


def known_ends(grid: Grid) -> list[bool]:
    """Per axis, whether its end nodes are stored with known values and are not unknowns."""
    return [
        b is Boundary.DIRICHLET and p is Placement.ENDPOINTS
        for b, p in zip(grid.boundary, grid.placement, strict=True)
    ]


def cell_fractions(grid: Grid) -> list[Float[Tensor, " n"]]:
    """Per axis, the fraction of a whole cell that belongs to each unknown: 1, or ½ at a stored
    end."""
    result = []
    for n, p in zip(grid.shape, grid.placement, strict=True):
        s = torch.ones(n, dtype=torch.float64)
        if p is Placement.ENDPOINTS:
            s[[0, -1]] = 0.5
        result.append(s)
    return result


def couplings(grid: Grid) -> list[Float[Tensor, " faces"]]:
    """Per axis, 1/h² at its n + 1 faces, modified at the ends: 0 for no flux, 2/h² if u is zero
    half a cell beyond the outermost node."""
    result = []
    for n, b, p, h in zip(grid.shape, grid.boundary, grid.placement, grid.spacing, strict=True):
        t = torch.full((n + 1,), 1 / h**2, dtype=torch.float64)
        if b is Boundary.NEUMANN or (b is Boundary.PERIODIC and n == 1):
            t[[0, -1]] = 0
        elif b is Boundary.DIRICHLET and p is Placement.CENTERS:
            t[[0, -1]] *= 2
        result.append(t)
    return result


def constant_faces(grid: Grid, axis: int) -> Float[Tensor, "*faces"]:
    """The couplings through the faces of an axis for a = 1."""
    t, s = couplings(grid), cell_fractions(grid)
    return outer([t[a] if a == axis else s[a] for a in range(grid.ndim)])


@lru_cache(maxsize=64)
def _factors(inner: Grid, axis: int) -> Factors:
    """The factors of the faces of an axis; cached for small solves."""
    t, s = couplings(inner), cell_fractions(inner)
    return Factors(
        axis,
        tuple(n + (a == axis) for a, n in enumerate(inner.shape)),
        [t[a] if a == axis else s[a] if (s[a] != 1).any() else None for a in range(inner.ndim)],
    )


def variable_faces(
    coefficient: Float[Tensor, "*nodes"],
    grid: Grid,
    fluid: Bool[Tensor, "*nodes"] | None,
    axis: int,
) -> Float[Tensor, "*faces"]:
    """The couplings through the faces of an axis for a at all nodes, known ends included."""
    known = known_ends(grid)
    if known[axis]:  # the ends of the axis are nodes: no copy is made
        a, skipped = coefficient, [int(k and b != axis) for b, k in enumerate(known)]
    else:
        a, skipped = _between(coefficient, grid, axis), [0] * grid.ndim
    result = harmonic_faces(a, _factors(grid.interior, axis), skipped)
    if fluid is not None:
        wet, n = _between(fluid, grid, axis), result.shape[axis]
        result = result * (
            along(wet, axis, grid.ndim, 0, n) & along(wet, axis, grid.ndim, 1, n)
        ).to(result)
    return result


def _between(u: Tensor, grid: Grid, axis: int) -> Tensor:
    """Values at the unknowns along all other axes, and at n + 2 nodes along `axis`: beyond an end
    the known value, the opposite end (periodic), or the end value again."""
    known = known_ends(grid)
    for other in range(grid.ndim):
        if other != axis and known[other]:
            u = along(u, other, grid.ndim, 1, grid.shape[other] - 2)
    if known[axis]:
        return u
    if grid.boundary[axis] is Boundary.PERIODIC:
        return beyond(u, axis, grid.ndim, periodic=True)
    n = u.shape[axis]
    ends = (along(u, axis, grid.ndim, 0, 1), along(u, axis, grid.ndim, n - 1, 1))
    return torch.cat((ends[0], u, ends[1]), dim=axis)
