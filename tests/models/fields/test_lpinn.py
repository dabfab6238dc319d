"""LPINN against exact solutions, by random features: no training noise."""

import math

import pytest
import torch

from pdeops.domain import Grid
from pdeops.models import LPINN, PINN
from pdeops.solvers import AdvectionDiffusion, Burgers, Transport, cole_hopf, hopf_lax
from pdeops.tasks.random_features import fit_random_features

PI = math.pi
CIRCLE = Grid((64,), 2 * PI, "periodic")
X = CIRCLE.with_shape((101,)).nodes() + 0.01
ONE_LAYER = {"position_layers": 1, "value_layers": 1}
FEW = {"points": 24, "times": 12, "deviation": 0.7, "time_deviation": 0.7}


def sine(mean=0.0):
    return lambda x: mean + torch.sin(x)


def solve(equation, u0, t_end=1.0, *, features=80, fit=FEW, **arguments):
    """An LPINN with random features, and the course of the residual."""
    model = LPINN(equation, u0, t_end, hidden_channels=features, **ONE_LAYER, **arguments)
    (course,) = fit_random_features(model, **fit)
    return model, course


def relative(u, exact, mean=0.0):
    return ((u - exact).norm() / (exact - mean).norm()).item()


def burgers(x, t, nu, c=0.0):
    return c + cole_hopf(torch.sin, lambda y: -torch.cos(y), x - c * t, t, nu)


@pytest.fixture(scope="module")
def at_rest_and_fast():
    """Viscous Burgers, ν = 0.1, u0 = c + sin x for c = 0 and 50."""
    return {c: solve(Burgers(CIRCLE, 0.1), sine(c), features=100) for c in (0.0, 50.0)}


@pytest.mark.parametrize("nu", [0.0, 0.01])
def test_convection_is_exact_at_every_speed(nu):
    """T1: with and without the drift subtracted; J = 1, so labels and positions diffuse alike."""
    c, equation = 50.0, AdvectionDiffusion(CIRCLE, [50.0], nu)
    for subtract_drift in (True, False):
        model, _ = solve(equation, sine(), subtract_drift=subtract_drift)
        for t in (0.5, 1.0):
            exact = math.exp(-nu * t) * torch.sin(X[0] - c * t)
            assert relative(model.at(X, t).u[0], exact) < 1e-5


def test_the_error_does_not_depend_on_the_speed(at_rest_and_fast):
    """T2: the same course of the residual to round-off, and the same error."""
    (slow, course), (fast, fast_course) = at_rest_and_fast.values()
    assert fast_course.residuals == pytest.approx(course.residuals, rel=1e-9)
    errors = [
        relative(m.at(X, 1.0).u[0], burgers(X[0], 1.0, 0.1, c), c)
        for m, c in ((slow, 0.0), (fast, 50.0))
    ]
    assert errors[0] < 1e-3
    assert errors[1] == pytest.approx(errors[0], rel=0.05)


def pinn(equation, u0):
    model = PINN(equation, u0, 1.0, hidden_channels=100, num_layers=1)
    fit_random_features(model, **FEW)
    return model(X, torch.ones_like(X[0]))[0]


def test_a_pinn_fails_at_high_speed_and_ties_at_rest(at_rest_and_fast):
    """T1 and T12: the same features and points."""
    u = pinn(AdvectionDiffusion(CIRCLE, [50.0]), sine())
    assert relative(u, torch.sin(X[0] - 50.0)) > 0.5
    exact = burgers(X[0], 1.0, 0.1)
    ours = relative(at_rest_and_fast[0.0][0].at(X, 1.0).u[0], exact)
    assert ours < 3 * relative(pinn(Burgers(CIRCLE, 0.1), sine()), exact)


@pytest.mark.slow
@pytest.mark.parametrize(("nu", "error"), [(0.1, 8.3e-5), (0.05, 5.4e-4)])
def test_figures_of_the_published_comparison(nu, error):
    """250 features, 64 x 48 points: the known error at most, and independent of c within 5 %."""
    fit = {"points": 64, "times": 48, "deviation": 0.7, "time_deviation": 0.7}
    errors = []
    for c in (0.0, 10.0, 50.0):
        model, _ = solve(Burgers(CIRCLE, nu), sine(c), features=250, fit=fit)
        u = torch.cat([model.at(X, k / 10).u[0] for k in range(1, 11)])
        exact = torch.cat([burgers(X[0], k / 10, nu, c) for k in range(1, 11)])
        errors.append(relative(u, exact, c))
    assert errors[0] < error
    assert errors == pytest.approx([errors[0]] * 3, rel=0.05)


