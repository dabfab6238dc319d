"""Linear and reaction equations by waves: exact solutions, order, symmetry, invariants."""

import math
from itertools import pairwise

import pytest
import scipy.integrate
import scipy.io
import torch

from pdeops.calculus import fourier
from pdeops.domain import Grid
from pdeops.solvers import (
    RK4CN,
    AdvectionDiffusion,
    AllenCahn,
    GrayScott,
    Heat,
    KortewegDeVries,
    KuramotoSivashinsky,
    Wave,
    evolve,
)

PI = math.pi


def circle(n, length=1.0):
    return Grid((n,), extent=length, boundary="periodic")


def orders(errors):
    return [math.log2(a / b) for a, b in pairwise(errors)]


def test_modes_of_the_heat_equation_decay():
    x = Grid((20, 24), (1.0, 2.0), ("periodic", "dirichlet"))
    series = ("fourier", "sine")
    u0 = torch.cos(4 * PI * x.nodes()[0]) * torch.sin(1.5 * PI * x.nodes()[1])
    rate = 0.1 * ((4 * PI) ** 2 + (1.5 * PI) ** 2)
    u = evolve(Heat(x, 0.1, series), u0[None, None], [0.0, 0.3], dt=1.0).u
    assert (u[0, 1, 0] - math.exp(-0.3 * rate) * u0).abs().max() < 1e-14


def test_heat_is_kept_between_insulated_sides(generator):
    grid = Grid((16, 12), boundary="neumann", placement="centers")
    u0 = torch.rand(2, 1, 16, 12, generator=generator, dtype=torch.float64)
    u = evolve(Heat(grid, 1.0), u0, [0.01, 10.0], dt=1.0).u
    mean = u0.mean((-2, -1))
    assert (u.mean((-2, -1)) - mean[:, None]).abs().max() < 1e-14
    assert (u[:, 1] - mean[..., None, None]).abs().max() < 1e-14


@pytest.mark.parametrize("n", [32, 33])
def test_advection_carries_a_field_once_around(n):
    grid = Grid((n, 24), (1.0, 2.0), "periodic")
    x, y = 2 * PI * grid.nodes()[0], PI * grid.nodes()[1]
    u0 = (torch.exp(torch.sin(x)) * torch.cos(y))[None, None]
    u = evolve(AdvectionDiffusion(grid, (0.5, -2.0)), u0, [2.0], dt=2.0).u[:, 0]
    assert (u - u0).abs().max() < 1e-12


def test_advection_diffusion_of_one_wave():
    grid = Grid((16, 16), boundary="periodic")
    x, y = grid.nodes()

    def exact(t):
        xi = 2 * PI * (x + 2 * y - (1.0 + 2 * 0.25) * t)
        return math.exp(-0.02 * 5 * (2 * PI) ** 2 * t) * torch.sin(xi)

    result = evolve(AdvectionDiffusion(grid, (1, 0.25), 0.02), exact(0)[None, None], [0.7], dt=1)
    assert (result.u[0, 0, 0] - exact(0.7)).abs().max() < 1e-13


def test_dalembert():
    """u = (f(x - ct) + f(x + ct))/2 and its velocity, from rest and moving; the mean drifts."""
    grid = circle(64, 2 * PI)
    x, c, t = grid.axis(0), 3.0, 0.7

    def f(s):
        return torch.exp(torch.sin(s))

    def slope(s):
        return torch.cos(s) * f(s)

    u0 = Wave.at_rest(f(x)[None, None])
    u, v = evolve(Wave(grid, c), u0, [t], dt=10.0).u[0, 0]
    assert (u - (f(x - c * t) + f(x + c * t)) / 2).abs().max() < 1e-12
    assert (v - c * (slope(x + c * t) - slope(x - c * t)) / 2).abs().max() < 1e-11
    moving = torch.stack([f(x), -c * slope(x) + 0.25])[None]
    u, _ = evolve(Wave(grid, c), moving, [t], dt=0.1).u[0, 0]
    assert (u - f(x - c * t) - 0.25 * t).abs().max() < 1e-12


