import math
from itertools import pairwise

import pytest
import torch

from pdeops.calculus import fourier
from pdeops.domain import Grid
from pdeops.solvers import ETDRK4, RK4CN, NavierStokes, evolve

PI = math.pi


def torus(n, extent=2 * PI):
    return Grid((n, n) if isinstance(n, int) else n, extent=extent, boundary="periodic")


def random_vorticity(grid, generator, *, batch=1, waves=6):
    """Waves up to `waves` per axis, zero mean, of unit variance."""
    coarse = torch.randn(
        batch, 1, 2 * waves + 1, 2 * waves + 1, generator=generator, dtype=torch.float64
    )
    w = fourier.resample(coarse, grid.with_shape(coarse.shape[-2:]), grid.shape)
    w = w - w.mean((-2, -1), keepdim=True)
    return w / w.std()


def five_transform_form(w, grid):
    """-u·∇ω by its parts, filtered: the textbook form."""
    psi = -fourier.inverse_laplacian(w, grid)
    u, v = fourier.derivative(psi, grid, 1), -fourier.derivative(psi, grid, 0)
    wx, wy = fourier.derivative(w, grid, 0), fourier.derivative(w, grid, 1)
    return -fourier.apply_multiplier(u * wx + v * wy, fourier.dealias_mask(grid), grid)


@pytest.mark.parametrize("n", [64, 63, (48, 64), (33, 50)])
def test_four_transforms_equal_five(n, generator):
    grid = torus(n, (2 * PI, 3.0))
    w = random_vorticity(grid, generator, batch=2, waves=8)
    flow = NavierStokes(grid, 1e-3)
    w = flow.decode(flow.encode(w))
    exact = five_transform_form(w, grid)
    out = torch.empty_like(flow.encode(w))
    for tendency in (
        flow.nonlinear(flow.encode(w), 0.0),
        flow.nonlinear_into(flow.encode(w), 0.0, out),
    ):
        assert (flow.decode(tendency) - exact).norm() < 7e-12 * exact.norm()


def test_a_large_batch_is_worked_through_in_parts(generator, monkeypatch):
    grid = torus(16)
    w = random_vorticity(grid, generator, batch=7, waves=4)
    whole = evolve(NavierStokes(grid, 1e-3), w, [0.1], dt=0.01, stepper=RK4CN).u
    monkeypatch.setattr("pdeops.kernels.vorticity._AT_ONCE", 3 * 16**2)
    parts = evolve(NavierStokes(grid, 1e-3), w, [0.1], dt=0.01, stepper=RK4CN).u
    assert torch.equal(parts, whole)


def test_samples_divided_among_threads(generator, monkeypatch):
    grid = torus(16)
    w = random_vorticity(grid, generator, batch=7, waves=4)
    whole = evolve(NavierStokes(grid, 1e-3), w, [0.1], dt=0.01).u
    monkeypatch.setattr("pdeops.kernels.vorticity._PER_THREAD", 2 * 16**2)
    torch.set_num_threads(3)
    flow = NavierStokes(grid, 1e-3)
    divided = evolve(flow, w, [0.1], dt=0.01).u
    assert [len(spaces) for spaces in flow._spaces.values()] == [3]
    torch.testing.assert_close(divided, whole, rtol=1e-12, atol=1e-12)  # FFTs round otherwise


def test_buffers_of_alternating_batches_are_kept(generator):
    """And those of a third size replace the oldest."""
    grid = torus(8)
    flow, kept = NavierStokes(grid, 1e-3), []
    w = flow.encode(random_vorticity(grid, generator, batch=3, waves=2))
    for size in (3, 2, 3, 2, 1):
        part = w[:size].contiguous()
        found = flow.nonlinear_into(part, 0.0, torch.empty_like(part))
        torch.testing.assert_close(found, flow.nonlinear(part, 0.0))
        kept.append({key[1]: spaces for key, spaces in flow._spaces.items()})
    assert kept[1].keys() == {3, 2}
    assert all(kept[3][size] is kept[1][size] for size in (3, 2))
    assert kept[4].keys() == {2, 1}


def taylor_green(grid):
    x, y = grid.nodes()
    return (torch.cos(2 * x) * torch.cos(2 * y))[None, None]


