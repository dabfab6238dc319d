"""Direct solution of the constant-coefficient Poisson equation by sine transforms."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from ..grid import Boundary, Grid, Placement


def solve_poisson(
    f: Float[Tensor, "*batch_space"], grid: Grid, *, workers: int = 1
) -> Float[Tensor, "*batch_space"]:
    """u with -Δ_h u = f at interior nodes and u = 0 on the boundary, exact up to round-off.

    Δ_h is the second difference along each axis (five points in 2D). The sines sin(πk x/L) of a
    DST-I are its eigenvectors, with eigenvalues Σ 4/h² sin²(πk/(2(n+1))). In float64, on the CPU;
    result in f's dtype and on its device.

    Args:
        f: at the interior nodes, shape (..., *grid.interior.shape); leading axes are a batch.
        grid: Dirichlet on every axis, end points stored or not; any dimension.
        workers: threads of the transform.

    Raises:
        ValueError: another boundary or placement, f of another shape, or not finite.
    """
    inner = grid.interior
    if any(b is not Boundary.DIRICHLET for b in grid.boundary) or any(
        p is not Placement.INTERIOR for p in inner.placement
    ):
        raise ValueError(
            f"The sine transform needs Dirichlet nodes on every axis; got boundary "
            f"{[b.value for b in grid.boundary]}, placement {[p.value for p in grid.placement]}."
        )
    inner.check(f, "right-hand side at interior nodes")
    if not f.isfinite().all():
        raise ValueError("The right-hand side holds NaN or infinity. Check where f was made.")
    from scipy.fft import dstn, idstn

    axes = tuple(range(-inner.ndim, 0))
    eigenvalues = torch.zeros((), dtype=torch.float64)
    for n, h in zip(inner.shape, inner.spacing, strict=True):
        k = torch.arange(1, n + 1, dtype=torch.float64)
        axis = 4 / h**2 * torch.sin(math.pi * k / (2 * (n + 1))) ** 2
        eigenvalues = eigenvalues[..., None] + axis
    f_hat = dstn(f.detach().cpu().double().numpy(), type=1, axes=axes, workers=workers)
    f_hat /= eigenvalues.numpy()
    u = idstn(f_hat, type=1, axes=axes, workers=workers, overwrite_x=True)
    return torch.from_numpy(u).to(f)
