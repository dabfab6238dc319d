"""LPINN in windows with new labels."""

import math

import pytest
import torch

from pdeops.domain import Grid
from pdeops.nn.fourier_field import FourierField
from pdeops.solvers import Burgers, Transport, cole_hopf
from pdeops.tasks.random_features import fit_random_features
from pdeops.tasks.relabelling import solve_relabelled

CIRCLE = Grid((64,), 2 * math.pi, "periodic")
X = CIRCLE.nodes() + 0.01
ONE_LAYER = {"position_layers": 1, "value_layers": 1, "hidden_channels": 80}


def fit(field):
    fit_random_features(field, points=24, times=12, deviation=0.7, time_deviation=0.7)


def relative(u, exact):
    return ((u - exact).norm() / exact.norm()).item()


@pytest.mark.parametrize(
    "grid", [Grid((16,), 3.0, "periodic"), Grid((16, 12), (3.0, 2.0), "periodic")]
)
def test_a_fourier_field_is_the_series(grid, generator):
    """Exact for waves below Nyquist, at points that are no nodes."""
    k = [2 * math.pi / L for L in grid.extent]

    def u(x):
        phase = sum(n * xi * y for n, xi, y in zip((3, -2), k, x, strict=False))
        return torch.stack([0.5 + torch.sin(phase + 0.3), torch.cos(2 * phase)])

    x = 9 * torch.rand(grid.ndim, 30, generator=generator, dtype=torch.float64)
    field = FourierField(u(grid.nodes()), grid)
    assert (field(x[None])[0] - u(x)).abs().max() < 1e-12
    highest = [int(k.abs().amax()) for k in field.numbers]
    assert highest == [6, 4][: grid.ndim]  # waves of round-off are left out


@pytest.mark.slow
def test_windows_of_a_contracting_flow():
    """u_t + a(t) sin x u_x = 0: tan(x/2) = tan(ξ/2) exp(∫a), so min J = exp(-∫a) has no end."""
    equation = Transport(CIRCLE, velocity=lambda u, x, t: (1 + t) * torch.sin(x))
    t_end = 1.2

    def exact(x, t):
        return torch.sin(2 * torch.atan(torch.tan(x / 2) * math.exp(-t - t * t / 2)))

    solution = solve_relabelled(equation, torch.sin, t_end, fit, smallest_jacobian=0.3, **ONE_LAYER)
    assert len(solution.fields) > 1
    for t in (0.5, 1.0, 1.2):
        result = solution.at(X, t)
        assert result.smallest_jacobian > 0.25
        assert relative(result.u[0], exact(X[0], t)) < 1e-2
    with pytest.raises(ValueError, match=r"windows cover 0 <= t <= 1.2; got t = 2\.5"):
        solution.at(X, 2.5)


def fit_front(field):
    """Features that resolve the front of ν = 0.1 as a function of x."""
    fit_random_features(
        field, points=48, times=12, deviation=1.5, time_deviation=0.7, iterations=20, rtol=1e-3
    )


@pytest.fixture(scope="module")
def viscous():
    """ν = 0.1 up to t = 3: from the second window on, u0 is a front."""
    front = ONE_LAYER | {"hidden_channels": 120}
    return solve_relabelled(Burgers(CIRCLE, 0.1), torch.sin, 3.0, fit_front, **front)


@pytest.mark.slow
@pytest.mark.parametrize("t", [1.0, 2.0, 3.0])
def test_windows_of_viscous_burgers(viscous, t):
    assert len(viscous.fields) > 3
    exact = cole_hopf(torch.sin, lambda y: -torch.cos(y), X[0], t, 0.1)
    assert relative(viscous.at(X, t).u[0], exact) < 1e-2


@pytest.mark.slow
@pytest.mark.parametrize("change", [{"metric": "physical"}, {"nodes": 256}])
def test_with_the_factor_or_with_noise_the_front_is_wrong(change):
    """Negative controls: the residual times J³, and waves in u0 that are those of the error."""
    front = ONE_LAYER | {"hidden_channels": 120} | change
    solution = solve_relabelled(Burgers(CIRCLE, 0.1), torch.sin, 2.5, fit_front, **front)
    exact = cole_hopf(torch.sin, lambda y: -torch.cos(y), X[0], 2.5, 0.1)
    assert relative(solution.at(X, 2.5).u[0], exact) > 3e-2


def test_a_shock_is_refused():
    with pytest.raises(ValueError, match="A shock forms at about t = 1,"):
        solve_relabelled(Burgers(CIRCLE, 0.0), torch.sin, 1.5, fit, **ONE_LAYER)
