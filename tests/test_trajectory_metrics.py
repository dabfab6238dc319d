"""Measures of trajectories in closed form: drifting waves, decaying vortices, explosions."""

import math

import pytest
import torch

from pdeops.batch import Batch
from pdeops.domain import Grid, Points, Sphere
from pdeops.solvers.evolution.equations.navier_stokes import NavierStokes
from pdeops.solvers.evolution.evolve import evolve
from pdeops.trajectory_metrics import (
    blow_up,
    correlation,
    correlation_time,
    vorticity_budget,
)

SIDE = 2 * math.pi
LINE = Grid((32,), (SIDE,), "periodic")
BOX = Grid((16, 16), (SIDE, SIDE), "periodic")


def drifting(phases):
    """sin(x - φ) for each time, (1, t, 1, x)."""
    return torch.sin(LINE.nodes()[0] - phases[:, None])[None, :, None]


def test_a_phase_drift_has_the_correlation_of_its_cosine():
    phases = torch.linspace(0, 3, 7, dtype=torch.float64)
    target = drifting(torch.zeros(7, dtype=torch.float64)) * torch.arange(1, 8)[:, None, None]
    found = correlation(drifting(phases) * 3 + 5, target - 2, LINE)
    torch.testing.assert_close(found, torch.cos(phases)[None], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("scale", [1e200, 1e-200])
def test_the_correlation_does_not_depend_on_the_scale_of_either_field(scale):
    phases = torch.linspace(0, 3, 4, dtype=torch.float64)
    p, t = drifting(phases), drifting(0 * phases)
    for a, b in ((scale, scale), (scale, 1), (1, scale), (scale, 1 / scale)):
        found = correlation(a * p, b * t, LINE)
        torch.testing.assert_close(found, torch.cos(phases)[None], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("threshold", [0.8, 0.95])
def test_the_correlation_time_of_a_known_drift(threshold):
    """cos(ωt) = threshold; linear interpolation between frames of spacing h errs by O(h²)."""
    omega, errors = 0.7, []
    for frames in (20, 40, 80):
        t = torch.linspace(0, 2, frames + 1, dtype=torch.float64)[1:]
        c = correlation(drifting(omega * t), drifting(0 * t), LINE)
        time, censored = correlation_time(c, t, threshold)
        assert not censored.any()
        errors.append(abs(time.item() - math.acos(threshold) / omega))
    assert errors[-1] < 2e-4
    assert errors[0] < 4e-3


def test_interpolation_is_exact_where_the_correlation_is_linear():
    t = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
    c = 1 - 0.1 * t
    time, censored = correlation_time(torch.stack([c, c - 0.5, c + 0.3]), t, 0.75)
    assert time[0].item() == pytest.approx(2.5, rel=1e-12)
    assert time[1].item() == pytest.approx(0.25 / 0.6, rel=1e-12)  # from 1 at time 0 to 0.4 at 1
    assert (time[2].item(), censored.tolist()) == (4.0, [False, False, True])


def test_the_first_fall_counts_although_the_correlation_returns():
    t = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    time, censored = correlation_time(torch.tensor([[0.9, 0.5, 1.0]], dtype=t.dtype), t, 0.7)
    assert time.item() == pytest.approx(1.5, rel=1e-12)
    assert not censored.item()


def test_correlation_uses_the_weights_of_the_domain(generator):
    """On a sphere the poles do not count n_lon times; on points the padding does not count."""
    sphere = Sphere((5, 8))
    p, t = torch.randn(2, 2, 3, 2, 5, 8, generator=generator, dtype=torch.float64)
    a = sphere.mean_weights()
    mean = lambda u: (a * u).sum((-2, -1), keepdim=True)  # noqa: E731
    dp, dt = p - mean(p), t - mean(t)
    expected = mean(dp * dt) / (mean(dp**2) * mean(dt**2)).sqrt()
    torch.testing.assert_close(correlation(p, t, sphere), expected[..., 0, 0].mean(2))


def test_constant_and_broken_predictions_correlate_with_nothing():
    t = torch.linspace(0.1, 1, 4, dtype=torch.float64)
    target = drifting(t)
    p = target.clone()
    p[:, 1] = 3.0
    p[:, 2, 0, 5] = math.nan
    p[:, 3, 0, 7] = math.inf
    assert correlation(p, target, LINE)[0].tolist() == pytest.approx([1, 0, 0, 0], abs=1e-12)
    assert correlation(1e200 * target, target, LINE).min() > 1 - 1e-12


def test_what_is_no_time_or_threshold_is_refused():
    c = torch.ones(1, 2, dtype=torch.float64)
    with pytest.raises(ValueError, match="increase from above 0"):
        correlation_time(c, torch.tensor([0.0, 1.0]), 0.8)
    with pytest.raises(ValueError, match="between -1 and 1"):
        correlation_time(c, torch.tensor([1.0, 2.0]), 1.0)


def test_blow_up_by_size_and_by_value(generator):
    """The target grows 3 times, so 30 times its start is allowed and 31 times is not."""
    target = torch.randn(4, 1, 2, 32, generator=generator, dtype=torch.float64).expand(4, 5, 2, 32)
    target = target * torch.tensor([1.0, 3.0, 2.0, 1.0, 1.0])[:, None, None]
    p = target.clone()
    p[1, 3, 0] = target[1, 0, 0] * 29.9  # below the bound
    p[2, 3, 1] = target[2, 0, 1] * 30.1
    p[3, 1, 0, 4] = math.nan
    p[3, 2:] = 0.0
    assert blow_up(p, target, LINE).tolist() == [0, 0, 4, 2]
    assert blow_up(p, target, LINE, multiple=9.0).tolist() == [0, 4, 4, 2]


def test_a_channel_of_the_target_that_is_zero_bounds_nothing():
    target = torch.ones(1, 2, 2, 32, dtype=torch.float64)
    target[:, :, 1] = 0
    assert blow_up(target + 1e-8, target, LINE).tolist() == [0]


def test_taylor_green_decays_by_its_viscosity():
    """ω = cos(kx)cos(ky): ψ = ω/2k², E = |Ω|/16k², Z = |Ω|/8, and E decays like exp(-4νk²t)."""
    nu, k, t = 0.03, 2, torch.linspace(0, 2, 5, dtype=torch.float64)
    x, y = BOX.nodes()
    w = (torch.cos(k * x) * torch.cos(k * y)) * torch.exp(-2 * nu * k**2 * t)[:, None, None]
    budget = vorticity_budget(w[None, :, None], BOX, viscosity=nu)
    decay = torch.exp(-4 * nu * k**2 * t)[None]
    torch.testing.assert_close(budget.energy, BOX.volume / (16 * k**2) * decay)
    torch.testing.assert_close(budget.enstrophy, BOX.volume / 8 * decay)
    torch.testing.assert_close(budget.energy_rate, -4 * nu * k**2 * budget.energy)
    torch.testing.assert_close(budget.enstrophy_rate, -4 * nu * k**2 * budget.enstrophy)


@pytest.fixture(scope="module")
def forced():
    """A forced flow with drag in frames 0.02 apart, solved to 1e-8."""
    nu, drag, h = 0.02, 0.1, 0.02
    x, y = BOX.nodes()
    f = 0.7 * torch.cos(2 * y) + 0.2 * torch.sin(x + y)
    w = (torch.sin(x) * torch.cos(2 * y) + torch.cos(x + 1) - 0.5 * torch.sin(2 * x + y))[
        None, None
    ]
    flow = NavierStokes(BOX, nu, drag=drag, forcing=f)
    frames = evolve(flow, w, [h * i for i in range(5)], dt=0.005).u
    return frames, h, vorticity_budget(frames, BOX, viscosity=nu, drag=drag, forcing=f)


@pytest.mark.parametrize("name", ["energy", "enstrophy"])
def test_the_balance_is_that_of_the_equation(forced, name):
    """dE/dt = -2νZ - 2μE + ∫ψf and dZ/dt = -2νP - 2μZ + ∫ωf, by fourth-order differences."""
    _, h, budget = forced
    q = getattr(budget, name)[0]
    by_difference = (q[0] - 8 * q[1] + 8 * q[3] - q[4]) / (12 * h)
    rate = getattr(budget, f"{name}_rate")[0, 2]
    assert rate.item() == pytest.approx(by_difference.item(), rel=1e-6)
    for part in ("injection", "dissipation"):  # the test sees both terms
        assert abs(getattr(budget, f"{name}_{part}")[0, 2]) > 0.01 * abs(by_difference)


def test_energy_is_that_of_the_velocity(forced):
    frames, _, budget = forced
    flow = NavierStokes(BOX, 0.0)
    u = flow.velocity(flow.encode(frames[0]))
    energy = (BOX.quadrature() * u.square()).flatten(1).sum(1) / 2
    torch.testing.assert_close(budget.energy[0], energy)


def test_points_that_differ_by_sample(generator):
    """Padding does not change the correlation of scattered points."""
    positions = torch.rand(1, 2, 7, generator=generator, dtype=torch.float64)
    p, t = torch.randn(2, 1, 3, 1, 7, generator=generator, dtype=torch.float64)
    mask = torch.ones(1, 7, dtype=torch.bool)
    mask[..., 5:] = False
    domain = Points(2).at(Batch(input=t, target=t, positions=positions, mask=mask))
    short = Points(2).at(Batch(input=t[..., :5], target=t[..., :5], positions=positions[..., :5]))
    expected = correlation(p[..., :5], t[..., :5], short)
    for padding in (0.0, math.nan, 1e300):  # whatever the model returns there
        p[..., 5:] = padding
        torch.testing.assert_close(correlation(p, t, domain), expected)
