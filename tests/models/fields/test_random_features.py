"""Convection by random features: where PINN fails, without training noise."""

import math

import pytest
import torch

from pdeops.batch import Batch
from pdeops.domain import Grid
from pdeops.models import PINN
from pdeops.solvers import AdvectionDiffusion
from pdeops.solvers.evolution.initial import Sine
from pdeops.tasks.collocation import (
    CollocationPoints,
    CollocationTable,
    ResidualLoss,
    random_features,
)
from pdeops.training.gauss_newton import least_squares

GRID = Grid((64,), 2 * math.pi, "periodic")


def solve(speed, time_deviation=2.0):
    """Relative error over all times, and root mean square of the residual: 250 features, 64 x 48
    points."""
    equation = AdvectionDiffusion(GRID, [speed])
    field = PINN(equation, Sine(GRID), 1.0, hidden_channels=250, num_layers=1).double()
    random_features(field, 1.0, time_deviation, torch.Generator().manual_seed(0))
    points = CollocationPoints(field, CollocationTable(64, 48), 1, 0)
    batch = Batch.collate([points[0]])
    loss = ResidualLoss()
    r, J = loss.linearise(field, batch)
    output = field.networks[0].output
    step = least_squares(J, -r, 1e-12)
    with torch.no_grad():
        torch.nn.utils.vector_to_parameters(step, output.parameters())
    x = GRID.axis(0)[None].repeat(1, 41)
    t = torch.linspace(0, 1, 41, dtype=torch.float64).repeat_interleave(64)
    exact = torch.sin(x - speed * t)
    error = ((field(x, t) - exact).norm() / exact.norm()).item()
    return error, loss(field, batch).sqrt().item()


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


@pytest.mark.parametrize("layers", [2])
def test_random_features_have_one_hidden_layer(layers):
    field = PINN(AdvectionDiffusion(GRID, [1.0]), Sine(GRID), 1.0, num_layers=layers)
    with pytest.raises(ValueError, match=r"those of one hidden layer.*2\. Set"):
        random_features(field, 1.0, 1.0, torch.Generator())
