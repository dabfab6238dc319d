"""NeuralFieldStepper: the scheme to the error of the fits, order, conservation, flow, bad input."""

import math

import pytest
import torch

from pdeops.domain import Grid
from pdeops.models import NeuralFieldStepper
from pdeops.nn.jets import jet_of
from pdeops.nn.step_forms import VorticityForm
from pdeops.solvers import Burgers, Transport, cole_hopf
from pdeops.solvers.evolution.equations.heat import AdvectionDiffusion
from pdeops.solvers.evolution.equations.navier_stokes import NavierStokes
from pdeops.solvers.evolution.implicit_scheme import SCHEMES
from pdeops.solvers.evolution.initial import Gaussian, Sine, TaylorGreen
from pdeops.tasks.field_stepping import fit_steps

TAU = 2 * math.pi
CIRCLE = Grid((16,), TAU, "periodic")
SQUARE = Grid((64, 64), TAU, "periodic")
SMALL = {"hidden_channels": 8, "num_layers": 1, "frequency": 0.5}
TINY = {"hidden_channels": 5, "points": 20, "first": 30}
X = torch.linspace(0.05, 6.2, 50, dtype=torch.float64)[None]


def solved(equation, u0, t_end, *, atol=1e-6, points=32, first=50, **options):
    torch.manual_seed(0)
    field = NeuralFieldStepper(equation, u0, t_end, **SMALL | options)
    fit_steps(field, points=points, atol=atol, first_iterations=first)
    return field


def last(field, x=X):
    return field(x, torch.full_like(x[0], field.t_end))


def largest(u):
    return u.abs().max().item()


@pytest.fixture(scope="module")
def advected():
    """sin(x - t) by the midpoint rule, Δt = 0.2."""
    equation = AdvectionDiffusion(CIRCLE, [1.0])
    return solved(equation, Sine(CIRCLE), 0.6, num_steps=3, **TINY)


def test_a_wave_moves_with_the_speed_of_the_midpoint_rule(advected):
    """The factor (1 - iΔt/2)/(1 + iΔt/2) of a wave has the phase -2 atan(Δt/2)."""
    for n in range(4):
        u = advected(X, torch.full_like(X[0], 0.2 * n))
        scheme = torch.sin(X - n * 2 * math.atan(0.1))
        assert largest(u - scheme) < 5e-5
    assert largest(u - torch.sin(X - 0.6)) > 1.5e-3


def test_the_midpoint_rule_conserves_the_norm(advected):
    x = CIRCLE.nodes()
    sizes = [advected.outputs(x, n).value.norm().item() for n in range(4)]
    assert sizes == pytest.approx([8**0.5] * 4, rel=3e-5)
    damped = solved(
        *(advected.equation, advected.u0, 0.2), num_steps=1, scheme="implicit_euler", **TINY
    ).outputs(x, 1)
    assert damped.value.norm().item() == pytest.approx((8 / (1 + 0.04)) ** 0.5, rel=3e-5)


def test_the_cubic_between_two_steps(advected):
    """It takes values and slopes at both ends from u and u_t = -u_x."""
    dt, t = 0.2, 0.47
    begin, end = advected.outputs(X, 2), advected.outputs(X, 3)
    s = (t - 2 * dt) / dt
    expected = (
        (1 + 2 * s) * (1 - s) ** 2 * begin.value
        + s**2 * (3 - 2 * s) * end.value
        - dt * s * (1 - s) ** 2 * begin.gradient[0]
        - dt * s**2 * (s - 1) * end.gradient[0]
    )
    torch.testing.assert_close(advected(X, torch.full_like(X[0], t)), expected)


def forced(u, x, t):
    """The source of u_t + u u_x = S for sin(x - t)."""
    return torch.cos(x - t) * (torch.sin(x - t) - 1)


def step_by_newton(scheme, dt, x):
    """u_1 at uniform nodes x of a period, derivatives in x by Fourier series."""
    u0, n = torch.sin(x), len(x)
    xi = 1j * torch.fft.rfftfreq(n, 1 / n, dtype=torch.float64)

    def residual(stages):
        states = torch.cat([u0[None], stages])
        rates = [
            forced(v, x, c * dt) - v * torch.fft.irfft(xi * torch.fft.rfft(v), n=n)
            for v, c in zip(scheme.evaluated(states), scheme.times, strict=True)
        ]
        return scheme.residual(states, torch.stack(rates), dt)

    stages = u0.repeat(scheme.num_stages, 1)
    for _ in range(8):
        J = torch.autograd.functional.jacobian(residual, stages).flatten(2).flatten(0, 1)
        stages = stages - torch.linalg.solve(J, residual(stages).flatten()).view_as(stages)
    return stages[-1]


