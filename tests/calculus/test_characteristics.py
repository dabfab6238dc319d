"""Fields along closed-form characteristics, evaluated at points."""

import math

import pytest
import torch

from pdeops.calculus.characteristics import Moved, interpolate_periodic, to_points
from pdeops.domain import Grid
from pdeops.solvers import cole_hopf, hopf_lax

PI = math.pi
CIRCLE = Grid((256,), 2 * PI, "periodic")


def points(n, shift=0.01):
    """Uniform points that no shock meets."""
    return CIRCLE.with_shape((n,)).nodes() + shift


def inviscid(t, c=0.0):
    """Burgers' equation without viscosity, u0 = c + sin ξ."""

    def flow(xi):
        w = c + torch.sin(xi)
        return Moved(xi + t * w, 1 + t * torch.cos(xi)[None], w)

    return flow


def label_diffusion(t, nu, c=0.0):
    """X_t = w, w_t = ν w_ξξ: what diffusion in labels makes of Burgers' equation."""

    def flow(xi):
        decay = -math.expm1(-nu * t) / nu
        w = c + math.exp(-nu * t) * torch.sin(xi)
        return Moved(xi + c * t + decay * torch.sin(xi), 1 + decay * torch.cos(xi)[None], w)

    return flow


def hopf(x, t, c=0.0):
    return hopf_lax(
        lambda y: c + torch.sin(y),
        lambda y: c * y - torch.cos(y),
        x,
        t,
        largest=c + 1.01,
        num_candidates=4001,
    )[0]


@pytest.mark.parametrize("c", [0.0, 3.0])
@pytest.mark.parametrize("t", [0.5, 0.99, 1.5, 2.0])
def test_equals_hopf_and_lax_before_and_after_the_shock(t, c):
    x = points(100)
    result = to_points(inviscid(t, c), x, CIRCLE)
    assert result.folded == (t > 1)
    assert (result.u[0] - hopf(x[0], t, c)).abs().max() < 1e-10
    assert (inviscid(t, c)(result.labels).position - x).abs().max() < 1e-12


def test_the_shock_moves_with_the_mean_and_has_the_exact_jump():
    """At π + ct; at t = 2 the jump is 2a with a = sin(a'), a' + 2 sin a' = π."""
    c, t, h = 3.0, 2.0, 1e-9
    x = torch.tensor([[PI + c * t - h, PI + c * t + h]], dtype=torch.float64)
    left, right = to_points(inviscid(t, c), x, CIRCLE).u[0] - c
    assert left.item() == pytest.approx(0.947747, abs=1e-6)
    assert right.item() == pytest.approx(-0.947747, abs=1e-6)


def test_a_concave_flux_keeps_the_other_sheet():
    """u_t - (u²/2)_x = 0 is Burgers' equation for -u, whose shock forms at x = 0."""
    t, x = 2.0, points(100)

    def flow(xi):
        w = torch.sin(xi)
        return Moved(xi - t * w, 1 - t * torch.cos(xi)[None], w)

    u = to_points(flow, x, CIRCLE, flux_is_convex=False).u[0]
    exact = -hopf(x[0] + PI, t)
    assert (u - exact).abs().max() < 1e-10
    wrong = to_points(flow, x, CIRCLE).u[0]
    assert (wrong - exact).abs().max() > 0.5


def test_two_shocks_are_selected_by_area():
    """A fold within a longer fold; the potential is over several periods."""
    t, x = 6.0, points(64)

    def u0(y):
        return torch.sin(y) + 0.7 * torch.cos(3 * y)

    def flow(xi):
        slope = torch.cos(xi) - 2.1 * torch.sin(3 * xi)
        return Moved(xi + t * u0(xi), 1 + t * slope[None], u0(xi))

    def potential(y):
        return -torch.cos(y) + 0.7 * torch.sin(3 * y) / 3

    exact = hopf_lax(u0, potential, x[0], t, largest=1.8, num_candidates=8001)[0]
    assert (to_points(flow, x, CIRCLE).u[0] - exact).abs().max() < 1e-9


@pytest.mark.parametrize("nu", [0.01, 0.1])
def test_the_fold_is_detected_when_it_happens(nu):
    x = points(16)
    for flow, t_b in ((inviscid, 1.0), (lambda t: label_diffusion(t, nu), -math.log1p(-nu) / nu)):
        assert not to_points(flow(t_b - 1e-6), x, CIRCLE).folded
        assert to_points(flow(t_b + 1e-6), x, CIRCLE).folded


@pytest.mark.parametrize(
    ("nu", "t", "error"),
    [(0.01, 1, 4.4e-2), (0.05, 1, 0.10), (0.1, 1, 0.14), (0.01, 0.5, 2.5e-3), (0.1, 0.5, 2.2e-2)],
)
def test_diffusion_in_labels_is_wrong_by_the_known_error(nu, t, error):
    """The exact solution of the published equations against that of Burgers' equation."""
    x = points(200)
    exact = cole_hopf(torch.sin, lambda y: -torch.cos(y), x[0], t, nu)
    u = to_points(label_diffusion(t, nu), x, CIRCLE).u[0]
    assert ((u - exact).norm() / exact.norm()).item() == pytest.approx(error, rel=0.06)


