"""The dual of the energy norm: equal to the energy norm of the error of the discrete problem."""

import math

import pytest
import torch

from pdeops.datasets import Darcy, Poisson
from pdeops.domain import Grid
from pdeops.estimators import SteadyResidual
from pdeops.solvers import Diffusion, Laplacian, with_boundary

PROBLEMS = {
    "darcy": (Darcy("piecewise", num_modes=16), (17, 17)),
    "poisson": (Poisson("gaussian", num_modes=16), (17, 13)),
    "neumann": (Poisson("neumann", num_modes=8), (17, 17)),
    "mixed": (Poisson("mixed", num_modes=8), (12, 17)),
}


def systems(name):
    """Two samples: inputs, operators, right-hand sides, solutions at all nodes."""
    problem, shape = PROBLEMS[name]
    grid = problem.grid(shape)
    x = torch.stack([problem.sample_input(grid, 0, i) for i in range(2)])
    A = [problem.operator(one, grid) for one in x]
    b = torch.stack([problem.rhs(one, grid) for one in x])
    u = torch.stack([problem.solve(one, grid).x for one in x])[:, None]
    return grid, A, b, u


def perturbation(A, size):
    generator = torch.Generator().manual_seed(1)
    e = size * torch.randn(2, *A[0].grid.shape, generator=generator, dtype=torch.float64)
    if not A[0].positive_definite:
        e = torch.stack([one - A[0].mean(one) for one in e])
    return e


@pytest.mark.parametrize("name", PROBLEMS)
def test_effectivity_one(name):
    """η = |u_h - u|_A for errors of six decades; a constant does not count with Neumann sides."""
    grid, A, b, u = systems(name)
    estimator = SteadyResidual(A, b, grid=grid)
    scale = u.abs().max()
    for size in (1e-6, 1e-3, 1.0):
        e = perturbation(A, size * scale)
        energy = torch.stack([(v * (one @ v)).sum() for v, one in zip(e, A, strict=True)])
        error = (math.prod(grid.spacing) * energy).sqrt()
        eta = estimator(u + with_boundary(e, grid)[:, None])
        accuracy = 1e-3 if size < 1e-5 else 1e-6  # u_h itself is accurate to 1e-10
        assert (eta / error).tolist() == pytest.approx([1.0, 1.0], abs=accuracy)
        if name == "neumann":
            shifted = estimator(u + 3 * scale + with_boundary(e, grid)[:, None])
            assert shifted.tolist() == pytest.approx(eta.tolist(), rel=1e-3)


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_wrong_source_or_coefficient_is_seen(name):
    grid, A, b, u = systems(name)
    floor = SteadyResidual(A, b, grid=grid)(u)
    noise = torch.stack([one.project(v) for one, v in zip(A, b.roll(3, -1), strict=True)])
    wrong_source = SteadyResidual(A, b + 0.1 * noise, grid=grid)(u)
    a = 1 + 0.1 * torch.rand(grid.shape, generator=torch.Generator().manual_seed(0)).double()
    other = [Diffusion(a * (one.coefficient if name == "darcy" else 1.0), grid) for one in A]
    wrong_coefficient = SteadyResidual(other, b, grid=grid)(u)
    assert (wrong_source > 1e3 * floor).all()
    assert (wrong_coefficient > 1e3 * floor).all()
    assert (SteadyResidual(A, b, grid=grid)(0.9 * u) > 1e3 * floor).all()
    assert (SteadyResidual(A, b, grid=grid)(u.flip(0)) > 1e3 * floor).all()


def test_the_energy_of_zero_is_that_of_the_solution():
    """η(0)² = ∫ |∇u|²: for -u'' = π² sin πx it is π²/2 up to the discretisation."""
    grid = Grid((257,))
    x = grid.nodes()[0]
    b = (math.pi**2 * torch.sin(math.pi * x))[1:-1]
    eta = SteadyResidual(Laplacian(grid), b, grid=grid)(torch.zeros(1, 1, 257))
    assert eta.dtype == torch.float32
    assert eta.item() == pytest.approx(math.pi / math.sqrt(2), rel=1e-4)


def test_gradient(generator):
    grid, A, b, _ = systems("darcy")
    estimator = SteadyResidual(A, b, grid=grid)
    v, d = torch.randn(2, 2, 1, 17, 17, generator=generator, dtype=torch.float64)
    v.requires_grad_()
    (gradient,) = torch.autograd.grad(estimator(v).sum(), v)
    h = 1e-5
    difference = (estimator(v + h * d) - estimator(v - h * d)).sum().item() / (2 * h)
    assert (gradient * d).sum().item() == pytest.approx(difference, rel=1e-6)
    assert not gradient[..., 0].any()  # known ends do not count


def test_one_operator_for_all_and_an_inverse_of_ones_own(generator):
    grid = Grid((9, 9))
    A = Laplacian(grid)
    b, u = torch.randn(2, 3, 7, 7, generator=generator, dtype=torch.float64)
    dense = torch.from_numpy(A.to_csr().toarray())

    def inverse(r):
        return torch.linalg.solve(dense, r.flatten(1).T).T.view_as(r)

    etas = [SteadyResidual(A, b, inverse=i)(u[:, None]) for i in (None, inverse)]
    assert etas[0].tolist() == pytest.approx(etas[1].tolist(), rel=1e-11)


def test_bad_input():
    grid = Grid((9, 9))
    A, b = Laplacian(grid), torch.ones(7, 7, dtype=torch.float64)
    estimator = SteadyResidual(A, b, grid=grid)
    u = torch.zeros(2, 1, 9, 9)
    with pytest.raises(ValueError, match="NaN"):
        estimator(u + math.nan)
    with pytest.raises(ValueError, match="of 3 samples, but fields of 2"):
        SteadyResidual(A, b.expand(3, 7, 7), grid=grid)(u)
    with pytest.raises(ValueError, match="not in its range"):
        SteadyResidual(Laplacian(Grid((9, 9), boundary="neumann")), torch.ones(9, 9))
    with pytest.raises(ValueError, match="one inverse per operator"):
        SteadyResidual([A, A], b, inverse=lambda r: r)
    with pytest.raises(ValueError, match="must have the unknowns"):
        SteadyResidual([A, Laplacian(Grid((8, 8)))], b)