@pytest.mark.parametrize(("subtract_drift", "speed"), [(True, 0.5), (False, 3.0)])
def test_the_residual_of_positions_is_relative_to_the_speed(subtract_drift, speed):
    """X_t - w divided by the largest |f₁ - c̄| at t = 0, here 1/2, or by that with c̄ = 3."""
    torch.manual_seed(0)
    equation = Burgers(CIRCLE, 0.1)
    model = LPINN(equation, lambda x: 3 + x.sin() / 2, 1.0, subtract_drift=subtract_drift).double()
    points = model.collocate(X[:, :5], torch.linspace(0, 1, 5).double())
    position, w = model.jets(points)
    r = model.residual(points)[0]
    torch.testing.assert_close(r, (position.dt - w.value)[0] / speed, rtol=1e-12, atol=1e-12)


def test_training_does_not_depend_on_the_speed():
    """T2 for Adam: the same losses."""
    losses = {}
    for c in (0.0, 50.0):
        torch.manual_seed(0)
        model = LPINN(
            Burgers(CIRCLE, 0.1), sine(c), 1.0, hidden_channels=8, value_layers=2
        ).double()
        xi, t = torch.meshgrid(CIRCLE.axis(0)[::4], torch.linspace(0, 1, 8).double(), indexing="ij")
        points = model.collocate(xi.reshape(1, -1), t.flatten())
        optimizer = torch.optim.Adam(model.parameters(), 1e-2)
        losses[c] = []
        for _ in range(10):
            optimizer.zero_grad()
            loss = model.residual(points).square().mean()
            loss.backward()
            optimizer.step()
            losses[c].append(loss.item())
    assert losses[0.0][-1] < losses[0.0][0]
    assert losses[50.0] == pytest.approx(losses[0.0], rel=1e-8)


def test_inviscid_burgers_is_linear():
    """T3: w = u0(ξ) and X = ξ + t u0(ξ), by the first least-squares solution."""
    model, course = solve(Burgers(CIRCLE, 0.0), sine(2.0), 0.9)
    assert course.residuals[1] < 1e-5 * course.residuals[0]
    moved = model.flow(CIRCLE.nodes(), 0.7)
    w = sine(2.0)(CIRCLE.nodes())
    assert (moved.value - w).abs().max() < 1e-5
    assert (moved.position - CIRCLE.nodes() - 0.7 * w).abs().max() < 1e-5


def test_the_label_metric_solves_the_published_equations():
    """T5: w = c + exp(-νt) sin ξ and X = ξ + ct + sin ξ (1 - exp(-νt))/ν, whose u is wrong."""
    nu, c, t = 0.05, 3.0, 0.9
    model, _ = solve(Burgers(CIRCLE, nu), sine(c), metric="label")
    xi = CIRCLE.nodes()
    moved = model.flow(xi, t)
    decay = math.exp(-nu * t)
    assert (moved.value - c - decay * torch.sin(xi)).abs().max() < 1e-5
    exact = xi + c * t + torch.sin(xi) * (1 - decay) / nu
    assert (moved.position - exact).abs().max() < 1e-5
    assert relative(model.at(X, t).u[0], burgers(X[0], t, nu, c), c) > 0.05


def test_the_physical_metric_solves_burgers(at_rest_and_fast):
    """T6 and T9: the error and the mass at several times."""
    model, course = at_rest_and_fast[0.0]
    assert course.converged
    for t in (0.25, 0.5, 1.0):
        assert relative(model.at(X, t).u[0], burgers(X[0], t, 0.1)) < 1e-3
        moved = model.flow(CIRCLE.nodes(), t)
        assert (moved.value * moved.gradient[0]).mean().abs() < 1e-4
    assert model.at(X, 1.0).smallest_jacobian == pytest.approx(0.168, abs=2e-3)


@pytest.mark.parametrize("box", [Grid((8,), 1.5, "periodic"), Grid((8, 8), (1.5, 3.0), "periodic")])
def test_initial_condition_and_periods_are_exact(box, generator):
    """T10: of an untrained network, on periods other than 2π."""
    torch.manual_seed(0)
    d = box.ndim

    def u0(x):
        return torch.sin(2 * PI * x[:, :1] / 1.5).repeat(1, d, 1)

    model = LPINN(Burgers(box, 0.1), u0, 2.0, num_waves=2).double()
    xi = 3 * torch.rand(d, 20, generator=generator, dtype=torch.float64)
    start = model.flow(xi, 0.0)
    assert torch.equal(start.position, xi)
    assert torch.equal(start.value, u0(xi[None])[0])
    assert (model.at(xi, 0.0, num_labels=64).u - start.value).abs().max() < 1e-12
    moved = model.flow(xi, 1.3)
    for a, L in enumerate(box.extent):
        step = torch.zeros(d, 1).double()
        step[a] = L
        further = model.flow(xi + step, 1.3)
        assert (further.position - moved.position - step).abs().max() < 1e-13
        assert (further.value - moved.value).abs().max() < 1e-13


