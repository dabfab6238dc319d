"""The indicator of shallow water: floors, controls, and the energy norm by degree."""

import math

import pytest
import torch

from pdeops.calculus.spherical import evaluate
from pdeops.domain import Sphere
from pdeops.estimators import Differences, ShallowWaterIndicator
from pdeops.solvers import ShallowWater, evolve
from pdeops.solvers.evolution.equations.shallow_water import EARTH_RADIUS
from pdeops.solvers.evolution.equations.williamson import rossby_haurwitz, steady_flow

HOUR = 3600.0


@pytest.fixture(scope="module")
def wave():
    """Frames of a Rossby-Haurwitz wave, 15 minutes apart."""
    grid = Sphere((25, 50), "gauss", radius=EARTH_RADIUS)
    equation = ShallowWater(grid, 9000.0)
    times = [0.25 * HOUR * i for i in range(9)]
    solution = evolve(equation, rossby_haurwitz(grid)[None], times, dt=450.0)
    assert solution.completed
    return equation, times, solution.u


def test_controls(wave):
    equation, times, u = wave
    indicator = ShallowWaterIndicator(equation, times, derivative=Differences(6))
    floor = indicator(u).item()
    order = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    assert indicator(u[:, order]).item() > 100 * floor
    turned = torch.stack([frame.roll(7 * i, -1) for i, frame in enumerate(u.unbind(1))], 1)
    assert indicator(turned).item() > 100 * floor
    scaled = u.clone()
    scaled[:, :, 1:] *= 0.9
    assert indicator(scaled).item() > 3 * floor
    other = ShallowWater(equation.grid, 9000.0, rotation=1.1 * 7.292e-5)
    assert ShallowWaterIndicator(other, times)(u).item() > 3 * floor


@pytest.mark.parametrize("tilt", [0.0, 0.6])
def test_a_steady_flow_has_no_residual(tilt):
    """Williamson 2, an exact solution; without tilting the earth with it it is none."""
    grid = Sphere((17, 34), "gauss", radius=EARTH_RADIUS)
    times = [HOUR * i for i in range(5)]
    u = torch.stack([steady_flow(grid, tilt=tilt)] * 5)[None]
    eta = ShallowWaterIndicator(ShallowWater(grid, 2000.0, tilt=tilt), times)(u).item()
    wrong = ShallowWaterIndicator(ShallowWater(grid, 2000.0, tilt=tilt + 0.3), times)(u).item()
    assert eta < 1e-9 * wrong


def test_the_norm_is_the_energy():
    """order 0 of frames that are linear in time: √(∫ g h² + H|v|² dA) per unit of time; of a tilted
    flow, which has waves in longitude."""
    grid = Sphere((17, 34), "gauss", radius=EARTH_RADIUS)
    equation = ShallowWater(grid, 2000.0, rotation=0.0)
    u = steady_flow(grid, tilt=0.6)[None]
    u[:, 0] -= u[:, 0].mean()
    v = equation.transform.wind(equation.transform.forward(u[:, 1:]))
    density = equation.gravity * u[:, 0].square() + 2000.0 * v.square().sum(1)
    energy = (grid.quadrature() * density).sum().item()
    rest = torch.zeros_like(u)
    rest[:, 0] = 2000.0
    eps, step = 1e-6, 1e-3  # so small that products and pressure do not count
    frames = torch.stack([rest + eps * i * u for i in range(5)], 1)
    eta = ShallowWaterIndicator(equation, [step * i for i in range(5)], order=0.0)(frames).item()
    assert eta == pytest.approx(eps / step * math.sqrt(energy * 4 * step), rel=1e-3)


@pytest.mark.parametrize("degree", [1, 5])
def test_the_order_weighs_by_degree(degree):
    """(α + l(l+1)/R²)^{s/2} on a depth of one harmonic that grows in time; α is 2/R²."""
    grid = Sphere((17, 34), "gauss", radius=EARTH_RADIUS)
    equation = ShallowWater(grid, 2000.0, rotation=0.0)
    waves = torch.zeros(degree + 1, degree + 1, dtype=torch.complex128)
    waves[degree, 1] = 1.0
    depth = evaluate(waves, grid)
    frames = torch.zeros(1, 5, 3, *grid.shape, dtype=torch.float64)
    frames[:, :, 0] = 2000.0 + 1e-6 * torch.arange(5.0).double()[:, None, None] * depth
    times = [1e-3 * i for i in range(5)]
    plain = ShallowWaterIndicator(equation, times, order=0.0)(frames).item()
    for order in (-1.0, -2.0):
        eta = ShallowWaterIndicator(equation, times, order=order)(frames).item()
        weight = ((2 + degree * (degree + 1)) / EARTH_RADIUS**2) ** (order / 2)
        assert eta / plain == pytest.approx(weight, rel=1e-3)


def test_frames_on_other_nodes(wave):
    """Equiangular frames of the same functions have the same η."""
    equation, times, u = wave
    nodes = Sphere((49, 96), radius=EARTH_RADIUS)
    v = evaluate(equation.transform.forward(u), nodes)
    etas = [
        ShallowWaterIndicator(equation, times, grid=g)(f).item() for g, f in ((None, u), (nodes, v))
    ]
    assert etas[0] == pytest.approx(etas[1], rel=1e-6)
    with pytest.raises(ValueError, match="of radius"):
        ShallowWaterIndicator(equation, times, grid=Sphere((49, 96)))


def test_it_can_be_linearised_but_not_frozen(wave, generator):
    equation, times, u = wave
    indicator = ShallowWaterIndicator(equation, times)
    model = indicator.linearised(u)
    d = u * torch.randn(u.shape, generator=generator, dtype=torch.float64)
    r = indicator.components(u)
    assert (model(u) - r).norm() < 1e-6 * model.apply(u).norm()
    r = torch.randn(r.shape, generator=generator, dtype=torch.float64)
    Ad = model.apply(d)
    gap = (Ad * r).sum() - (d * model.adjoint(r)).sum()
    assert gap.abs() < 1e-12 * Ad.norm() * r.norm()
    with pytest.raises(ValueError, match="no quasilinear form"):
        indicator.frozen(u)
