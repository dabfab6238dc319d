"""Interpolation between two grids of one box by piecewise polynomials along each axis."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from ..domain import Boundary, Grid, check_kind

_ADVICE = "On a sphere use calculus_of(sphere).resample."


def interpolation_matrix(
    source: Grid, target: Grid, axis: int, *, points: int
) -> Float[Tensor, "n_target n_source"]:
    """W: (W u)_i is the value at target node i of the polynomial through `points` source nodes.

    W is exact at common nodes (injection) and for polynomials of degree points − 1; for smooth u
    the error is O(h^points). Periodic axes wrap; at other ends the stencil is one-sided. float64.
    """
    n = source.shape[axis]
    periodic = source.boundary[axis] is Boundary.PERIODIC
    points = min(points, n)
    # Target nodes in units of the source spacing, rounded to an integer where nodes coincide.
    t = (target.axis(axis) - source.axis(axis)[0]) / source.spacing[axis]
    t = torch.where((t - t.round()).abs() < 1e-9, t.round(), t)
    first = torch.floor(t - (points - 2) / 2)
    if not periodic:
        first = first.clamp(0, n - points)
    nodes = first[:, None] + torch.arange(points, dtype=torch.float64)
    weights = torch.ones_like(nodes)
    for j in range(points):
        for k in range(points):
            if k != j:
                weights[:, j] *= (t - nodes[:, k]) / (j - k)
    columns = nodes.long() % n
    return torch.zeros(len(t), n, dtype=torch.float64).scatter_add_(1, columns, weights)


def interpolate(
    u: Float[Tensor, "b c *source"], source: Grid, target: Grid, *, points: int
) -> Float[Tensor, "b c *target"]:
    """u on the nodes of `target`: multilinear for points = 2, cubic for points = 4.

    The sums are taken in float32 or float64: in bfloat16 round-off would exceed the interpolation
    error.

    Raises:
        ValueError: a domain is not a box, the grids cover different boxes, or u is not a field on
            `source`.
    """
    for domain in (source, target):
        check_kind(domain, (Grid,), "Interpolation by polynomials along the axes", _ADVICE)
    if (source.extent, source.boundary) != (target.extent, target.boundary):
        raise ValueError(
            f"Interpolation needs two grids of one box; got extents {source.extent} and "
            f"{target.extent}, boundaries {source.boundary} and {target.boundary}. Make the second "
            f"with grid.with_shape(shape)."
        )
    source.check(u)
    dtype = u.dtype
    with torch.autocast(u.device.type, enabled=False):
        u = u.to(torch.promote_types(dtype, torch.float32))
        for axis in range(source.ndim):
            W = interpolation_matrix(source, target, axis, points=points).to(u)
            u = (u.movedim(axis + 2, -1) @ W.T).movedim(-1, axis + 2)
    return u.to(dtype)


def through_grid(
    network: Callable[[Tensor], Tensor], x: Float[Tensor, "b c *space"], grid: Grid
) -> Float[Tensor, "b c_out *space"]:
    """network(x) for a network on `grid`: a field x on another grid of the box is interpolated
    linearly to `grid`, and the output by cubics to the grid of x."""
    if x.shape[2:] == grid.shape:
        return network(x)
    given = grid.with_shape(x.shape[2:])
    y = network(interpolate(x, given, grid, points=2))
    return interpolate(y, grid, given, points=4)
