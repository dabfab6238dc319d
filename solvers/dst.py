"""Direct solution of the constant-coefficient Poisson equation by sine and cosine transforms."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from ..grid import Boundary, Grid, Placement
from .laplacian import Laplacian


def solve_poisson(
    b: Float[Tensor, "*batch_space"], grid: Grid, *, workers: int = 1
) -> Float[Tensor, "*batch_space"]:
    """u with A u = b, A = `Laplacian(grid)`, exact up to round-off.

    The waves of each axis are eigenvectors of its second difference: sines of a DST-I where it is
    Dirichlet, with eigenvalues 4/h² sin²(πk/(2m)), k = 1 .. m - 1, m the number of cells; cosines
    of a DCT-I where it is Neumann, with the same eigenvalues, k = 0 .. m. With Neumann sides alone
    the wave k = 0 has eigenvalue zero, and the u of zero mean is returned (trapezoidal rule). In
    float64, on the CPU; result in b's dtype and on its device.

    Args:
        b: `Laplacian(grid).load(f)` for -Δu = f; where all sides are Dirichlet this is f at the
            interior nodes. Shape (..., *grid.interior.shape); leading axes are a batch.
        grid: each axis Dirichlet (ends stored or not) or Neumann with stored ends; any dimension.
        workers: threads of the transform.

    Raises:
        ValueError: another boundary or placement, b of another shape, not finite, or without a
            solution (Neumann sides alone, and b does not sum to zero).
    """
    _check_ends(grid)
    A = Laplacian(grid)
    inner = A.grid
    inner.check(b, "right-hand side at the unknowns")
    if not b.isfinite().all():
        raise ValueError("The right-hand side holds NaN or infinity. Check where it was made.")
    if not A.positive_definite:
        _check_compatible(b, inner.ndim)
    f_hat = (b.detach().cpu().double() / A.shares()).numpy()
    eigenvalues = _eigenvalues(inner)
    if not A.positive_definite:
        eigenvalues.view(-1)[0] = math.inf  # the mean of u becomes zero
    for axis in range(-inner.ndim, 0):
        f_hat = _forward(f_hat, inner.boundary[axis], axis, workers)
    f_hat /= eigenvalues.numpy()
    for axis in range(-inner.ndim, 0):
        f_hat = _backward(f_hat, inner.boundary[axis], axis, workers)
    return torch.from_numpy(f_hat).to(b)


def _check_ends(grid: Grid) -> None:
    for axis, (b, p) in enumerate(zip(grid.boundary, grid.placement, strict=True)):
        if b is Boundary.PERIODIC or p is Placement.CENTERS:
            raise ValueError(
                f"solve_poisson needs Dirichlet or Neumann nodes at the ends of every axis; axis "
                f"{axis} has boundary {b.value!r}, placement {p.value!r}. Use for example "
                f"Grid({grid.shape}, boundary='neumann')."
            )


def _forward(u, boundary: Boundary, axis: int, workers: int):
    from scipy.fft import dct, dst

    transform = dst if boundary is Boundary.DIRICHLET else dct
    return transform(u, type=1, axis=axis, workers=workers)


def _backward(u_hat, boundary: Boundary, axis: int, workers: int):
    from scipy.fft import idct, idst

    transform = idst if boundary is Boundary.DIRICHLET else idct
    return transform(u_hat, type=1, axis=axis, workers=workers, overwrite_x=True)


def _eigenvalues(inner: Grid) -> Float[Tensor, "*waves"]:
    """The sums over the axes of 4/h² sin²(πk/(2m))."""
    total = torch.zeros((), dtype=torch.float64)
    for axis, (m, h) in enumerate(zip(inner.cells, inner.spacing, strict=True)):
        first = 1 if inner.boundary[axis] is Boundary.DIRICHLET else 0
        k = first + torch.arange(inner.shape[axis], dtype=torch.float64)
        total = total[..., None] + 4 / h**2 * torch.sin(math.pi * k / (2 * m)) ** 2
    return total


def _check_compatible(b: Tensor, ndim: int) -> None:
    """Raise a ValueError unless each right-hand side of a pure Neumann problem sums to zero."""
    fields = b.detach().flatten(-ndim)
    sums, sizes = fields.sum(-1).abs(), fields.abs().sum(-1)
    if (sums > 1e3 * torch.finfo(b.dtype).eps * sizes).any():
        worst = (sums / sizes).nan_to_num().max().item()
        raise ValueError(
            f"With Neumann sides alone -Δu = f has a solution only where the mean of f is zero; "
            f"here |Σ b| = {worst:.1e} Σ |b|. Make b by Laplacian(grid).load(f), which takes the "
            f"mean away."
        )