def test_taylor_green_decays_with_the_error_of_crank_nicolson():
    """Convection vanishes; e^(-λ) λ³ dt² S/12 with S = Σ(Δα)³ = 0.0681 and λ = 0.08."""
    grid = torus(32)
    w = taylor_green(grid)
    flow = NavierStokes(grid, 0.01)
    errors = []
    for dt in (0.1, 0.05, 0.025):
        u = evolve(flow, w, [1.0], dt=dt, stepper=RK4CN).u[:, 0]
        errors.append((u - w * math.exp(-0.08)).abs().max().item())
    assert errors[0] == pytest.approx(2.68e-8, rel=2e-3)
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    assert orders == pytest.approx([2.0, 2.0], abs=0.02)


def test_exponential_steps_are_exact_on_taylor_green():
    grid = torus(32)
    w = taylor_green(grid)
    u = evolve(NavierStokes(grid, 0.01, drag=0.3), w, [1.0], dt=0.5, stepper=ETDRK4).u[:, 0]
    assert (u - w * math.exp(-0.38)).abs().max() < 1e-14


@pytest.mark.parametrize(
    ("stepper", "viscosity", "order"),
    [(ETDRK4, 0.02, 4), (RK4CN, 0.0, 4), (RK4CN, 0.1, 2)],
)
def test_order_in_dt(stepper, viscosity, order, generator):
    """Against a reference of ETDRK4 with dt/8, where a moving force, N and L all act."""
    grid = torus(32)
    w = random_vorticity(grid, generator, waves=4)
    flow = NavierStokes(grid, viscosity, forcing=lambda x, t: torch.sin(x[0] + 2 * x[1] - 3 * t))
    dt = 0.04 if order == 4 else 0.01
    exact = evolve(flow, w, [0.4], dt=dt / 8).u
    errors = [
        (evolve(flow, w, [0.4], dt=step, stepper=stepper).u - exact).norm().item()
        for step in (dt, dt / 2)
    ]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.35)


@pytest.mark.slow
def test_inviscid_invariants(generator):
    """The symmetric filter at work: with k = -21 kept and 21 dropped, energy drifts by 7e-6."""
    grid = torus(64)
    flow = NavierStokes(grid, 0.0)
    w = random_vorticity(grid, generator)
    w = evolve(flow, w, [0.0, 1.0], dt=4e-3, stepper=RK4CN).u[0]
    energy = flow.velocity(flow.encode(w)).square().sum((1, 2, 3))
    enstrophy = w.square().sum((1, 2, 3))
    assert abs(energy[1] / energy[0] - 1) < 1e-11
    assert abs(enstrophy[1] / enstrophy[0] - 1) < 1e-8
    assert w[1].mean().abs() < 1e-15


def test_energy_and_enstrophy_are_not_created(generator):
    """⟨ψ, N⟩ = ⟨ω, N⟩ = 0 for each state; a filter without conjugates breaks it."""
    grid = torus((30, 24), (1.0, 2.0))
    flow = NavierStokes(grid, 0.0)
    w_hat = flow.encode(random_vorticity(grid, generator, waves=9))
    w, N = flow.decode(w_hat), flow.decode(flow.nonlinear(w_hat, 0.0))
    psi = fourier.inverse_laplacian(w, grid)
    assert abs((psi * N).sum()) < 1e-12 * psi.norm() * N.norm()
    assert abs((w * N).sum()) < 1e-12 * w.norm() * N.norm()


def test_rolled_input_gives_rolled_output(generator):
    grid = torus(32, (1.0, 2.0))
    flow = NavierStokes(grid, 1e-3, drag=0.1)
    w = random_vorticity(grid, generator)

    def final(w):
        return evolve(flow, w, [0.05], dt=2e-3, stepper=RK4CN).u

    rolled = final(w.roll((5, -7), (-2, -1)))
    difference = rolled - final(w).roll((5, -7), (-2, -1))
    assert difference.abs().max() < 1e-12 * rolled.abs().max()


def test_a_box_of_another_size_is_the_same_flow_in_other_units(generator):
    """Lengths times 3 with the same vorticity: viscosity times 9."""
    w = random_vorticity(torus(32), generator)
    small = evolve(NavierStokes(torus(32), 1e-2), w, [0.5], dt=0.05).u
    large = evolve(NavierStokes(torus(32, 6 * PI), 9e-2), w, [0.5], dt=0.05).u
    assert (small - large).abs().max() < 1e-12


def test_forcing_balances_viscosity():
    """Kolmogorov flow: ω = cos(4y) stays where f = (16 ν + μ) ω; a field and a function alike."""
    grid = torus(32)
    _, y = grid.nodes()
    w = torch.cos(4 * y)[None, None]
    f = (16 * 0.05 + 0.1) * w[0, 0]
    for forcing in (f, f[None], lambda x, t: 0.9 * torch.cos(4 * x[1])):
        flow = NavierStokes(grid, 0.05, drag=0.1, forcing=forcing)
        result = evolve(flow, w, [0.5, 1.0], dt=0.05, stepper=RK4CN)
        assert (result.u - w).abs().max() < 1e-13