@pytest.mark.parametrize("shift", [0.0, 0.37, 5.0, -40.0])
def test_labels_have_no_seam(shift):
    """Labels that start elsewhere on the circle give the same field, before and after a fold."""
    x = points(50)
    for t in (0.9, 1.7):
        flow = inviscid(t)

        def shifted(xi, flow=flow):
            return flow(xi + shift)

        moved = to_points(shifted, x, CIRCLE)
        assert (moved.u - to_points(flow, x, CIRCLE).u).abs().max() < 1e-12


@pytest.mark.parametrize("roll", [1, 100, 255])
def test_interpolation_has_no_seam_and_no_new_extrema(roll):
    flow, x = inviscid(0.9), points(300)
    X, _, w = flow(CIRCLE.nodes())
    u = interpolate_periodic(X[0], w, x[0], 2 * PI)
    rolled = interpolate_periodic(X[0].roll(roll) + 2 * PI, w.roll(roll, 1), x[0] - 4 * PI, 2 * PI)
    assert (u - rolled).abs().max() < 1e-12
    assert u.amax() <= w.amax()
    assert u.amin() >= w.amin()
    assert (u - to_points(flow, x, CIRCLE).u).abs().max() < 2e-3
    with pytest.raises(ValueError, match="coincide modulo"):
        interpolate_periodic(
            torch.cat([X[0], X[0, :1] + 2 * PI]), w.new_zeros(1, 257), x[0], 2 * PI
        )


@pytest.mark.parametrize("period", [1.0, 0.7, 2 * PI])
def test_positions_of_the_nodes_have_labels(period):
    """x = X(ξ) + kL up to round-off, at the ends of the intervals that bracket it."""
    grid = Grid((64,), period, "periodic")
    k = 2 * PI / period

    def flow(xi):
        p, slope = torch.sin(k * xi), torch.cos(k * xi)
        return Moved(xi + 15.5 + 0.1 * period * p, 1 + 0.2 * PI * slope[None], p)

    for periods in (-1, 0, 1, 3, 7):
        x = flow(grid.nodes()).position + periods * period
        labels = to_points(flow, x, grid).labels
        assert (flow(labels).position - x).abs().max() < 1e-13


def test_mass_is_that_of_the_labels():
    """∫ u dx = ∫ w J dξ, before and after the fold."""
    grid = CIRCLE.with_shape((2000,))
    x = grid.nodes()
    for t, error in ((0.5, 1e-12), (2.0, 2e-3)):
        moved = inviscid(t, 0.3)(x)
        mass = (moved.value[0] * moved.gradient[0, 0]).mean()
        assert mass.item() == pytest.approx(0.3, abs=1e-13)
        assert to_points(inviscid(t, 0.3), x, CIRCLE).u.mean().item() == pytest.approx(
            0.3, abs=error
        )


def shear(t, box):
    """(x, y) -> (x + t sin(2πy/L_y), y), then (x, y + t cos(2πx/L_x)), with w = cos(2πξ/L_x)."""
    kx, ky = (2 * PI / L for L in box.extent)

    def flow(xi):
        x, y = xi
        X = x + t * torch.sin(ky * y)
        Y = y + t * torch.cos(kx * X)
        one = torch.ones_like(x)
        Xx, Xy = one, t * ky * torch.cos(ky * y)
        slope = -t * kx * torch.sin(kx * X)
        F = torch.stack([torch.stack([Xx, Xy]), torch.stack([slope * Xx, one + slope * Xy])])
        return Moved(torch.stack([X, Y]), F, torch.cos(kx * x)[None])

    return flow


def test_labels_in_two_dimensions(generator):
    """A composition of two shears, whose inverse is explicit."""
    box = Grid((24, 24), (1.0, 2.0), "periodic")
    t = 0.3
    kx, ky = 2 * PI, PI
    x = 6 * torch.rand(2, 200, generator=generator, dtype=torch.float64) - 3
    y0 = x[1] - t * torch.cos(kx * x[0])
    x0 = x[0] - t * torch.sin(ky * y0)
    result = to_points(shear(t, box), x, box)
    assert (result.labels - torch.stack([x0, y0])).abs().max() < 1e-10
    assert (result.u[0] - torch.cos(kx * x0)).abs().max() < 1e-10
    assert result.smallest_jacobian == pytest.approx(1.0, abs=1e-12)


def test_bad_maps_are_refused():
    x = points(8)

    def with_nan(xi):
        moved = inviscid(0.5)(xi)
        return moved._replace(value=torch.where(xi > 3, torch.nan, moved.value))

    with pytest.raises(ValueError, match=r"not finite: w at the label \[3\.0"):
        to_points(with_nan, x, CIRCLE)
    with pytest.raises(ValueError, match=r"points x must be finite; got .*nan"):
        to_points(inviscid(0.5), x.where(x < 3, torch.nan), CIRCLE)
    box = Grid((16, 16), 1.0, "periodic")

    def folded(xi):
        J = 1 - 1.5 * torch.cos(2 * PI * xi[0])
        zero, one = torch.zeros_like(J), torch.ones_like(J)
        F = torch.stack([torch.stack([J, zero]), torch.stack([zero, one])])
        return Moved(
            torch.stack([xi[0] - 1.5 * torch.sin(2 * PI * xi[0]) / (2 * PI), xi[1]]), F, xi
        )

    with pytest.raises(ValueError, match=r"folded \(min J = -0\.5\)"):
        to_points(folded, torch.zeros(2, 1, dtype=torch.float64), box)
