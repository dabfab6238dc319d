"""The inviscid Burgers equation: the entropy solution, and finite volumes of equal error."""

import math
from itertools import pairwise

import pytest
import torch

from pdeops.compare import compare_equation
from pdeops.compare.equation_runs import finite_volumes
from pdeops.compare.timing import Clock
from pdeops.domain import Grid
from pdeops.solvers import Burgers
from pdeops.tasks import evaluate, load_recipe, load_run, train
from pdeops.tasks.classical_solution import classical_solution, entropy_solution

TAU = 2 * math.pi
GRID = Grid((128,), TAU, "periodic")
MEAN = 0.3
RECIPE = {
    "task": "equation",
    "name": "shock",
    "equation": {"name": "Burgers", "viscosity": 0.0},
    "domain": {"extent": [TAU], "t_end": 2.0},
    "initial": {"name": "Sine", "mean": MEAN},
    "model": {"name": "LPINN", "hidden_channels": 40, "position_layers": 1, "value_layers": 1},
    "features": {"random": True, "deviation": 0.7, "time_deviation": 0.7},
    "collocation": {"points": 16, "times": 12, "steps": 1},
    "optimizer": {"name": "GaussNewton", "damping": 0.0},
    "schedule": {"name": "Constant"},
    "training": {"epochs": 2, "batch_size": 1},
}


def u0(x):
    return MEAN + torch.sin(x)


def test_the_entropy_solution_follows_characteristics_and_jumps_at_the_mean_speed():
    u = entropy_solution(u0, GRID, [0.0, 0.5, 2.0])[:, 0]
    x = GRID.axis(0)
    assert (u[0] - u0(x)).abs().max() < 1e-14
    for v, t in ((u[1], 0.5), (u[2], 2.0)):
        assert (v - u0(x - v * t)).abs().max() < 1e-12  # u is constant along characteristics
    (shock,) = (u[2].diff() < -1).nonzero()
    # By symmetry it moves with the mean from x = π; Rankine and Hugoniot.
    assert x[shock] <= math.pi + 2 * MEAN <= x[shock + 1]
    assert abs(u[2, shock] - u[2, shock + 1] - 2 * 0.9477) < 0.1  # within a node of the shock
    with pytest.raises(ValueError, match="more than 128 waves"):
        entropy_solution(lambda x: torch.sign(torch.sin(x)), GRID, [1.0])


def test_finite_volumes_are_of_second_order_before_the_shock():
    truth = classical_solution(Burgers(GRID, 0.0), u0, GRID, [0.5])
    assert truth.text == "Hopf and Lax, exact"
    rows = finite_volumes(u0, GRID, 0.5, truth.u[0], clock=Clock(rest=0.0), cells=(128, 256, 512))
    assert all(row.completed for row in rows)
    errors = [row.error for row in rows]
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    assert min(orders) > 1.6


@pytest.mark.slow
def test_a_run_past_the_shock_meets_finite_volumes(tmp_path):
    train(load_recipe(RECIPE), out=tmp_path / "run")
    run = load_run(tmp_path / "run")
    assert "Hopf and Lax" in evaluate(run)["reference"]
    report = compare_equation(run, folder=tmp_path, clock=Clock(rest=0.0))
    assert report.error < 1e-3
    assert report.classical.method == "finite volumes"
    assert report.classical.error <= report.error
    assert "finite volumes on" in report.to_markdown()
