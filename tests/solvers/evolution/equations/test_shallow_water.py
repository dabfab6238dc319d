import math
import re
from itertools import pairwise

import pytest
import torch

from pdeops.calculus.spherical import SphericalTransform
from pdeops.domain import Sphere
from pdeops.solvers import RK4CN, ShallowWater, evolve
from pdeops.solvers.evolution.equations import williamson
from pdeops.solvers.evolution.equations.shallow_water import EARTH_GRAVITY, EARTH_RADIUS

DAY = 86400
COARSE = Sphere((16, 32), "gauss", radius=EARTH_RADIUS)
GRID = Sphere((32, 64), "gauss", radius=EARTH_RADIUS)


def final(equation, u0, t, dt, **options):
    result = evolve(equation, u0[None], [t], dt=dt, **options)
    assert result.completed, result.reason
    return result.u[0, 0]


def drift(equation, u, u0):
    """Largest change of depth, vorticity and divergence, in units of depth and speed/radius."""
    scale = torch.tensor([equation.mean_depth, 40 / EARTH_RADIUS, 40 / EARTH_RADIUS])
    return ((u - u0).abs().amax((1, 2)) / scale).max().item()


class TestSteadyFlow:
    """Williamson's case 2."""

    @pytest.mark.parametrize(
        "tilt", [math.pi / 2, *(pytest.param(t, marks=pytest.mark.slow) for t in (0.0, 0.05))]
    )
    def test_stays_for_five_days_across_the_poles(self, tilt):
        equation = ShallowWater(COARSE, 2.5e3, tilt=tilt)
        u0 = williamson.steady_flow(COARSE, tilt=tilt)
        assert drift(equation, final(equation, u0, 5 * DAY, 3600), u0) < 1e-11

    def test_speed_and_depth_are_those_at_the_equator(self):
        grid = Sphere((17, 32), radius=EARTH_RADIUS)
        h, *rotation = williamson.steady_flow(grid, speed=30.0, depth=4000.0)
        T = SphericalTransform(grid)
        u, v = T.wind(T.forward(torch.stack(rotation)))
        torch.testing.assert_close(h[8], torch.full_like(h[8], 4000.0))
        torch.testing.assert_close(u[8], torch.full_like(u[8], 30.0))
        assert h.max() == h[8].max()
        assert v.abs().max() < 1e-10

    def test_is_not_steady_under_a_force_of_the_wrong_sign(self):
        equation = ShallowWater(COARSE, 2.5e3, rotation=-7.292e-5)
        u0 = williamson.steady_flow(COARSE)
        assert drift(equation, final(equation, u0, DAY / 4, 900), u0) > 0.1

    def test_is_not_steady_if_the_axis_leans_alone(self):
        equation = ShallowWater(COARSE, 2.5e3)
        u0 = williamson.steady_flow(COARSE, tilt=0.5)
        assert drift(equation, final(equation, u0, DAY / 4, 900), u0) > 0.1

    def test_does_not_depend_on_the_split_by_the_mean_depth(self):
        """H only says which part of gravity waves is linear; case 6, which is not steady."""
        u0 = williamson.rossby_haurwitz(COARSE)
        a, b = (final(ShallowWater(COARSE, H), u0, DAY / 4, 600) for H in (7000.0, 9000.0))
        assert drift(ShallowWater(COARSE, 8000.0), a, b) < 1e-5


@pytest.mark.parametrize(("l", "m"), [(1, 0), (4, 3), (9, 9)])
def test_gravity_waves_have_their_frequency(l, m):
    """Without rotation h' = ε Y cos ωt, δ = εω/H Y sin ωt, ω² = gH l(l+1)/R²: exact in any step."""
    H = 1000.0
    equation = ShallowWater(COARSE, H, rotation=0.0)
    omega = math.sqrt(EARTH_GRAVITY * H * l * (l + 1)) / EARTH_RADIUS
    T = SphericalTransform(COARSE)
    wave = torch.zeros(T.degree + 1, T.degree + 1, dtype=torch.complex128)
    wave[l, m] = 1.0
    y = T.inverse(wave)
    u0 = torch.stack([H + 1e-4 * y, 0 * y, 0 * y])
    t = 1.2345 * 2 * math.pi / omega
    h, zeta, delta = final(equation, u0, t, t / 3)
    assert ((h - H) / 1e-4 - y * math.cos(omega * t)).abs().max() < 1e-6
    assert (delta / (1e-4 * omega / H) - y * math.sin(omega * t)).abs().max() < 1e-6
    assert zeta.abs().max() < 1e-6 * delta.abs().max()


