"""The norm in which an estimator measures: exact for modes, dual, the same on every grid."""

import math

import pytest
import torch

from pdeops.calculus.fourier import apply_multiplier, sobolev_multiplier
from pdeops.calculus.norms import Sobolev, relative_error
from pdeops.domain import Grid
from pdeops.estimators import EvolutionResidual
from pdeops.solvers import Heat

from .conftest import random_field

ORDERS = [-2.0, -1.0, -0.5, 0.0, 1.0, 2.0]


def norm_of(g, grid, *, order, alpha, frames=5, length=1.0):
    """‖g‖_{H^s} by an estimator: u = g t solves u_t = 0 up to the residual -g, T = `length`."""
    times = [length * i / (frames - 1) for i in range(frames)]
    u = torch.stack([g * t for t in times], 1)
    estimator = EvolutionResidual(Heat(grid, 0.0), times, order=order, alpha=alpha)
    return estimator(u) / math.sqrt(length)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("n", "box", "frames"), [(12, 1.0, 5), (15, 2.0, 9), (32, 2 * math.pi, 6)])
def test_a_single_mode(order, n, box, frames):
    """N1: ‖sin(ξx)‖_{H^s} = (α + ξ²)^{s/2} L/√2 in 2D, for every n, box and number of frames."""
    grid, alpha = Grid((n, n), box, "periodic"), 0.7
    for k in (1, 3, 5):
        xi = 2 * math.pi * k / box
        g = torch.sin(xi * grid.nodes()[0])[None, None]
        norm = norm_of(g, grid, order=order, alpha=alpha, frames=frames, length=0.3)
        exact = (alpha + xi**2) ** (order / 2) * box / math.sqrt(2)
        assert norm.item() == pytest.approx(exact, rel=1e-11)


def test_order_zero_is_the_root_mean_square(generator):
    """N2: RMS times the side of the box."""
    grid = Grid((9, 14), 3.0, "periodic")
    g = random_field(grid, 4, generator)
    rms = g.square().mean().sqrt().item()
    assert norm_of(g, grid, order=0.0, alpha=1.0).item() == pytest.approx(3.0 * rms, rel=1e-12)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("frames", [1, 10, 40])
def test_the_relative_error_of_ten_percent_is_ten_percent(order, frames, generator):
    """N3: whatever the number of frames and s."""
    grid = Grid((8, 8), 1.0, "periodic")
    w = random_field(grid, 3, generator, samples=frames)[None]
    assert relative_error(Sobolev(order, grid), 1.1 * w, w).item() == pytest.approx(0.1, rel=1e-12)


@pytest.mark.parametrize("alpha", [0.0, 1.3])
def test_duality(alpha, generator):
    """N4: |⟨g, v⟩| <= ‖g‖_{-1} ‖v‖_1, with equality at the Riesz representative of g."""
    grid = Grid((12, 12), 2.0, "periodic")
    g = random_field(grid, 5, generator)
    w = grid.quadrature()
    dual = norm_of(g, grid, order=-1.0, alpha=alpha).item()
    slopes = Sobolev(1.0, grid, alpha)
    for _ in range(5):
        v = random_field(grid, 5, generator)
        assert abs((w * g * v).sum().item()) <= dual * slopes(v).item() * (1 + 1e-12)
    riesz = apply_multiplier(g, sobolev_multiplier(grid, -2, alpha), grid)
    assert (w * g * riesz).sum().item() == pytest.approx(dual * slopes(riesz).item(), rel=1e-12)


@pytest.mark.parametrize("order", [-1.0, 1.0])
def test_it_does_not_depend_on_the_grid(order):
    """N5: for fields that all grids resolve."""
    norms = []
    for shape in ((16, 16), (17, 20), (48, 31)):
        grid = Grid(shape, 2.0, "periodic")
        g = random_field(grid, 7, torch.Generator().manual_seed(5))
        norms.append(norm_of(g, grid, order=order, alpha=None).item())
    assert norms == pytest.approx([norms[0]] * 3, rel=1e-11)
