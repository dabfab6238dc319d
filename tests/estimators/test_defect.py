"""The defect of solver steps: zero for the solver's own frames, of order four, differentiable."""

import math
from itertools import pairwise

import pytest
import torch

from pdeops.calculus.fourier import resample
from pdeops.domain import Grid
from pdeops.estimators import EvolutionDefect, EvolutionResidual
from pdeops.solvers import AllenCahn, Burgers, Heat, NavierStokes, Wave, evolve

from .conftest import BOX, random_field


def frames_of(equation, u0, times, dt):
    solution = evolve(equation, u0, times, dt=dt)
    assert solution.completed
    return solution.u


@pytest.mark.parametrize("name", ["heat", "wave", "burgers"])
def test_frames_of_the_same_steps_have_no_defect(name, generator):
    """On frames whose products the solver's own grid resolves."""
    grid, times = Grid((48,), BOX, "periodic"), [0.05 * i for i in range(5)]
    equations = {
        "heat": Heat(grid, 0.3),
        "wave": Wave(grid, 2.0),
        "burgers": Burgers(grid, 0.8),
    }
    equation = equations[name]
    u0 = 0.3 * random_field(grid, 1, generator)
    if name == "wave":
        u0 = Wave.at_rest(u0)
    u = frames_of(equation, u0, times, 0.05)
    size = EvolutionDefect(equation, times)(u.flip(1)).item()
    assert EvolutionDefect(equation, times)(u).item() < 1e-8 * size


def test_it_falls_at_the_order_of_the_solver(generator):
    """η of a true trajectory by one step per interval, order four; more steps lower it."""
    grid = Grid((24, 24), BOX, "periodic")
    fine = grid.refined(2)
    u0 = random_field(fine, 1, generator)
    times = [0.05 * i for i in range(9)]

    def equation(grid):
        return NavierStokes(grid, 0.1, forcing=lambda x, t: torch.cos(x[1] - 3 * t))

    u = resample(frames_of(equation(fine), u0, times, 0.0125), fine, grid.shape)
    etas = [EvolutionDefect(equation(grid), times[::k])(u[:, ::k]).item() for k in (4, 2, 1)]
    twice = EvolutionDefect(equation(grid), times[::4], steps=2)(u[:, ::4]).item()
    assert etas[0] / twice == pytest.approx(16, rel=0.4)
    orders = [math.log2(a / b) for a, b in pairwise(etas)]
    assert orders == pytest.approx([4, 4], abs=0.5)


def test_uneven_intervals(generator):
    """One by one they give what equal intervals give together."""
    grid = Grid((12,), BOX, "periodic")
    u = torch.randn(2, 4, 1, 12, generator=generator, dtype=torch.float64)
    times = [0.0, 0.1, 0.2, 0.5]
    whole = EvolutionDefect(AllenCahn(grid, 0.1), times).by_instant(u)
    even = EvolutionDefect(AllenCahn(grid, 0.1), times[:3]).by_instant(u[:, :3])
    last = EvolutionDefect(AllenCahn(grid, 0.1), times[2:]).by_instant(u[:, 2:])
    assert (whole - torch.cat([even, last], 1)).abs().max() < 1e-12
    assert EvolutionDefect(AllenCahn(grid, 0.1), times).weights.sum().item() == pytest.approx(0.5)


def test_it_tends_to_the_residual(generator):
    """For frames u(t) that solve nothing, the defect over a short interval is R at its middle."""
    grid = Grid((12, 12), BOX, "periodic")
    a, b = (random_field(grid, 3, generator) for _ in range(2))
    equation = NavierStokes(grid, 0.1)
    errors = []
    for dt in (0.04, 0.02, 0.01):
        times = [dt * i for i in range(5)]
        u = torch.stack([a * math.cos(t) + b * t for t in times], 1)
        defect = EvolutionDefect(equation, times[1:4:2])(u[:, 1:4:2])
        R = EvolutionResidual(equation, times).by_instant(u)[:, 2]
        errors.append((defect / math.sqrt(2 * dt) - R).abs().item())
    assert errors[2] < 0.6 * errors[1] < 0.36 * errors[0]
    assert errors[2] < 0.02 * R.item()


def test_its_gradient(generator):
    grid, times = Grid((8, 8), BOX, "periodic"), [0.1 * i for i in range(3)]
    estimator = EvolutionDefect(NavierStokes(grid, 0.1), times)
    u, d = torch.randn(2, 1, 3, 1, 8, 8, generator=generator, dtype=torch.float64)
    u.requires_grad_()
    (gradient,) = torch.autograd.grad(estimator(u).sum(), u)
    h = 1e-5
    difference = (estimator(u + h * d) - estimator(u - h * d)).item() / (2 * h)
    assert (gradient * d).sum().item() == pytest.approx(difference, rel=1e-6)


def test_it_needs_a_step():
    with pytest.raises(ValueError, match="one step per interval"):
        EvolutionDefect(Heat(Grid((8,), 1.0, "periodic"), 0.1), [0, 1], steps=0)
