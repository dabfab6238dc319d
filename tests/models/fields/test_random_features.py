"""Convection by random features: where PINN fails, without training noise."""

import math

import pytest
import torch

from pdeops.domain import Grid
from pdeops.models import PINN
from pdeops.solvers import AdvectionDiffusion
from pdeops.solvers.evolution.initial import Sine
from pdeops.tasks.random_features import fit_random_features

GRID = Grid((64,), 2 * math.pi, "periodic")


def solve(speed, time_deviation=2.0):
    """Relative error over all times, and root mean square of the residual."""
    equation = AdvectionDiffusion(GRID, [speed])
    field = PINN(equation, Sine(GRID), 1.0, hidden_channels=150, num_layers=1)
    (course,) = fit_random_features(field, points=48, times=32, time_deviation=time_deviation)
    x = GRID.axis(0)[None].repeat(1, 41)
    t = torch.linspace(0, 1, 41, dtype=torch.float64).repeat_interleave(64)
    exact = torch.sin(x - speed * t)
    error = ((field(x, t) - exact).norm() / exact.norm()).item()
    return error, course.residuals[-1]


def test_the_error_grows_with_the_speed_until_the_solution_is_lost():
    """At c = 0 there is nothing to learn; at c = 50 the solution decays to its mean."""
    assert solve(0.0)[0] < 1e-12
    slow, fast = solve(5.0)[0], solve(50.0)[0]
    assert 1e-6 < slow < 1e-2
    assert 0.9 < fast < 1.1


def test_a_smaller_residual_is_not_a_smaller_error():
    """Features that are rougher in time fit the residual at the points, not the solution."""
    smooth, rough = solve(20.0), solve(20.0, time_deviation=30.0)
    assert rough[1] < 0.8 * smooth[1]
    assert rough[0] > 1.2 * smooth[0]


def test_random_features_have_one_hidden_layer():
    field = PINN(AdvectionDiffusion(GRID, [1.0]), Sine(GRID), 1.0, num_layers=2)
    with pytest.raises(ValueError, match=r"those of one hidden layer.*2\. Set"):
        fit_random_features(field)