def test_velocity_is_that_of_the_stream_function():
    grid = torus((24, 32), (2 * PI, 4 * PI))
    x, y = grid.nodes()
    flow = NavierStokes(grid, 0.0)
    w = (torch.sin(x) * torch.cos(y))[None, None]  # ψ = ω/2, u = ψ_y, v = -ψ_x
    u, v = flow.velocity(flow.encode(w))[0]
    assert (u + torch.sin(x) * torch.sin(y) / 2).abs().max() < 1e-14
    assert (v + torch.cos(x) * torch.cos(y) / 2).abs().max() < 1e-14
    rate = flow.rate(flow.encode(w))
    hx, hy = grid.spacing
    assert rate == pytest.approx((u.abs() / hx + v.abs() / hy).max().item())


def test_adaptive_steps_keep_the_courant_number(generator):
    grid = torus(32)
    w = 20 * random_vorticity(grid, generator)
    flow = NavierStokes(grid, 1e-2)
    result = evolve(flow, w, [0.1, 0.25], dt=0.05, courant=0.5, stepper=RK4CN)
    assert result.completed
    assert 0.25 < result.courant <= 0.5
    exact = evolve(flow, w, [0.1, 0.25], dt=1e-3).u
    assert (result.u - exact).norm() < 1e-4 * exact.norm()  # Crank-Nicolson


def test_a_violated_stability_limit_is_reported(generator):
    grid = torus(32)
    w = 20 * random_vorticity(grid, generator)
    result = evolve(NavierStokes(grid, 1e-2), w, [0.0, 1.0], dt=0.1, stepper=RK4CN)
    assert not result.completed
    assert "Courant number" in result.reason
    assert result.u.shape == (1, 1, 1, 32, 32)  # the time 0 was reached
    assert result.num_steps == 0


def test_float32_stays_float32(generator):
    grid = torus(32)
    w = random_vorticity(grid, generator)
    flow = NavierStokes(grid, 1e-2, forcing=lambda x, t: torch.sin(x[0] - t))
    exact = evolve(flow, w, [0.5], dt=0.05).u
    for stepper in (RK4CN, ETDRK4):
        u = evolve(flow, w.float(), [0.5], dt=0.05, stepper=stepper).u
        assert u.dtype == torch.float32
        assert (u - exact).norm() < 2e-5 * exact.norm()


def test_the_tendency_is_differentiable(generator):
    grid = torus(8)
    flow = NavierStokes(grid, 1e-2, forcing=torch.cos(grid.nodes()[0]))
    w = random_vorticity(grid, generator, waves=2)

    def tendency(w):
        return flow.decode(flow.nonlinear(flow.encode(w), 0.0))

    assert torch.autograd.gradcheck(tendency, w.requires_grad_())


def test_bad_input_is_refused(generator):
    grid = torus(16)
    w = random_vorticity(grid, generator, waves=3)
    flow = NavierStokes(grid, 1e-2)
    with pytest.raises(ValueError, match=r"two periodic axes .* got 16 x 16 nodes, \[0, 1\]"):
        NavierStokes(Grid((16, 16)), 1e-2)
    with pytest.raises(ValueError, match="finite and >= 0"):
        NavierStokes(grid, -1.0)
    with pytest.raises(ValueError, match="zero mean"):
        evolve(flow, w + 1, [1.0], dt=0.1)
    with pytest.raises(ValueError, match="NaN"):
        evolve(flow, w * math.nan, [1.0], dt=0.1)
    with pytest.raises(ValueError, match="1 channel"):
        evolve(flow, torch.cat([w, w], 1), [1.0], dt=0.1)
    with pytest.raises(ValueError, match="2 samples, the initial field of 1"):
        evolve(NavierStokes(grid, 1e-2, forcing=torch.zeros(2, 16, 16)), w, [1.0], dt=0.1)
    with pytest.raises(ValueError, match="forcing must have shape"):
        NavierStokes(grid, 1e-2, forcing=torch.zeros(8, 8))
    for times in ([], [0.5, 0.5], [-1.0]):
        with pytest.raises(ValueError, match="times must increase"):
            evolve(flow, w, times, dt=0.1)
    with pytest.raises(ValueError, match="dt must be positive"):
        evolve(flow, w, [1.0], dt=0.0)
    with pytest.raises(ValueError, match="courant must be positive"):
        evolve(flow, w, [1.0], dt=0.1, courant=-1)