def test_a_string_fixed_at_both_ends():
    grid = Grid((40, 30), (1.0, 2.0), "dirichlet", "interior")
    x, y = grid.nodes()
    u0 = torch.sin(2 * PI * x) * torch.sin(1.5 * PI * y)
    frequency = 2.0 * PI * math.hypot(2, 1.5)
    u, _ = evolve(Wave(grid, 2.0), Wave.at_rest(u0[None, None]), [1.3], dt=9.0).u[0, 0]
    assert (u - math.cos(1.3 * frequency) * u0).abs().max() < 1e-12


class SineGordon(Wave):
    """u_tt = u_xx - sin u."""

    def nonlinear(self, u_hat, t):
        u = self.decode(u_hat)[:, :1]
        return self.encode(torch.cat([torch.zeros_like(u), -torch.sin(u)], 1))


def test_order_four_where_the_symbol_couples_channels():
    """The breather 4 atan(√(1-ω²)/ω cos ωt / cosh √(1-ω²)x)."""
    grid, omega = circle(160, 60.0), 0.6
    x, m = grid.axis(0) - 30, 0.8

    def exact(t):
        return 4 * torch.atan(m / omega * math.cos(omega * t) / torch.cosh(m * x))

    u0 = Wave.at_rest(exact(0)[None, None])
    errors = [
        (evolve(SineGordon(grid, 1.0), u0, [4.0], dt=dt).u[0, 0, 0] - exact(4)).abs().max().item()
        for dt in (0.2, 0.1, 0.05)
    ]
    assert orders(errors) == pytest.approx([4, 4], abs=0.4)
    assert errors[-1] < 1e-4


def soliton(x, t, speed, start, length=40.0):
    s = torch.remainder(x - start - speed * t + length / 2, length) - length / 2
    return speed / 2 / torch.cosh(math.sqrt(speed) / 2 * s) ** 2


def test_a_soliton_keeps_its_form():
    grid = circle(256, 40.0)
    x = grid.axis(0)
    errors = []
    for dt in (0.02, 0.01, 0.005):
        u = evolve(KortewegDeVries(grid), soliton(x, 0, 2, 10)[None, None], [2.0], dt=dt).u
        errors.append((u[0, 0, 0] - soliton(x, 2, 2, 10)).abs().max().item())
    assert orders(errors) == pytest.approx([4, 4], abs=0.3)
    assert errors[-1] < 1e-6


@pytest.mark.slow
def test_solitons_pass_through_each_other():
    """Mass, momentum and energy stay; the faster one has overtaken and is as high as before."""
    grid = circle(256, 40.0)
    x = grid.axis(0)
    u0 = (soliton(x, 0, 4, 8) + soliton(x, 0, 1, 16))[None, None]
    result = evolve(KortewegDeVries(grid), u0, [0.0, 5.0], dt=0.004)
    u = result.u[0, :, 0]
    slope = fourier.derivative(u, grid, 0)
    for invariant in (u, u**2, slope**2 / 2 - u**3):
        start, end = invariant.sum(1)
        assert end == pytest.approx(start.item(), rel=3e-6)
    assert u[1].max().item() == pytest.approx(2.0, abs=0.02)
    assert 4.0 < result.courant * 0.15625 / 0.004 / 3 < 4.2  # 6 max|u| = 12, h = 0.15625


def test_kuramoto_sivashinsky_grows_and_damps_small_waves():
    grid = circle(64, 32 * PI)
    x = grid.axis(0)
    for k in (3, 10, 15, 20):
        xi = k / 16
        u0 = 1e-8 * torch.cos(xi * x)[None, None]
        u = evolve(KuramotoSivashinsky(grid), u0, [2.0], dt=0.5).u[:, 0]
        torch.testing.assert_close(u, math.exp(2 * (xi**2 - xi**4)) * u0, rtol=1e-6, atol=1e-15)