@pytest.mark.parametrize("c", [0.0, 3.0])
def test_past_the_shock(c):
    """T11: u is that of Hopf and Lax, the shock within a cell of π + ct, its jump 2 · 0.947747."""
    model, _ = solve(Burgers(CIRCLE, 0.0), sine(c), 2.0)
    grid = CIRCLE.with_shape((512,))
    x, t = grid.nodes() + 0.004, 2.0
    result = model.at(x, t)
    assert result.folded
    assert not model.at(x, 0.9).folded
    exact = hopf_lax(
        sine(c), lambda y: c * y - torch.cos(y), x[0], t, largest=c + 1.01, num_candidates=2001
    )[0]
    assert (result.u[0] - exact).abs().max() < 1e-4
    i = result.u[0].diff().argmin()
    shock = (PI + c * t) % (2 * PI)
    assert x[0, i] < shock < x[0, i + 1]
    assert (result.u[0, i] - result.u[0, i + 1]).item() == pytest.approx(2 * 0.947747, rel=0.01)


def test_nonlinear_source():
    """u_t + u_x = u (1 - u): logistic growth along characteristics."""
    equation = Transport(CIRCLE, drift=[1.0], source=lambda u, x, t: u * (1 - u))

    def u0(x):
        return 0.5 + 0.3 * torch.sin(x)

    model, course = solve(equation, u0)
    start = u0(X[0] - 1.0)
    exact = start * math.e / (1 - start + start * math.e)
    assert relative(model.at(X, 1.0).u[0], exact) < 1e-5
    assert course.converged


def test_a_speed_that_depends_on_position_and_time():
    """u_t + a(t) (1 + sin x / 2) u_x = 0: the travel time ∫ dx/(1 + sin x / 2) is elementary."""
    equation = Transport(CIRCLE, velocity=lambda u, x, t: (0.5 + t) * (1 + torch.sin(x) / 2))
    model, _ = solve(equation, sine(), 1.0, features=120)
    root = math.sqrt(0.75)
    moved = model.flow(CIRCLE.nodes(), 1.0)

    def travel(x):  # continuous on the circle cut at π
        return 2 / root * torch.atan((torch.tan(x / 2) + 0.5) / root)

    elapsed = travel(moved.position[0]) - travel(CIRCLE.axis(0)) - 1.0
    period = 2 * PI / root
    assert (elapsed - (elapsed / period).round() * period).abs().max() < 1e-4


def test_two_dimensional_incompressible_transport():
    """Diffusion and a shear flow: u = exp(-ν ∫|ξ|²) cos(k·ξ) with the sheared wave number."""
    box = Grid((16, 16), (2 * PI, 2 * PI), "periodic")
    nu, t = 0.05, 0.5

    def velocity(u, x, t):
        return torch.cat([1 + 0 * x[:, :1], torch.sin(x[:, :1] - t)], 1)

    def u0(x):
        return torch.sin(x[:, 1:])

    model, _ = solve(
        Transport(box, velocity=velocity),
        u0,
        t,
        features=120,
        fit={**FEW, "points": 10, "times": 6},
    )
    x = box.nodes().flatten(1) + 0.1
    result = model.at(x, t, num_labels=64)
    exact = torch.sin(x[1] - t * torch.sin(x[0] - t))
    assert relative(result.u[0], exact) < 5e-3
    assert result.smallest_jacobian == pytest.approx(1.0, abs=0.03)
    diffusing, _ = solve(
        Transport(box, drift=[3.0, 1.0], diffusivity=nu),
        u0,
        t,
        fit={**FEW, "points": 8, "times": 6},
    )
    exact = math.exp(-nu * t) * torch.sin(x[1] - t)
    assert relative(diffusing.at(x, t, num_labels=64).u[0], exact) < 2e-3


def test_bad_input_is_refused():
    equation = Burgers(CIRCLE, 0.0)
    with pytest.raises(ValueError, match="u0 must be periodic"):
        LPINN(equation, lambda x: x, 1.0)
    with pytest.raises(ValueError, match="viscosity >= 0"):
        LPINN(Burgers(CIRCLE, -0.1), sine(), 1.0)
    with pytest.raises(ValueError, match=r"folds at about t = 0\.00"):
        LPINN(equation, lambda x: torch.where(x < PI, 1.0, 0.0) * torch.sin(x / 2) ** 2, 1.0)
    with pytest.raises(ValueError, match=r"velocity .* must be a finite number; got nan at x = "):
        LPINN(Transport(CIRCLE, velocity=lambda u, x, t: (x - 1).sqrt()), sine(), 1.0)
    with pytest.raises(ValueError, match=r"Unknown metric 'phisical'. Did you mean 'physical'"):
        LPINN(equation, sine(), 1.0, metric="phisical")
    with pytest.raises(ValueError, match="num_waves must be 1 or more; got 0"):
        LPINN(equation, sine(), 1.0, num_waves=0)
    with pytest.raises(ValueError, match=r"known for 0 <= t <= 1; got t = 1\.5"):
        LPINN(equation, sine(), 1.0).at(X.float(), 1.5)
    late = Transport(CIRCLE, source=lambda u, x, t: (0.5 - t).sqrt() + 0 * u)
    with pytest.raises(ValueError, match=r"source .*got nan at x = .* t = \[0\.5"):
        solve(late, sine(), 1.0, features=5)