@pytest.mark.parametrize("name", ["midpoint", "trapezoid", "radau", "lobatto"])
def test_a_step_is_that_of_the_scheme(name):
    """A nonlinear equation that is not autonomous: the network differs from the scheme by less than
    a sixth of what the scheme differs from the solution."""
    equation = Transport(CIRCLE, velocity=lambda u, x, t: u, source=forced)
    field = solved(
        equation, Sine(CIRCLE), 0.4, num_steps=1, scheme=name, hidden_channels=10, first=30
    )
    x = CIRCLE.with_shape((32,)).nodes()
    expected = step_by_newton(SCHEMES[name], 0.4, x[0])
    error = largest(expected - torch.sin(x[0] - 0.4))
    assert largest(field.outputs(x, 1).value[-1] - expected) < error / 6


@pytest.mark.slow
def test_the_gaussian_is_shifted():
    """40 of the 240 steps, Lobatto: the error of the fits, which grows linearly at most."""
    line = Grid((16,), 4.0, "periodic")
    u0 = Gaussian(line, 0.1, centre=[0.5])
    equation = AdvectionDiffusion(line, [0.25])
    torch.manual_seed(0)
    field = NeuralFieldStepper(equation, u0, 2.0, num_steps=40, scheme="lobatto")
    fit_steps(field, points=400, atol=1e-5)
    x = torch.linspace(0, 4, 997, dtype=torch.float64)[None]

    def error(n):
        exact = u0(x[None] - 0.25 * 0.05 * n)[0]
        return ((field.outputs(x, n).value - exact).norm() / exact.norm()).item()

    assert error(40) < 2e-3
    assert error(40) < 3 * error(20)


@pytest.mark.slow
def test_burgers():
    field = solved(
        *(Burgers(CIRCLE, 0.3), Sine(CIRCLE), 0.6), num_steps=2, scheme="lobatto",
        hidden_channels=14, atol=1e-6, first=60,
    )  # fmt: skip
    exact = cole_hopf(torch.sin, lambda y: -torch.cos(y), X[0], 0.6, 0.3)
    assert largest(last(field)[0] - exact) < 2e-3


def psi(x):
    return torch.sin(x[:1]) * torch.cos(2 * x[1:]) + 0.3 * torch.cos(x[:1] + x[1:])


def omega(x):
    return 5 * torch.sin(x[:1]) * torch.cos(2 * x[1:]) + 0.6 * torch.cos(x[:1] + x[1:])


def test_the_rate_of_a_flow_is_that_of_the_spectral_solver():
    """-u·∇ω + ν Δω - μ ω + f of two functions; the constraint is zero for ω = -Δψ."""
    grid = SQUARE.with_shape((16, 16))
    flow = NavierStokes(
        grid, 0.1, drag=0.2, forcing=lambda x, t: torch.sin(x[0] + 2 * x[1]) * (1 + t)
    )
    form = VorticityForm(flow, lambda x: omega(x[0])[None])
    x = grid.nodes().flatten(1)
    outputs = jet_of(lambda y: torch.cat([psi(y), omega(y)]), x)
    w_hat = flow.encode(omega(grid.nodes())[None])
    expected = flow.decode(flow.symbol * w_hat + flow.nonlinear(w_hat, 0.7)).flatten()
    torch.testing.assert_close(form.rate(outputs, x, 0.7)[0], expected)
    assert largest(form.constraints(outputs)) < 1e-13
    assert largest(form.constraints(jet_of(lambda y: torch.cat([psi(y), -omega(y)]), x))) > 1
    torch.testing.assert_close(form.velocity(outputs), flow.velocity(w_hat)[0].flatten(1))


