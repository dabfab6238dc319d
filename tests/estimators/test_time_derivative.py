"""Differences across frames: exact for polynomials, of their order, and quadrature in time."""

import math
from itertools import pairwise

import pytest
import torch

from pdeops.domain import Grid
from pdeops.estimators import Differences, EvolutionResidual
from pdeops.estimators.time_derivative import trapezoidal_weights
from pdeops.solvers import NavierStokes

UNEVEN = [0.0, 0.1, 0.25, 0.3, 0.5, 0.65, 0.7, 0.9]


@pytest.mark.parametrize("accuracy", [1, 2, 4, 6])
def test_exact_for_polynomials_also_between_uneven_times(accuracy):
    t = torch.tensor(UNEVEN, dtype=torch.float64)
    D = Differences(accuracy).matrix(UNEVEN)
    for degree in range(accuracy + 1):
        slope = degree * t ** max(degree - 1, 0)
        assert (D @ t**degree - slope).abs().max() < 1e-11
    wrong = D @ t ** (accuracy + 1) - (accuracy + 1) * t**accuracy
    assert wrong.abs().max() > 1e-5  # and not for the next degree


def test_the_textbook_weights():
    D = Differences(4).matrix([0.0, 1.0, 2.0, 3.0, 4.0])
    assert D[2].tolist() == pytest.approx([1 / 12, -8 / 12, 0, 8 / 12, -1 / 12], abs=1e-14)
    assert D[0].tolist() == pytest.approx([-25 / 12, 4, -3, 4 / 3, -1 / 4], abs=1e-13)


@pytest.mark.parametrize("accuracy", [4, 6])
@pytest.mark.parametrize("count", [7, 11, 41])
def test_one_given_frame_determines_the_later_ones(accuracy, count):
    """The least-squares problem of a refinement needs no damping: without the column of the first
    frame D has full rank, σ >= 1/T; with it the constants are in its kernel."""
    times = [0.01 * i for i in range(count)]
    D = Differences(accuracy).matrix(times)
    assert torch.linalg.svdvals(D[:, 1:])[-1] > 1 / times[-1]
    assert torch.linalg.svdvals(D)[-1] < 1e-10 / times[-1]


def test_quadrature_weights_sum_to_the_length():
    theta = trapezoidal_weights(UNEVEN)
    assert theta.min() > 0
    assert theta.sum().item() == pytest.approx(0.9, rel=1e-14)
    t = torch.tensor(UNEVEN, dtype=torch.float64)
    assert (theta * t).sum().item() == pytest.approx(0.405, rel=1e-14)


def taylor_green(grid, times, viscosity, k=2):
    """2k cos kx cos ky exp(-2νk²t), an exact solution: its convection vanishes."""
    x, y = grid.nodes() * k
    w = 2 * k * torch.cos(x) * torch.cos(y)
    return torch.stack([w * math.exp(-2 * viscosity * k**2 * t) for t in times])[None, :, None]


@pytest.mark.parametrize("accuracy", [4, 6])
@pytest.mark.parametrize("stretch", [1.0, 1.4])
def test_on_taylor_green_the_residual_falls_at_the_order_of_the_difference(accuracy, stretch):
    """E2, with equal and with growing steps."""
    grid, nu = Grid((12, 12), 2 * math.pi, "periodic"), 0.2
    etas = []
    for count in (8, 16, 32):
        times = [(i / count) ** stretch for i in range(count + 1)]
        estimator = EvolutionResidual(
            NavierStokes(grid, nu), times, derivative=Differences(accuracy)
        )
        etas.append(estimator(taylor_green(grid, times, nu)).item())
    orders = [math.log2(a / b) for a, b in pairwise(etas)]
    # A half more where the one-sided differences of a fixed number of frames dominate.
    assert all(accuracy - 0.1 < order < accuracy + 0.7 for order in orders)


def test_too_few_frames():
    grid = Grid((12, 12), 1.0, "periodic")
    with pytest.raises(ValueError, match=r"need 7 frames; got 5\. Use more frames, or Differences"):
        EvolutionResidual(NavierStokes(grid, 0.1), [0, 1, 2, 3, 4], derivative=Differences(6))


@pytest.mark.parametrize("times", [[0.0], [0.0, 0.2, 0.1, 0.3, 0.4], [0.0, 1.0, math.nan]])
def test_times_increase(times):
    with pytest.raises(ValueError, match="finite and increase"):
        EvolutionResidual(NavierStokes(Grid((12, 12), 1.0, "periodic"), 0.1), times)


def test_accuracy_is_positive():
    with pytest.raises(ValueError, match="1 or more"):
        Differences(0)
