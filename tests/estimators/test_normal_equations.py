"""Gauss-Newton's least-squares problem of a trajectory: its Jacobian, and its preconditioner."""

import math

import pytest
import torch

from pdeops.domain import Grid
from pdeops.estimators import Differences, EvolutionResidual
from pdeops.estimators.normal_equations import NormalEquations
from pdeops.solvers import AdvectionDiffusion, Heat
from pdeops.training.least_squares import minimise

GIVEN = 2


def noise(u, size, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return size * torch.randn(u.shape, generator=generator, dtype=torch.float64)


def problem_of(estimator, given, u):
    """The problem in double precision, for comparisons to round-off."""
    return NormalEquations(estimator, given, dtype=torch.float64)(u)


@pytest.mark.parametrize("name", ["navier_stokes", "burgers", "allen_cahn"])
def test_the_problem_is_the_linearised_residual(trajectories, name):
    """r + J d against the residual itself at u + εd, quadratic in ε; and Jᵀ against J."""
    make, grid, times, u = trajectories[name]
    estimator = EvolutionResidual(make(grid), times)
    problem = problem_of(estimator, GIVEN, u)
    d = noise(u[:, GIVEN:], 1.0)
    slope = problem.apply(d)
    errors = []
    for eps in (1e-2, 1e-3):
        moved = torch.cat([u[:, :GIVEN], u[:, GIVEN:] + eps * d], 1)
        errors.append((estimator.components(moved) - problem.residual - eps * slope).norm())
    assert math.log10(errors[0] / errors[1]) == pytest.approx(2, abs=0.1)
    y = noise(slope, 1.0, seed=1)
    pair = (problem.adjoint(y) * d).sum().item()
    assert (slope * y).sum().item() == pytest.approx(pair, rel=1e-9)


def linear_equations():
    circle, plane = Grid((32,), 2 * math.pi, "periodic"), Grid((9, 12), (1.0, 2.0), "periodic")
    return {
        "heat": Heat(circle, 0.3),
        "heat on a plane": Heat(plane, 0.3),
        "complex symbol": AdvectionDiffusion(circle, [1.5], 0.1),
        "cosines": Heat(Grid((17,), 1.0, "neumann", "endpoints"), 0.1),
        "sines": Heat(Grid((16,), 1.0, "dirichlet", "interior"), 0.1),
    }


@pytest.mark.parametrize("name", linear_equations())
def test_the_preconditioner_solves_linear_equations(name):
    """Two iterations solve the normal equations of all waves and frames, three where the derivative
    of the Nyquist wave is zero on the frames' grid only; without preconditioner, ten do not."""
    equation = linear_equations()[name]
    times = [0.02 * i for i in range(8)]
    estimator = EvolutionResidual(equation, times)
    u = noise(torch.zeros(2, 8, 1, *equation.grid.shape), 1.0)
    problem = problem_of(estimator, 1, u)
    found = minimise(problem, rtol=1e-3, iterations=3)
    assert found.reduction.max() < 1e-3
    problem.precondition = lambda g: g
    assert minimise(problem, rtol=1e-3, iterations=10).reduction.max() > 1e-2


def test_the_preconditioner_is_symmetric_and_positive(trajectories):
    make, grid, times, u = trajectories["navier_stokes"]
    problem = problem_of(EvolutionResidual(make(grid), times), GIVEN, u)
    a, b = noise(u[:, GIVEN:], 1.0, 1), noise(u[:, GIVEN:], 1.0, 2)
    Ma, Mb = problem.precondition(a), problem.precondition(b)
    assert (Ma * b).sum().item() == pytest.approx((a * Mb).sum().item(), rel=1e-10)
    assert (Ma * a).sum() > 0


def test_there_must_be_given_and_free_frames(trajectories):
    make, grid, times, _ = trajectories["heat"]
    estimator = EvolutionResidual(make(grid), times, derivative=Differences(6))
    for wrong in (0, len(times)):
        with pytest.raises(ValueError, match="one given frame or more, and one predicted"):
            estimator.normal_equations(wrong)


def test_single_precision_gives_the_same_step(trajectories):
    make, grid, times, u = trajectories["navier_stokes"]
    estimator = EvolutionResidual(make(grid), times)
    moved = torch.cat([u[:, :GIVEN], u[:, GIVEN:] + noise(u[:, GIVEN:], 0.01)], 1)
    single = minimise(estimator.normal_equations(GIVEN)(moved), rtol=1e-3, iterations=30)
    double = minimise(problem_of(estimator, GIVEN, moved), rtol=1e-3, iterations=30)
    assert single.d.dtype == torch.float32
    assert (single.d - double.d).norm() < 1e-4 * double.d.norm()