def test_a_divergence_free_velocity_is_its_own_projection():
    """Vorticity of a velocity, then the velocity of the stream function: the same."""
    form = VorticityForm(NavierStokes(SQUARE, 0.0), lambda x: omega(x[0])[None])
    x = torch.rand(2, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    initial = form.initial(x)
    slopes = jet_of(psi, x).gradient[0]
    torch.testing.assert_close(form.velocity(initial), torch.stack([slopes[1], -slopes[0]]))
    torch.testing.assert_close(form.state(initial), omega(x))


@pytest.mark.slow
@pytest.mark.parametrize("viscosity", [0.0, 0.05])
def test_taylor_green(viscosity):
    """Steady without viscosity; with it, the amplitude has the midpoint factor in each step."""
    torch.manual_seed(0)
    flow, u0 = NavierStokes(SQUARE, viscosity), TaylorGreen(SQUARE)
    options = {"hidden_channels": 16, "num_layers": 2, "frequency": 1.0}
    field = NeuralFieldStepper(flow, u0, 0.5, num_steps=10, **options)
    fit_steps(field, points=20, atol=1e-6)
    x = TAU * torch.rand(2, 200, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    factor = ((1 - 0.05 * viscosity) / (1 + 0.05 * viscosity)) ** 10
    exact = factor * u0(x[None])[0]
    assert largest(last(field, x) - exact) < 2e-4
    u = field.form.velocity(field.outputs(x, 10))
    expected = factor * torch.stack([x[0].sin() * x[1].cos(), -x[0].cos() * x[1].sin()])
    assert largest(u - expected) < 2e-4


def test_training_in_steps_continues_with_the_weights_of_the_step_before():
    field = NeuralFieldStepper(Burgers(CIRCLE, 0.1), Sine(CIRCLE), 1.0, num_steps=3, **SMALL)
    first, second, third = (network.output.weight for network in field.networks)
    begin = [torch.full((2,), t) for t in (0.0, 0.4, 0.7)]
    field.begin(begin[1])  # not before the first
    assert not torch.equal(first, second)
    field.begin(begin[0])
    field.begin(begin[1])
    assert torch.equal(first, second)
    with torch.no_grad():
        second.add_(1.0)
    field.begin(begin[1])  # once only
    assert torch.equal(first + 1, second)
    with pytest.raises(ValueError, match=r"2 of 3 steps are trained, which end at t = 0.66"):
        field(X.float(), torch.full_like(X[0], 0.9).float())
    assert not torch.equal(second, third)


def source_after(limit):
    return lambda u, x, t: (limit - t).log()


def forcing_after(limit):
    return lambda x, t: x[0] * 0 + math.nan if t > limit else torch.sin(x[0])


def test_nan_of_a_term_is_named():
    """At the middle of the second step."""
    equation = Transport(CIRCLE, source=source_after(0.7))
    field = NeuralFieldStepper(equation, Sine(CIRCLE), 1.0, num_steps=2, **SMALL)
    with pytest.raises(ValueError, match=r"source of Transport.*got nan at x = .*t = \[0.75\]"):
        fit_steps(field, points=8, first_iterations=2)
    flow = NavierStokes(SQUARE, 0.1, forcing=forcing_after(0.6))
    field = NeuralFieldStepper(flow, TaylorGreen(SQUARE), 1.0, num_steps=2, **SMALL)
    with pytest.raises(ValueError, match=r"forcing of NavierStokes is not finite at.*t = 0.75"):
        fit_steps(field, points=8, first_iterations=2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scheme": "midpoints"}, "Unknown scheme 'midpoints'. Did you mean 'midpoint'"),
        ({"activation": "relu"}, "Unknown activation 'relu'.*sine, tanh"),
        ({"num_steps": 0}, "num_steps must be 1 or more"),
        ({"frequency": 0.0}, "frequency must be positive"),
        ({"u0": lambda x: x}, "u0 must be periodic"),
        ({"t_end": 0.0}, "t_end must be positive"),
        ({"equation": Transport(CIRCLE, source=source_after(-1.0))}, "source of Transport"),
    ],
)
def test_bad_input(change, message):
    given = {"equation": Burgers(CIRCLE, 0.1), "u0": Sine(CIRCLE), "t_end": 1.0, "num_steps": 2}
    given |= SMALL | change
    with pytest.raises(ValueError, match=message):
        NeuralFieldStepper(given.pop("equation"), given.pop("u0"), given.pop("t_end"), **given)


def test_flows_need_a_vorticity_and_a_forcing_anywhere():
    field = {"forcing": torch.ones(64, 64, dtype=torch.float64)}
    with pytest.raises(ValueError, match=r"forcing at any point.*got a field \(64, 64\)"):
        NeuralFieldStepper(
            NavierStokes(SQUARE, 0.1, **field), TaylorGreen(SQUARE), 1.0, num_steps=2
        )
    with pytest.raises(ValueError, match="vorticity of a periodic flow"):
        NeuralFieldStepper(NavierStokes(SQUARE, 0.1), Sine(SQUARE, mean=1.0), 1.0, num_steps=2)
