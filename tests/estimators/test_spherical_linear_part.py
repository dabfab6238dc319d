"""Gauss-Newton on the sphere: its preconditioner, and refinement of exact and of solved flows."""

import pytest
import torch

from pdeops.calculus.spherical import evaluate
from pdeops.domain import Sphere
from pdeops.estimators import ShallowWaterIndicator
from pdeops.solvers import ShallowWater, evolve
from pdeops.solvers.evolution.equations.shallow_water import EARTH_RADIUS
from pdeops.solvers.evolution.equations.williamson import rossby_haurwitz, steady_flow
from pdeops.training.least_squares import minimise
from pdeops.training.refine import refine

GAUSS = Sphere((16, 32), "gauss", radius=EARTH_RADIUS)  # degree 10
NODES = Sphere((23, 44), radius=EARTH_RADIUS)
STEP = 600.0
TIMES = [STEP * i for i in range(8)]


def harmonics(num_frames, generator, degree=10):
    """Random depth, vorticity and divergence, in the ratios of a geostrophic flow."""
    n = degree + 1
    c = torch.randn(1, num_frames, 3, n, n, 2, generator=generator, dtype=torch.float64)
    c = torch.view_as_complex(c).tril()
    c[..., 0].imag.zero_()
    c[:, :, 1:, 0, 0] = 0
    scale = torch.tensor([10.0, 1e-6, 1e-7], dtype=torch.float64)[:, None, None]
    return evaluate(scale * c, NODES)


def rest(num_frames):
    u = torch.zeros(1, num_frames, 3, *NODES.shape, dtype=torch.float64)
    u[:, :, 0] = 1e4
    return u


def test_the_preconditioner_solves_gravity_waves(generator):
    """Around rest, without rotation, the equations are linear: two iterations solve them. The
    Coriolis force is not in the preconditioner, and takes ten."""
    u = rest(8) + harmonics(8, generator)
    for rotation, iterations, reduction in ((0.0, 2, 1e-5), (7.292e-5, 10, 1e-6)):
        equation = ShallowWater(GAUSS, 1e4, rotation=rotation)
        indicator = ShallowWaterIndicator(equation, TIMES, grid=NODES)
        problem = indicator.normal_equations(2)(rest(8))
        problem.residual = indicator.components(u)
        found = minimise(problem, rtol=1e-7, iterations=iterations)
        assert found.reduction.max() < reduction
        problem.precondition = lambda g: g
        plain = minimise(problem, rtol=1e-7, iterations=iterations)
        assert plain.reduction.max() > 1e-2


def test_the_preconditioner_is_symmetric_and_positive(generator):
    equation = ShallowWater(GAUSS, 1e4)
    M = ShallowWaterIndicator(equation, TIMES, grid=NODES).normal_equations(1).inverse
    a, b = (torch.randn(1, 7, 3, *NODES.shape, generator=generator).double() for _ in range(2))
    Ma, Mb = M(a), M(b)
    assert (Ma * b).sum().item() == pytest.approx((a * Mb).sum().item(), rel=1e-9)
    assert (Ma * a).sum() > 0


@pytest.mark.parametrize("tilt", [0.0, 0.6])
def test_a_steady_flow_is_found_again(tilt, generator):
    """Williamson 2, exact: a perturbed prediction is corrected until η is below 1e-6 of its value,
    where the search ends. A negative control: with another tilt of the axis the residual falls as
    well, and the error of all fields grows."""
    exact = torch.stack([steady_flow(NODES, tilt=tilt)] * 8)[None]
    start = exact[:, 1:] + 0.01 * harmonics(7, generator)
    before = (start - exact[:, 1:]).flatten(3).norm(dim=3).sum((0, 1))
    for angle in (tilt, tilt + 0.5):
        equation = ShallowWater(GAUSS, 2000.0, tilt=angle)
        indicator = ShallowWaterIndicator(equation, TIMES, grid=NODES)
        done = refine(indicator, exact[:, :1], start)
        after = (done.frames - exact[:, 1:]).flatten(3).norm(dim=3).sum((0, 1))
        assert (done.eta[-1] < done.eta[0] / 1e3).all()
        if angle == tilt:
            assert (after < 1e-4 * before).all()
        else:
            assert (after > 2 * before).all()


def test_a_wave_is_refined(generator):
    """Williamson 6 against the solver: the indicator and the error of each field fall."""
    equation = ShallowWater(GAUSS, 9000.0)
    u0 = equation.decode(equation.encode(rossby_haurwitz(GAUSS)[None]))
    solved = evolve(equation, u0, TIMES[1:], dt=STEP / 2)
    assert solved.completed
    coefficients = equation.transform.forward(torch.cat([u0[:, None], solved.u], 1))
    true = evaluate(coefficients, NODES)
    start = true[:, 1:] + harmonics(7, generator)
    indicator = ShallowWaterIndicator(equation, TIMES, grid=NODES)
    done = refine(indicator, true[:, :1], start)
    before, after = ((u - true[:, 1:]).flatten(3).norm(dim=3) for u in (start, done.frames))
    assert (done.eta[-1] < done.eta[0] / 10).all()
    assert (after.sum((0, 1)) < before.sum((0, 1)) / 10).all()


def test_components_that_no_solution_has_are_removed(generator):
    """Harmonics above the degree of the equation, and means of vorticity and divergence; the
    indicator does not see them. If the equation has more degrees than the nodes, only means."""
    equation = ShallowWater(GAUSS, 1e4)
    space = ShallowWaterIndicator(equation, TIMES, grid=NODES).space
    true = rest(8) + harmonics(8, generator)
    high = harmonics(8, generator, degree=15)
    high = high - space.transform.inverse(space.transform.forward(high))
    wrong = true + high
    wrong[:, :, 1:] += 1e-6
    torch.testing.assert_close(space.forward(wrong), space.forward(true), rtol=0, atol=1e-12)
    found = space.resolved(wrong)
    gap, size = ((u - true).flatten(3).norm(dim=3).amax((0, 1)) for u in (found, wrong))
    assert (gap < 1e-8 * size).all()
    coarse = Sphere((9, 16), radius=EARTH_RADIUS)
    space = ShallowWaterIndicator(equation, TIMES, grid=coarse).space
    u = torch.randn(1, 8, 3, 9, 16, generator=generator, dtype=torch.float64)
    kept = space.resolved(u + torch.tensor([0.0, 1.0, 1.0])[:, None, None]) - space.resolved(u)
    assert kept.abs().max() < 1e-12
    assert (space.resolved(u)[:, :, 0] == u[:, :, 0]).all()
