"""Fluxes whose divergence is -f in the cell of every node, up to round-off."""

import torch
from jaxtyping import Float
from torch import Tensor

from ..domain import Boundary, Grid
from ..kernels.diffusion.reference import harmonic
from ..solvers.direct.dst import FastPoisson
from ..solvers.operators.boundary import with_boundary, without_boundary
from ..solvers.operators.diffusion import Diffusion
from .half_cells import HalfCells, mean


def plain_fluxes(
    u: Float[Tensor, "*space"], a: Float[Tensor, "*space"], cells: HalfCells
) -> list[Tensor]:
    """Per axis a ∂u at the faces between neighbours, with the harmonic mean of their a."""
    u, a = cells.closed(u), cells.closed(a)
    return [
        face_coefficients(a, axis) * u.diff(dim=axis) / h
        for axis, h in enumerate(cells.grid.spacing)
    ]


def face_coefficients(a: Tensor, axis: int) -> Tensor:
    """The harmonic mean of a at each face of an axis."""
    n = a.shape[axis] - 1
    return harmonic(a.narrow(axis, 0, n), a.narrow(axis, 1, n))


def equilibrated_fluxes(
    u: Float[Tensor, "*space"],
    f: Float[Tensor, "*space"],
    A: Diffusion,
    a: Float[Tensor, "*space"],
    cells: HalfCells,
) -> list[Tensor]:
    """Per axis the fluxes σ through its faces that balance the source in the cell of each unknown:
    those of u, plus ∂φ with -Δφ = b - A u. A has the coefficient a, and b = A.load(f)."""
    grid = cells.grid
    r = A.load(without_boundary(f, grid)) - A.apply(without_boundary(u, grid))
    phi = cells.closed(with_boundary(FastPoisson(grid).apply(r), grid))
    return [
        flux + phi.diff(dim=axis) / h
        for axis, (flux, h) in enumerate(zip(plain_fluxes(u, a, cells), grid.spacing, strict=True))
    ]


def flux_at_points(
    fluxes: list[Tensor], f: Float[Tensor, "*space"], cells: HalfCells
) -> list[Tensor]:
    """The lowest-order Raviart-Thomas field through these faces, as in `HalfCells.misfit`.

    There is no flux through Neumann ends. Through a Dirichlet end flows what balances f in the half
    cell of its node; a node on several such ends divides it equally.
    """
    grid, f = cells.grid, cells.closed(f)
    share = f / _dirichlet_ends(grid, f)
    sigma = []
    for axis, (flux, h) in enumerate(zip(fluxes, grid.spacing, strict=True)):
        n = grid.cells[axis]
        first, last = _through_ends(flux, axis, share * h / 2, grid.boundary[axis])
        nodes = torch.cat([first, mean(flux, [axis]), last], axis)
        pairs = torch.stack([nodes.narrow(axis, 0, n), flux], axis + 1)
        points = torch.cat([pairs.flatten(axis, axis + 1), last], axis)
        sigma.append(cells.spread(points, [i for i in range(grid.ndim) if i != axis]))
    return sigma


def imbalance(
    sigma: list[Tensor], f: Float[Tensor, "*halves"], cells: HalfCells
) -> Float[Tensor, "*halves"]:
    """f + div σ on each half cell."""
    for axis, component in enumerate(sigma):
        f = f + component.diff(dim=axis) / cells.sides[axis]
    return f


def _dirichlet_ends(grid: Grid, like: Tensor) -> Tensor:
    """The number of Dirichlet ends that each node lies on."""
    count = torch.zeros_like(like)
    for axis, b in enumerate(grid.boundary):
        if b is Boundary.DIRICHLET:
            count.narrow(axis, 0, 1).add_(1)
            count.narrow(axis, like.shape[axis] - 1, 1).add_(1)
    return count


def _through_ends(
    flux: Tensor, axis: int, share: Tensor, boundary: Boundary
) -> tuple[Tensor, Tensor]:
    """The flux through both ends of an axis."""
    n = flux.shape[axis]
    first, last = flux.narrow(axis, 0, 1), flux.narrow(axis, n - 1, 1)
    match boundary:
        case Boundary.PERIODIC:
            return (first + last) / 2, (first + last) / 2
        case Boundary.NEUMANN:
            return torch.zeros_like(first), torch.zeros_like(last)
        case Boundary.DIRICHLET:
            return first + share.narrow(axis, 0, 1), last - share.narrow(axis, n, 1)
