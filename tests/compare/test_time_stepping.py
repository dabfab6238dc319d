"""Time stepping in a study: interpolation, order in dt, stability, and saturation."""

import math
from itertools import pairwise

import pytest
import torch

from pdeops.compare.time_stepping import (
    TimeStepping,
    at_nodes,
    cheapest,
    most_accurate,
    sweep,
)
from pdeops.compare.timing import Clock
from pdeops.domain import Grid
from pdeops.solvers.evolution.equations.burgers import Burgers
from pdeops.solvers.evolution.equations.navier_stokes import NavierStokes
from pdeops.solvers.evolution.etdrk4 import ETDRK4
from pdeops.solvers.evolution.rk4cn import RK4CN

NU, SIDE = 0.3, 2 * math.pi
FAST = Clock(rest=0.0)


def box(n, ndim=1):
    return Grid((n,) * ndim, (SIDE,) * ndim, "periodic")


def waves(grid):
    """A field of waves up to 3."""
    x = grid.nodes()[0]
    return (torch.sin(x) + 0.4 * torch.cos(2 * x) - 0.2 * torch.sin(3 * x + 1))[None, None]


@pytest.mark.parametrize("n", [8, 12, 16, 32, 64])
def test_frames_are_those_of_the_fourier_series_at_the_test_nodes(n):
    test = box(16)
    torch.testing.assert_close(at_nodes(waves(box(n)), box(n), test), waves(test))


def test_a_wave_above_the_coarse_grid_is_dropped_and_not_aliased():
    """cos 7x on 8 nodes would look like cos x; its truncated series is zero."""
    start, test = box(32), box(16)
    u0 = torch.cos(7 * start.nodes()[0])[None, None]
    run = TimeStepping(Burgers(box(8), NU), 0.1, [0.1], start=start, test=test)
    assert run(u0).u.abs().max() < 1e-14


def study(dts, grids=(8, 16, 64), **options):
    start, test, times = box(64), box(16), [0.25, 0.5]
    truth = TimeStepping(Burgers(box(128), NU), 5e-3, times, start=start, test=test)
    u0 = waves(start)
    return sweep(
        lambda grid: Burgers(grid, NU), u0, times, truth(u0).u,
        start=start, test=test, grids=[box(n) for n in grids], dts=dts, clock=FAST, **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def rows():
    return study([0.5 / 2**k for k in range(1, 8)], repeats=1)


def test_errors_fall_by_the_order_of_the_method_until_the_grid_remains(rows):
    fine = [r for r in rows if r.grid == (64,) and r.completed]
    rates = [math.log2(a.error / b.error) for a, b in pairwise(fine)]
    assert rates[0] == pytest.approx(4.0, abs=0.2)
    assert abs(rates[-1]) < 0.15


def test_smaller_steps_on_a_coarse_grid_are_left_out(rows):
    """Eight nodes hold two dealiased waves: the grid's error dominates from the first dt on."""
    coarse = [r for r in rows if r.grid == (8,)]
    assert len(coarse) == 2
    assert coarse[0].error == pytest.approx(coarse[1].error, rel=0.1)
    assert coarse[1].error > 100 * min(r.error for r in rows)


def test_an_unstable_step_is_a_row_with_its_reason():
    """Large velocities: the Courant number of the largest dt exceeds the limit of the stepper."""
    start = test = box(32)
    u0, times = 40 * waves(start), [0.05]
    rows = sweep(
        lambda grid: Burgers(grid, NU), u0, times, u0[:, None], start=start, test=test,
        grids=[start], dts=[0.05, 1e-3], clock=FAST, repeats=1,
    )  # fmt: skip
    unstable, stable = rows
    assert not unstable.completed
    assert "Courant number" in unstable.reason
    assert math.isnan(unstable.error)
    assert math.isnan(unstable.seconds)
    assert stable.completed
    assert stable.seconds > 0
    assert cheapest(rows, 10.0) is stable
    assert most_accurate(rows, math.inf) is stable


def test_the_choice_of_a_row(rows):
    best = min(rows, key=lambda r: r.error)
    assert most_accurate(rows, math.inf) == best
    chosen = cheapest(rows, best.error * 1.001)
    assert chosen is not None
    assert chosen.error <= best.error * 1.001
    assert cheapest(rows, best.error / 2) is None
    assert most_accurate(rows, 0.0) is None


def test_two_steppers_on_the_decay_of_a_vortex():
    """Taylor-Green: ETDRK4 is exact, RK4-CN has its known error e^(-λt) t λ³ dt² S/12."""
    grid, times, nu, dt = box(16, 2), [1.0], 0.05, 0.1
    x, y = grid.nodes()
    w = (torch.cos(2 * x) * torch.cos(2 * y))[None, None]
    lam = 8 * nu
    rows = sweep(
        lambda g: NavierStokes(g, nu), w, times, math.exp(-lam) * w[:, None], start=grid, test=grid,
        grids=[grid], dts=[dt], clock=FAST, repeats=1,
        steppers={"RK4CN": RK4CN, "ETDRK4": ETDRK4},
    )  # fmt: skip
    by_name = {r.method: r for r in rows}
    assert by_name["ETDRK4"].error < 1e-13
    alpha = torch.tensor(RK4CN.alpha, dtype=torch.float64)
    expected = lam**3 * dt**2 * (alpha.diff() ** 3).sum().item() / 12
    assert by_name["RK4CN"].error == pytest.approx(expected, rel=1e-2)


def test_what_cannot_be_compared_is_refused():
    run = Burgers(box(24), NU)
    with pytest.raises(ValueError, match="multiple"):
        TimeStepping(run, 0.1, [0.1], start=box(64), test=box(16))
    with pytest.raises(ValueError, match="a frame for each time"):
        sweep(
            lambda grid: Burgers(grid, NU), waves(box(8)), [0.1, 0.2], waves(box(8))[:, None],
            start=box(8), test=box(8), grids=[box(8)], dts=[0.1],
        )  # fmt: skip
