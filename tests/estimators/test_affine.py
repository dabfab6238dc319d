"""Affine models of the residual: exact at their point, exact transposes, one Gauss-Newton step."""

import math

import pytest
import torch

from pdeops.domain import Grid
from pdeops.estimators import EvolutionDefect, EvolutionResidual
from pdeops.solvers import AllenCahn, Burgers, Heat, NavierStokes, Wave

from .conftest import BOX

TIMES = [0.1 * i for i in range(6)]
PLANE, CIRCLE = Grid((10, 9), BOX, "periodic"), Grid((16,), BOX, "periodic")
EQUATIONS = {
    "navier_stokes": NavierStokes(PLANE, 0.1, drag=0.2, forcing=torch.cos(PLANE.nodes()[0])),
    "unsteady force": NavierStokes(PLANE, 0.1, forcing=lambda x, t: torch.cos(x[0] - t)),
    "burgers": Burgers(CIRCLE, 0.1),
    "allen_cahn": AllenCahn(Grid((9, 8), boundary="neumann"), 0.1),
    "wave": Wave(CIRCLE, 2.0),
}


def case(name, generator, samples=2):
    equation = EQUATIONS[name]
    shape = (samples, len(TIMES), equation.num_channels, *equation.grid.shape)
    u, d = (torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2))
    return EvolutionResidual(equation, TIMES, order=-1.0), u, d


def model_of(estimator, u, kind):
    return estimator.frozen(u) if kind == "frozen" else estimator.linearised(u)


@pytest.mark.parametrize("kind", ["frozen", "linearised"])
@pytest.mark.parametrize("name", EQUATIONS)
def test_transposes_and_values(name, kind, generator):
    """r(u) is the residual of u, r is affine, and Σ (A d) r = Σ d (Aᵀ r) to round-off."""
    estimator, u, d = case(name, generator)
    model = model_of(estimator, u, kind)
    r_u = estimator.components(u)
    assert (model(u) - r_u).norm() < 1e-13 * r_u.norm()
    assert r_u.norm(dim=1).tolist() == pytest.approx(estimator(u).tolist(), rel=1e-13)
    Ad = model.apply(d)
    middle = model((u + d) / 2)
    assert (2 * middle - model(u) - model(d)).norm() < 1e-12 * Ad.norm()
    assert (model.apply(3 * d - u) - 3 * Ad + model.apply(u)).norm() < 1e-12 * Ad.norm()
    r = torch.randn(Ad.shape, generator=generator, dtype=torch.float64)
    gap = (Ad * r).sum(1) - (d * model.adjoint(r)).flatten(1).sum(1)
    assert (gap.abs() < 1e-13 * Ad.norm(dim=1) * r.norm(dim=1)).all()


@pytest.mark.parametrize("name", EQUATIONS)
def test_the_jacobian_is_the_derivative(name, generator):
    """J d against central differences, and Jᵀ r(u) against the gradient of η²/2."""
    estimator, u, d = case(name, generator)
    model = estimator.linearised(u)
    h = 1e-4
    difference = (estimator.components(u + h * d) - estimator.components(u - h * d)) / (2 * h)
    assert (difference - model.apply(d)).norm() < 1e-7 * difference.norm()
    leaf = u.clone().requires_grad_()
    (estimator(leaf).square().sum() / 2).backward()
    gradient = model.adjoint(estimator.components(u))
    assert (leaf.grad - gradient).norm() < 1e-12 * gradient.norm()


def test_frozen_keeps_the_velocity(generator):
    """The frozen model at another trajectory has the velocity of u and the vorticity of w."""
    estimator, u, w = case("navier_stokes", generator)
    frozen, newton = estimator.frozen(u), estimator.linearised(u)
    exact = estimator.components(w)
    assert (frozen(w) - exact).norm() > 0.01 * exact.norm()
    assert (frozen(w) - newton(w)).norm() > 0.01 * exact.norm()
    again = estimator.frozen(w)
    assert (again(w) - exact).norm() < 1e-13 * exact.norm()


def test_linear_equations_have_one_model(generator):
    grid = Grid((12,), BOX, "periodic")
    estimator = EvolutionResidual(Heat(grid, 0.3), TIMES)
    u, w = torch.randn(2, 1, 6, 1, 12, generator=generator, dtype=torch.float64)
    exact = estimator.components(w)
    for model in (estimator.frozen(u), estimator.linearised(u)):
        assert (model(w) - exact).norm() < 1e-12 * exact.norm()


def test_a_gauss_newton_step_solves_a_linear_problem(generator):
    """Conjugate gradients on the normal equations with the first frame known: the frames of the
    heat equation come out, whatever the start."""
    grid, times = Grid((8,), BOX, "periodic"), [0.1 * i for i in range(9)]
    estimator = EvolutionResidual(Heat(grid, 0.3), times)
    x = grid.nodes()[0]
    exact = torch.stack([torch.cos(x) * math.exp(-0.3 * t) for t in times])[None, :, None]
    u = exact.clone()
    u[:, 1:] += torch.randn(1, 8, 1, 8, generator=generator, dtype=torch.float64)
    A = estimator.frozen(u)
    free = torch.ones_like(u)
    free[:, 0] = 0

    d = torch.zeros_like(u)
    r = -free * A.adjoint(A(u))
    p, rho = r.clone(), r.square().sum()
    for _ in range(100):
        q = free * A.adjoint(A.apply(p))
        step = rho / (p * q).sum()
        d, r = d + step * p, r - step * q
        rho, last = r.square().sum(), rho
        p = r + rho / last * p
    assert estimator(u + d).item() < 1.01 * estimator(exact).item()
    assert (u + d - exact).abs().max() < 1e-4


def test_a_function_of_time_has_no_affine_model(generator):
    estimator = EvolutionResidual(Heat(CIRCLE, 0.3), TIMES, derivative=torch.zeros_like)
    u = torch.randn(1, 6, 1, 16, generator=generator, dtype=torch.float64)
    with pytest.raises(ValueError, match="linear in the frames"):
        estimator.frozen(u)
    D = torch.zeros(6, 6, dtype=torch.float64)
    matrix = EvolutionResidual(Heat(CIRCLE, 0.3), TIMES, derivative=D)
    assert matrix(u).item() == pytest.approx(estimator(u).item(), rel=1e-14)
    assert not hasattr(EvolutionDefect(Heat(CIRCLE, 0.3), TIMES), "frozen")


def test_single_precision(generator):
    estimator, u, d = case("navier_stokes", generator)
    model = estimator.frozen(u)
    single = estimator.frozen(u.float())
    Ad = model.apply(d)
    assert (single.apply(d.float()) - Ad).norm() < 1e-5 * Ad.norm()
    r = torch.randn(Ad.shape, generator=generator)
    back = model.adjoint(r.double())
    assert (single.adjoint(r) - back).norm() < 1e-5 * back.norm()