class TestRossbyHaurwitz:
    """Williamson's case 6: not steady, smooth for days."""

    def test_invariants(self):
        equation = ShallowWater(GRID, 8000.0)
        u0 = williamson.rossby_haurwitz(GRID)[None]
        before = equation.invariants(u0)
        drifts = []
        for dt in (3600, 1800):
            after = equation.invariants(final(equation, u0[0], DAY, dt)[None])
            drifts.append({k: abs((after[k] / before[k] - 1).item()) for k in before})
        coarse, fine = drifts
        assert fine["mass"] < 1e-14
        assert fine["energy"] < 2e-8
        assert fine["enstrophy"] < 2e-7
        assert coarse["energy"] > 15 * fine["energy"]
        assert coarse["enstrophy"] > 15 * fine["enstrophy"]

    def test_the_mean_of_the_depth_is_kept_to_the_last_bit(self):
        equation = ShallowWater(COARSE, 8000.0, viscosity=1e17)
        u_hat = equation.encode(williamson.rossby_haurwitz(COARSE)[None])
        assert (equation.nonlinear(u_hat, 0.0)[:, 0, 0] == 0).all()
        assert (equation.symbol[:, :, 0] == 0).all()

    def test_order_in_time(self):
        equation = ShallowWater(COARSE, 8000.0)
        u0 = williamson.rossby_haurwitz(COARSE)
        exact = final(equation, u0, DAY / 8, 112.5)
        e = [drift(equation, final(equation, u0, DAY / 8, dt), exact) for dt in (1800, 900, 450)]
        orders = [math.log2(a / b) for a, b in pairwise(e)]
        assert min(orders) > 3.8
        assert orders[-1] < 4.5

    def test_the_wave_moves_east_at_its_rate(self):
        """The barotropic wave turns by ((r(r+3) ω - 2Ω)/((r+1)(r+2))) t; here, nearly."""
        r, rate = 4, 7.848e-6
        speed = (r * (3 + r) * rate - 2 * 7.292e-5) / ((1 + r) * (2 + r))
        equation = ShallowWater(GRID, 8000.0)
        u0 = williamson.rossby_haurwitz(GRID)
        u = final(equation, u0, DAY, 1800)
        before, after = (torch.fft.rfft(v[1, 10])[r] for v in (u0, u))
        angle = torch.angle(before / after).item() / r
        assert angle == pytest.approx(speed * DAY, rel=0.1)

    def test_a_turned_flow_turns(self):
        equation = ShallowWater(GRID, 8000.0, viscosity=1e15)
        u0 = williamson.rossby_haurwitz(GRID)
        u0[0] += williamson.bump(GRID)
        turned = final(equation, u0.roll(5, -1), DAY / 4, 1200)
        u = final(equation, u0, DAY / 4, 1200)
        assert drift(equation, turned, u.roll(5, -1)) < 1e-12
        assert drift(equation, turned, u) > 1e-3  # it is no zonal flow