@pytest.mark.slow
def test_kuramoto_sivashinsky_is_of_order_four_and_galilean():
    grid = circle(96, 32 * PI)
    x = grid.axis(0) / 16
    u0 = (torch.cos(x) * (1 + torch.sin(x)))[None, None]
    equation = KuramotoSivashinsky(grid)
    exact = evolve(equation, u0, [30.0], dt=0.03125).u
    errors = [
        (evolve(equation, u0, [30.0], dt=dt).u - exact).norm().item() for dt in (0.5, 0.25, 0.125)
    ]
    assert orders(errors) == pytest.approx([4, 4], abs=0.5)
    # A frame that moves by 8 nodes in 30: u + V at x + V t.
    V = 8 * grid.spacing[0] / 30
    moved = evolve(equation, u0 + V, [30.0], dt=0.03125).u
    assert (moved - V - exact.roll(8, -1)).abs().max() < 1e-5 * exact.abs().max()


def test_a_front_into_the_unstable_state():
    """u = 1/(1 + exp((x - ct) √(r/2κ))) with c = 3 √(rκ/2), a tanh (Newell and Whitehead)."""
    grid = Grid((257,), 60.0, "neumann")
    r, kappa = 1.5, 0.8
    x, c = grid.axis(0), 3 * math.sqrt(r * kappa / 2)

    def exact(t):
        return torch.sigmoid(-(x - 20 - c * t) * math.sqrt(r / (2 * kappa)))

    errors = []
    for dt in (0.2, 0.1, 0.05):
        u = evolve(AllenCahn(grid, kappa, r), exact(0)[None, None], [4.0], dt=dt).u[0, 0, 0]
        errors.append((u - exact(4))[:200].abs().max().item())
    assert orders(errors)[0] == pytest.approx(4, abs=0.5)
    assert errors[-1] < 1e-4


def test_a_standing_front_stands():
    grid = Grid((129,), 20.0, "neumann")
    u0 = torch.tanh((grid.axis(0) - 10) * math.sqrt(0.5))[None, None]
    u = evolve(AllenCahn(grid, 1.0), u0, [5.0], dt=0.1).u[:, 0]
    assert (u - u0).abs().max() < 2e-5  # its tails at the sides: 4 exp(-10 √2)


def test_allen_cahn_periodic_reference(shared_data):
    """u_t = 1e-4 u_xx + 5 (u - u³), u0 = x² cos πx on [-1, 1]: its slope jumps at the ends."""
    data = scipy.io.loadmat(shared_data / "reference" / "Allen_Cahn_periodic.mat")
    x, t, u = (torch.from_numpy(data[k].squeeze()) for k in ("x", "tt", "uu"))
    grid = circle(512, 2.0)
    u0 = x**2 * torch.cos(PI * x)
    result = evolve(AllenCahn(grid, 1e-4, 5), u0[None, None], t.tolist(), dt=0.005)
    assert (result.u[0, :, 0].T - u).norm() < 1e-3 * u.norm()


class AllenCahnBelow(AllenCahn):
    """The same for w = u + 1, zero where u = -1: Dirichlet sides by sines."""

    def nonlinear(self, u_hat, t):
        w = self.decode(u_hat)
        return self.encode(self.reaction * (w - 1 - (w - 1) ** 3 - w))


def test_allen_cahn_dirichlet_reference(shared_data):
    """u_t = 1e-3 u_xx + 5 (u - u³), u(±1) = -1: the file is good to 2e-4."""
    data = scipy.io.loadmat(shared_data / "reference" / "Allen_Cahn_dirichlet.mat")
    x, t, u = (torch.from_numpy(data[k].squeeze()) for k in ("x", "t", "u"))
    grid = Grid((201,), 2.0)
    w0 = x**2 * torch.cos(PI * x) + 1
    w0[0] = w0[-1] = 0.0
    equation = AllenCahnBelow(grid, 1e-3, 5, series="sine")
    result = evolve(equation, w0[None, None], t[1:].tolist(), dt=0.01)
    assert (result.u[0, :, 0] - 1 - u[1:]).abs().max() < 5e-4


