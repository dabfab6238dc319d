"""Transport: the solver's form and the form at points are one equation, and it is the right one."""

import math
from itertools import pairwise

import numpy as np
import pytest
import scipy.io
import torch

from pdeops.domain import Grid
from pdeops.solvers import AdvectionDiffusion, AllenCahn, Burgers, Heat, Transport, evolve

TAU = 2 * math.pi


def circle(n):
    return Grid((n,), extent=TAU, boundary="periodic")


def square(n):
    return Grid((n, n), extent=TAU, boundary="periodic")


def start(grid):
    x = grid.nodes()
    return (0.3 + torch.sin(x[0]) + 0.5 * torch.cos(2 * x[-1] + 1))[None, None]


PAIRS = {
    "burgers": (
        Burgers(circle(32), 0.1),
        Transport(circle(32), velocity=lambda u, x, t: u, diffusivity=0.1),
    ),
    "allen_cahn": (
        AllenCahn(square(16), 0.02, 2.0),
        Transport(
            square(16), diffusivity=0.02, growth=2.0, source=lambda u, x, t: -2 * u**3, degree=3
        ),
    ),
    "heat": (Heat(square(16), 0.2), Transport(square(16), diffusivity=0.2)),
    "advection": (
        AdvectionDiffusion(square(16), (1.0, -0.5), 0.1),
        Transport(square(16), drift=(1.0, -0.5), diffusivity=0.1),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_known_equations_are_transport(name):
    known, ours = PAIRS[name]
    u0 = start(known.grid)
    a, b = (evolve(e, u0, [0.1, 0.5], dt=0.01, courant=0.5).u for e in (known, ours))
    assert (a - b).abs().max() < 1e-13
    assert (a[:, 1] - u0).abs().max() > 1e-2
    fine = known.on(known.grid.with_shape([2 * n for n in known.grid.shape]))
    assert fine.degree == known.degree
    assert fine.symbol.shape[0] > known.symbol.shape[0]


def wave_through(x, t):
    """sin(ξ - t), ξ = x + sin(x)/2: the solution of u_t + u_x / (1 + cos(x)/2) = 0."""
    return torch.sin(x + torch.sin(x) / 2 - t)


def varying_speed(u, x, t):
    return 1 / (1 + torch.cos(x) / 2)


def test_varying_speed_is_exact_and_of_order_four():
    grid = circle(96)
    x = grid.axis(0)
    equation = Transport(grid, velocity=varying_speed)
    errors = []
    for dt in (0.04, 0.02, 0.01):
        u = evolve(equation, wave_through(x, 0)[None, None], [1.0], dt=dt).u[0, 0, 0]
        errors.append((u - wave_through(x, 1.0)).abs().max().item())
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    assert orders == pytest.approx([4, 4], abs=0.3)


class Manufactured(Transport):
    """f₁ and f₂ depend on u, x and t; S makes exp(-t) sin(x + y) + 1/2 a solution."""

    def velocity(self, u, x, t):
        return torch.cat([u * torch.cos(x[:, 1:]), torch.sin(x[:, :1]) + t + 0 * u], 1)

    def diffusivity(self, u, x, t):
        return 0.05 + 0.02 * torch.cos(x[:, :1] - t) + 0.01 * u**2

    def source(self, u, x, t):
        w, w_t, gradient, laplacian = manufactured(x, t)
        advection = (self.velocity(w, x, t)[:, None] * gradient).sum(2)
        return w_t + advection - self.diffusivity(w, x, t) * laplacian + 0.3 * (w - u)


def manufactured(x, t):
    """The solution, its rate, gradient and Laplacian."""
    amplitude = math.exp(-t) if isinstance(t, float) else torch.exp(-t)
    s, c = (amplitude * f(x[:, :1] + x[:, 1:]) for f in (torch.sin, torch.cos))
    return s + 0.5, -s, torch.stack([c, c], 2), -2 * s


def test_terms_of_all_variables_in_two_dimensions():
    """The spatial error is spectral, the error in time of order four."""
    grid = square(24)
    equation = Manufactured(grid)
    u0 = manufactured(grid.nodes()[None], 0.0)[0]
    errors = []
    for dt in (0.05, 0.025):
        run = evolve(equation, u0, [0.5], dt=dt)
        assert run.completed
        assert run.courant > 0.1
        u = manufactured(grid.nodes()[None], 0.5)[0]
        errors.append((run.u[:, 0] - u).abs().max().item())
    assert math.log2(errors[0] / errors[1]) == pytest.approx(4, abs=0.5)
    assert errors[1] < 1e-6


def test_explicit_diffusion_beyond_its_limit_is_reported():
    equation = Manufactured(square(24))
    u0 = manufactured(square(24).nodes()[None], 0.0)[0]
    stopped = evolve(equation, u0, [8.0], dt=4.0)
    assert not stopped.completed
    assert "Courant number" in stopped.reason
    f2 = Transport(circle(24), diffusivity=lambda u, x, t: 1.0 + 0 * u)
    assert f2.rate(f2.encode(start(circle(24)))).item() == pytest.approx(7**2 / 2)


def test_the_courant_number_is_that_of_the_time():
    """f₁ = 10 t, checked at the beginning of each interval."""
    grid = circle(8)
    equation = Transport(grid, velocity=lambda u, x, t: 10 * t)
    run = evolve(equation, start(grid), [0.5, 1.0], dt=0.1)
    assert run.courant == pytest.approx(5 * 0.1 / grid.spacing[0])


def scattered(num_points=40):
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(num_points, 3, dtype=torch.float64, generator=generator)
    return TAU * points[:, :2], points[:, 2:]


def test_the_residual_at_points_vanishes_for_a_solution_only():
    x, t = scattered()
    u, u_t, gradient, laplacian = manufactured(x, t)
    equation = Manufactured(square(4))
    R = equation.residual(u_t, u, gradient, laplacian, x, t)
    assert R.abs().max() < 1e-14
    wrong = equation.residual(u_t, 1.01 * u, gradient, laplacian, x, t)
    assert wrong.abs().max() > 1e-3
    # the same points as one sample with an axis of points
    along = [v.movedim(0, -1)[None] for v in (u_t, u, gradient, laplacian, x, t)]
    assert (equation.residual(*along)).abs().max() < 1e-14


@pytest.mark.parametrize("viscosity", [0.1, 0.11])
def test_points_and_nodes_give_the_same_rate(viscosity):
    """u_t from the derivatives at the nodes is L u + N(u); not so with another viscosity."""
    grid = circle(32)
    terms = {"velocity": lambda u, x, t: u, "source": lambda u, x, t: t, "growth": 0.4}
    u0 = torch.sin(grid.axis(0))[None, None]
    equation = Transport(grid, drift=[0.7], diffusivity=0.1, **terms)
    u_hat = equation.encode(u0)
    rate = equation.decode(equation.symbol * u_hat + equation.nonlinear(u_hat, 0.5))
    gradient = torch.cos(grid.axis(0))[None, None, None]
    other = Transport(grid, drift=[0.7], diffusivity=viscosity, **terms)
    at_points = -other.residual(0 * u0, u0, gradient, -u0, grid.nodes()[None], 0.5)
    by_hand = -(0.7 + u0) * gradient[:, 0] - 0.1 * u0 + 0.4 * u0 + 0.5
    assert (rate - by_hand).abs().max() < 1e-14
    difference = (rate - at_points).abs().max().item()
    assert difference == pytest.approx(viscosity - 0.1, abs=1e-14)


@pytest.mark.parametrize("equation", [Manufactured(square(12)), PAIRS["advection"][0]])
def test_tangent_and_frozen(equation, generator):
    """The tangent is the derivative (central differences), frozen(u)(u) is N(u)."""
    u, d = torch.randn(2, 1, 1, *equation.grid.shape, dtype=torch.float64, generator=generator)
    u_hat, d_hat = equation.encode(u), equation.encode(d)
    N, eps = equation.nonlinear, 1e-5
    difference = (N(u_hat + eps * d_hat, 0.3) - N(u_hat - eps * d_hat, 0.3)) / (2 * eps)
    assert (equation.tangent(u_hat, 0.3)(d_hat) - difference).abs().max() < 1e-8
    assert (equation.frozen(u_hat, 0.3)(u_hat) - N(u_hat, 0.3)).abs().max() < 1e-14


def periodic_derivative(u, length, order):
    """∂^order u/∂x^order by Fourier series along the last axis."""
    n = u.shape[-1]
    k = TAU / length * torch.fft.rfftfreq(n, 1 / n, dtype=torch.float64)
    return torch.fft.irfft((1j * k) ** order * torch.fft.rfft(u), n)


@pytest.mark.parametrize(
    ("file", "keys", "last", "equation", "wrong"),
    [
        (
            "Burgers.npz", ("t", "usol"), 22,
            lambda grid: Burgers(grid, 0.01 / math.pi), lambda grid: Burgers(grid, 0.011 / math.pi),
        ),
        (
            "Allen_Cahn_periodic.mat", ("tt", "uu"), 60,
            lambda grid: AllenCahn(grid, 1e-4, 5.0), lambda grid: AllenCahn(grid, 1e-4, 5.1),
        ),
    ],
)  # fmt: skip
def test_published_solutions_satisfy_the_equation(shared_data, file, keys, last, equation, wrong):
    """Residual at the nodes of three published frames, u_t by differences of order four."""
    load = np.load if file.endswith("npz") else scipy.io.loadmat
    data = load(shared_data / "reference" / file)
    t, u = (torch.from_numpy(data[k]) for k in keys)
    u = u[: len(u) - (file == "Burgers.npz")].T  # the last node is the first
    step = (t.flatten()[1] - t.flatten()[0]).item()
    at = torch.tensor([last - 8, last - 4, last])
    u_t = (8 * (u[at + 1] - u[at - 1]) - (u[at + 2] - u[at - 2])) / (12 * step)
    grid = Grid((u.shape[1],), 2.0, "periodic")
    gradient, laplacian = (periodic_derivative(u[at], 2.0, k)[:, None] for k in (1, 2))
    given = (u_t[:, None], u[at][:, None], gradient[:, :, None], laplacian, grid.nodes()[None], 0.0)
    residual, other = (e(grid).residual(*given).norm() / u_t.norm() for e in (equation, wrong))
    assert residual < 2e-4
    assert other > 5 * residual


def test_a_wrong_term_is_named_with_its_point():
    x, t = scattered(5)
    u = torch.ones(5, 1, dtype=torch.float64)
    square_root = Transport(square(4), velocity=lambda u, x, t: torch.sqrt(x - x[3, 0]))
    with pytest.raises(ValueError, match=r"velocity of Transport.*got nan at x = \[.*u = \[1.0\]"):
        square_root.check_terms(u, x, t)
    negative = Transport(square(4), diffusivity=lambda u, x, t: 0.5 - t)
    with pytest.raises(ValueError, match="diffusivity of Transport must be a finite number >= 0"):
        negative.check_terms(u, x, t + 1)
    negative.check_terms(u, x, 0 * t)
    shape = Transport(square(4), source=lambda u, x, t: x)
    with pytest.raises(ValueError, match=r"1 channel\(s\).*got \(5, 2\)"):
        shape.source_at(u, x, t)


def test_bad_coefficients_are_refused():
    with pytest.raises(ValueError, match=r"diffusivity >= 0; got -0.1"):
        Transport(circle(8), diffusivity=-0.1)
    with pytest.raises(ValueError, match="one component per axis"):
        Transport(square(8), drift=(1.0,))
    with pytest.raises(ValueError, match="finite drift"):
        Transport(circle(8), drift=(math.nan,))
    with pytest.raises(ValueError, match="periodic"):
        Transport(Grid((8,)), velocity=varying_speed)