class TestMountain:
    """Williamson's case 5."""

    def test_water_at_rest_stays_at_rest(self):
        _, ground = williamson.mountain(GRID)
        T = SphericalTransform(GRID)
        h = 5960 - T.inverse(T.forward(ground))
        equation = ShallowWater(GRID, 5900.0, topography=ground)
        u0 = torch.stack([h, 0 * h, 0 * h])
        assert drift(equation, final(equation, u0, DAY, 3600), u0) < 1e-11

    @pytest.mark.slow
    def test_the_mountain_stirs_the_flow_and_costs_no_energy(self):
        u0, ground = williamson.mountain(GRID)
        equation = ShallowWater(GRID, 5700.0, topography=ground)
        start = equation.decode(equation.encode(u0[None]))
        u = final(equation, start[0], DAY, 1200)
        assert u[2].abs().max() > 1e-6
        before, after = equation.invariants(start), equation.invariants(u[None])
        assert after["mass"].item() == pytest.approx(before["mass"].item(), rel=1e-14)
        assert after["energy"].item() == pytest.approx(before["energy"].item(), rel=1e-6)
        flat = final(ShallowWater(GRID, 5700.0), start[0], DAY, 1200)
        assert drift(equation, flat, u) > 0.1


class TestGalewskyJet:
    def test_depth_and_vorticity(self):
        grid = Sphere((96, 8), "gauss", radius=EARTH_RADIUS)
        h, _, delta = williamson.galewsky_jet(grid)
        assert ((grid.quadrature() * h).sum() / grid.volume).item() == pytest.approx(1e4, abs=1e-6)
        phi = grid.latitude()[:, 0]
        assert h[phi < 0.4].max() - h[phi < 0.4].min() < 1e-9
        # The wind that the vorticity carries is the jet's: 80 m/s at 45 degrees north.
        fine = Sphere((192, 384), "gauss", radius=EARTH_RADIUS)
        jet = williamson.galewsky_jet(fine)
        T = SphericalTransform(fine)
        u, v = T.wind(T.forward(jet[1:]))
        a, b = math.pi / 7, math.pi / 2 - math.pi / 7
        x = fine.latitude()
        inside = (x > a + 1e-3) & (x < b - 1e-3)
        exact = 80 * torch.exp(4 / (b - a) ** 2 + 1 / torch.where(inside, (x - a) * (x - b), -1e-3))
        assert (u - torch.where(inside, exact, 0.0)).abs().max() < 0.1
        assert v.abs().max() < 1e-9
        assert delta.abs().max() == 0

    def test_balance_holds_the_better_the_finer_the_grid(self):
        drifts = []
        for n in (48, 80):
            grid = Sphere((n, 2 * n), "gauss", radius=EARTH_RADIUS)
            equation = ShallowWater(grid, 1e4)
            u0 = williamson.galewsky_jet(grid)
            drifts.append(drift(equation, final(equation, u0, 7200, 900), u0))
        assert drifts[1] < drifts[0] / 5

    def test_the_bump_is_where_it_is_said(self):
        fine = Sphere((256, 64), "gauss", radius=EARTH_RADIUS)
        bump = williamson.bump(fine, height=100.0, latitude=0.5, longitude=0.0)
        i, j = divmod(int(bump.argmax()), 64)
        assert abs(fine.latitude()[i, 0].item() - 0.5) < 0.01
        assert j == 0
        torch.testing.assert_close(bump[:, 1:], bump[:, 1:].flip(1))  # even in longitude
        assert bump.max().item() == pytest.approx(100 * math.cos(0.5), rel=0.01)


def test_viscosity_leaves_rotation_alone_and_decays_at_its_rate():
    equation = ShallowWater(COARSE, 8000.0, viscosity=1e6, order=2)
    decay = -equation.symbol[1, 1, :, 0]
    assert decay[:2].tolist() == [0, 0]
    assert decay[5].item() == pytest.approx(1e6 * (30 - 2) / EARTH_RADIUS**2)
    squared = ShallowWater(COARSE, 8000.0, viscosity=1e17, order=4).symbol[1, 1, 5, 0]
    assert -squared.item() == pytest.approx(1e17 * 28**2 / EARTH_RADIUS**4)
    u0 = williamson.steady_flow(COARSE)
    assert drift(equation, final(equation, u0, DAY, 3600), u0) < 1e-11