def test_allen_cahn_energy_never_grows(generator):
    grid = Grid((32, 32), boundary="periodic")
    u0 = torch.rand(1, 1, 32, 32, generator=generator, dtype=torch.float64) - 0.5
    u0 = fourier.apply_multiplier(u0, fourier.dealias_mask(grid), grid)
    kappa, times = 2e-3, [0.0, 0.5, 1.0, 2.0, 4.0]
    u = evolve(AllenCahn(grid, kappa), u0, times, dt=0.1).u[0, :, 0]
    slopes = sum(fourier.derivative(u, grid, a) ** 2 for a in (0, 1))
    energy = (kappa * slopes / 2 + (1 - u**2) ** 2 / 4).mean((1, 2))
    assert (energy.diff() < 0).all()
    rolled = evolve(AllenCahn(grid, kappa), u0.roll((3, 5), (-2, -1)), times, dt=0.1).u[0, :, 0]
    assert (rolled - u.roll((3, 5), (-2, -1))).abs().max() < 1e-12


def test_gray_scott_without_space_is_its_ode():
    grid = circle(8)
    u0 = torch.tensor([0.6, 0.3], dtype=torch.float64)[None, :, None].expand(1, 2, 8)

    def law(t, y):
        u, v = y
        return [-u * v**2 + 0.04 * (1 - u), u * v**2 - 0.1 * v]

    exact = scipy.integrate.solve_ivp(law, (0, 20), [0.6, 0.3], rtol=1e-12, atol=1e-14).y[:, -1]
    errors = [
        (evolve(GrayScott(grid), u0.clone(), [20.0], dt=dt).u[0, 0, :, 0] - torch.from_numpy(exact))
        .abs()
        .max()
        .item()
        for dt in (2.0, 1.0, 0.5)
    ]
    assert orders(errors) == pytest.approx([4, 4], abs=0.5)


def test_gray_scott_only_converts_without_feed_and_kill(generator):
    grid = Grid((24, 24), 0.5, "periodic")
    u0 = torch.rand(2, 2, 24, 24, generator=generator, dtype=torch.float64)
    result = evolve(GrayScott(grid, 0, 0), u0, [0.0, 20.0], dt=1.0)
    total = result.u.sum((2, 3, 4))
    assert (total[:, 1] / total[:, 0] - 1).abs().max() < 1e-13
    assert (result.u[:, 1] - result.u[:, 0]).abs().max() > 0.1


def test_the_default_series_of_stored_dirichlet_ends_is_not_theirs():
    """Cosines on stored ends would insulate them; sines are asked for by name."""
    grid = Grid((17,))
    u0 = torch.sin(PI * grid.axis(0))[None, None]
    cosine, sine = (evolve(Heat(grid, 1.0, s), u0, [1.0], dt=1.0).u for s in (None, "sine"))
    assert sine.abs().max() < 1e-4 < 0.5 < cosine.abs().min()


def test_bad_input_is_refused():
    grid = circle(16)
    u = torch.ones(1, 1, 16)
    for equation in (KortewegDeVries, KuramotoSivashinsky):
        with pytest.raises(ValueError, match="1 axis periodic"):
            equation(Grid((8, 8), boundary="periodic"))
    with pytest.raises(ValueError, match="diffusivity >= 0"):
        Heat(grid, -1)
    with pytest.raises(ValueError, match="one component per axis"):
        AdvectionDiffusion(grid, (1.0, 2.0))
    with pytest.raises(ValueError, match="2 channel"):
        evolve(Wave(grid, 1.0), u, [1.0], dt=0.1)
    with pytest.raises(ValueError, match=r"couples them. Use ETDRK4"):
        evolve(Wave(grid, 1.0), Wave.at_rest(u), [1.0], dt=0.1, stepper=RK4CN)
