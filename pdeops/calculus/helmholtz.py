"""Helmholtz decomposition of vector fields on periodic boxes: u = Pu + ∇φ with div Pu = 0.

With the wave vectors κ of the first derivative, (P u)^_κ = û - κ (κ·û) / |κ|² for κ ≠ 0, and û for
κ = 0. On an axis with an even number of nodes κ of the highest (Nyquist) wave is zero, as in
`fourier.derivative`: the derivative of a field that alternates from node to node vanishes at the
nodes. The coefficients of κ and -κ are then conjugate, so Pu is real and P is an orthogonal
projection of all fields on the nodes, white noise included.
"""
# Axes: *batch leading axes, d components, *space nodes.

import torch
from jaxtyping import Float
from torch import Tensor

from ..domain import Boundary, Grid
from .fourier import derivative, inverse_transform, transform, wavenumbers


def divergence(u: Float[Tensor, "*batch_d_space"], grid: Grid) -> Float[Tensor, "*batch_space"]:
    """div u = Σ_a ∂u_a / ∂x_a at the nodes, exact for every resolved wave.

    Raises:
        ValueError: u has not one component per axis of the grid.
    """
    _check_components(u, grid)
    parts = u.unbind(-grid.ndim - 1)
    return sum((derivative(p, grid, a) for a, p in enumerate(parts)), torch.zeros_like(parts[0]))


def project_divergence_free(
    u: Float[Tensor, "*batch_d_space"], grid: Grid
) -> Float[Tensor, "*batch_d_space"]:
    """P u, the divergence-free field nearest to u in L²; the mean is kept.

    Raises:
        ValueError: an axis is not periodic, or u has not one component per axis.
    """
    return helmholtz(u, grid)[0]


def helmholtz(
    u: Float[Tensor, "*batch_d_space"], grid: Grid
) -> tuple[Float[Tensor, "*batch_d_space"], Float[Tensor, "*batch_d_space"]]:
    """The divergence-free part P u, which has the mean of u, and the gradient part u - P u.

    Raises:
        ValueError: an axis is not periodic, or u has not one component per axis.
    """
    _check_components(u, grid)
    if any(b is not Boundary.PERIODIC for b in grid.boundary):
        raise ValueError(
            f"The Helmholtz projection is defined on periodic boxes; got {grid}. With walls the "
            f"potential needs a boundary condition; solve the Poisson equation of `solvers`."
        )
    dim = -grid.ndim - 1
    kappa = _wave_vectors(grid).to(u)
    u_hat = transform(u, grid)
    length = kappa.square().sum(0)
    potential = (kappa * u_hat).sum(dim, keepdim=True) / length.masked_fill(length == 0, 1.0)
    gradient = inverse_transform(kappa * potential, grid)
    return u - gradient, gradient


def _wave_vectors(grid: Grid) -> Float[Tensor, "d *waves"]:
    """κ of the first derivative, in the layout of `fourier.transform` (float64)."""
    xi = [
        torch.where(2 * torch.arange(len(k)) == n, 0.0, k)
        for k, n in zip(wavenumbers(grid), grid.shape, strict=True)
    ]
    return torch.stack(torch.meshgrid(*xi, indexing="ij"))


def _check_components(u: Tensor, grid: Grid) -> None:
    grid.check(u)
    if u.ndim <= grid.ndim or u.shape[-grid.ndim - 1] != grid.ndim:
        raise ValueError(
            f"A vector field on this grid has {grid.ndim} components, shape (..., {grid.ndim}, "
            f"{', '.join(map(str, grid.shape))}); got {tuple(u.shape)}."
        )
