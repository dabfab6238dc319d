"""Restriction of fields to the unknowns, the nodes of `grid.interior`, and extension by zero."""

import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor

from ...domain import Boundary, Grid, Placement


def without_boundary(u: Shaped[Tensor, "*space"], grid: Grid) -> Shaped[Tensor, "*interior"]:
    """A field on `grid` without its stored Dirichlet ends."""
    grid.check(u, "field at all nodes")
    for axis, (w, n) in enumerate(_known(grid)):
        u = u.narrow(axis - grid.ndim, w, n - 2 * w)
    return u.contiguous()


def with_boundary(u: Float[Tensor, "*interior"], grid: Grid) -> Float[Tensor, "*space"]:
    """A field on `grid.interior` extended by its zero Dirichlet values."""
    # F.pad takes (left, right) of the last axis first.
    return F.pad(u, [width for w, _ in reversed(_known(grid)) for width in (w, w)])


def _known(grid: Grid) -> list[tuple[int, int]]:
    """Per axis, the number of nodes at each end that are known to be zero, and of all nodes."""
    return [
        (int(b is Boundary.DIRICHLET and p is Placement.ENDPOINTS), n)
        for b, p, n in zip(grid.boundary, grid.placement, grid.shape, strict=True)
    ]