def test_samples_of_a_batch_do_not_meet():
    equation = ShallowWater(COARSE, 8000.0)
    a, b = williamson.rossby_haurwitz(COARSE), williamson.steady_flow(COARSE)
    together = evolve(equation, torch.stack([a, b]), [7200, 14400], dt=1200).u
    alone = evolve(equation, a[None], [7200, 14400], dt=1200).u
    assert drift(equation, together[0, 1], alone[0, 1]) < 1e-13


def test_single_precision_stays_close_to_double():
    equation = ShallowWater(COARSE, 8000.0)
    u0 = williamson.rossby_haurwitz(COARSE)
    exact, u = (final(equation, v, DAY / 4, 900) for v in (u0, u0.float()))
    assert u.dtype == torch.float32
    assert drift(equation, u, exact) < 1e-4


def test_a_wind_and_a_depth_make_a_field(generator):
    equation = ShallowWater(COARSE, 8000.0)
    u0 = williamson.rossby_haurwitz(COARSE)[None]
    u0[:, 1:] = equation.decode(equation.encode(u0))[:, 1:]
    wind = equation.wind(equation.encode(u0))
    torch.testing.assert_close(equation.field(wind, u0[:, 0]), u0, rtol=1e-10, atol=1e-16)


def test_blow_up_and_fast_winds_are_reported():
    u0 = williamson.rossby_haurwitz(COARSE)[None]
    result = evolve(ShallowWater(COARSE, 8000.0), u0, [DAY], dt=DAY)
    assert not result.completed
    assert "Courant number 6" in result.reason
    # With gravity waves of a layer of 10 m as the linear part all others are explicit: too fast.
    result = evolve(ShallowWater(COARSE, 10.0), u0, [10 * DAY], dt=7200)
    assert not result.completed
    assert "blow-up at t = " in result.reason
    assert "the largest coefficient is" in result.reason


@pytest.mark.parametrize(
    "times",
    [[3.0], pytest.param([1.9 + 0.02 * i for i in range(56)], marks=pytest.mark.slow)],
)
def test_a_layer_that_runs_dry_is_no_solution(times):
    """Water flows off the south for a while; later the depth would be positive again."""
    grid = Sphere((32, 64), "gauss")
    equation = ShallowWater(grid, 1.0, rotation=0.0, gravity=1.0)
    h = torch.ones(grid.shape, dtype=torch.float64)
    u0 = torch.stack([h, 0 * h, 1.5 * grid.latitude().sin() * h])[None]
    result = evolve(equation, u0, times, dt=0.02)
    assert not result.completed
    found = re.fullmatch(
        r"the layer is dry somewhere, with a depth of (-\S+) m at t = (\S+)", result.reason
    )
    depth, t = map(float, found.groups())
    assert -0.1 < depth < 0
    assert 2.0 < t < 2.3
    assert (result.u[:, :, 0] > 0).all()
    assert len(result.times) == sum(time < t for time in times)


def test_bad_input_is_refused():
    make = {"grid": COARSE, "mean_depth": 1e4}
    for change, message in (
        ({"grid": Sphere((17, 32))}, "Gauss's latitudes up to degree"),
        ({"degree": 11}, "up to degree 10 .* got gauss latitudes and degree 11"),
        ({"mean_depth": 0.0}, "mean_depth, gravity > 0"),
        ({"order": 3}, "even"),
        ({"viscosity": -1.0}, "finite viscosity >= 0"),
        ({"topography": torch.zeros(3, 4)}, r"topography must have shape \(..., 16, 32\)"),
        ({"topography": torch.full((16, 32), math.nan)}, "topography holds NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            ShallowWater(**make | change)
    equation = ShallowWater(**make)
    u0 = williamson.steady_flow(COARSE)[None]
    with pytest.raises(ValueError, match=r"depth, channel 0 .* positive; got -"):
        evolve(equation, u0 * -1, [1.0], dt=1.0)
    with pytest.raises(ValueError, match="3 channel"):
        evolve(equation, u0[:, :2], [1.0], dt=1.0)
    with pytest.raises(ValueError, match="Use ETDRK4"):
        evolve(equation, u0, [1.0], dt=1.0, stepper=RK4CN)
