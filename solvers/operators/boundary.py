"""Fields at all nodes of a boundary problem, and at its unknowns: the nodes of `grid.interior`."""

import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor

from ...domain import Boundary, Grid, Placement


def without_boundary(u: Shaped[Tensor, "*space"], grid: Grid) -> Shaped[Tensor, "*interior"]:
    """A field on `grid` at the unknowns: stored Dirichlet ends are left out, all else is kept."""
    grid.check(u, "field at all nodes")
    for axis, (w, n) in enumerate(_known(grid)):
        u = u.narrow(axis - grid.ndim, w, n - 2 * w)
    return u.contiguous()


def with_boundary(u: Float[Tensor, "*interior"], grid: Grid) -> Float[Tensor, "*space"]:
    """A field on `grid.interior` with its zero Dirichlet values around it."""
    # F.pad takes (left, right) of the last axis first.
    return F.pad(u, [width for w, _ in reversed(_known(grid)) for width in (w, w)])


def _known(grid: Grid) -> list[tuple[int, int]]:
    """Per axis, how many nodes at each end are known to be zero, and how many there are."""
    return [
        (int(b is Boundary.DIRICHLET and p is Placement.ENDPOINTS), n)
        for b, p, n in zip(grid.boundary, grid.placement, grid.shape, strict=True)
    ]
