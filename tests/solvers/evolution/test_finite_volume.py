import math
from itertools import pairwise

import pytest
import torch

from pdeops.domain import Grid
from pdeops.solvers import (
    Burgers,
    BurgersFlux,
    LinearFlux,
    cole_hopf,
    evolve,
    hopf_lax,
    solve_conservation_law,
)

PI = math.pi


def cells(n, boundary="periodic", length=1.0):
    return Grid((n,), extent=length, boundary=boundary, placement="centers")


def u0(x):
    return 0.4 + torch.sin(2 * PI * x)


def potential(x):
    return 0.4 * x - torch.cos(2 * PI * x) / (2 * PI)


def averages(U, grid):
    """Of the cells, from a potential at their faces."""
    faces = torch.arange(grid.shape[0] + 1, dtype=torch.float64) * grid.spacing[0]
    return U(faces).diff() / grid.spacing[0]


def exact(grid, t):
    return averages(lambda x: hopf_lax(u0, potential, x, t, largest=1.4)[1], grid)


def errors(times, sizes):
    """In L¹, the mean over the times: the error depends on where in its cell the shock lies."""
    values = []
    for n in sizes:
        grid = cells(n)
        start = averages(potential, grid)[None, None]
        u = solve_conservation_law(BurgersFlux(), start, grid, times).u[0, :, 0]
        gaps = [(v - exact(grid, t)).abs().mean() for v, t in zip(u, times, strict=True)]
        values.append((sum(gaps) / len(gaps)).item())
    return values


def orders(values):
    return [math.log2(a / b) for a, b in pairwise(values)]


def test_hopf_lax_is_the_method_of_characteristics_before_the_shock():
    x = torch.linspace(0, 1, 41, dtype=torch.float64)
    u, U = hopf_lax(u0, potential, x, 0.1, largest=1.4)  # the shock forms at t = 1/2π
    assert (u - u0(x - 0.1 * u)).abs().max() < 1e-13
    slope = (hopf_lax(u0, potential, x + 1e-4, 0.1, largest=1.4)[1] - U) / 1e-4
    assert (slope - u).abs().max() < 2e-3


def test_hopf_lax_is_the_limit_of_cole_hopf():
    x = torch.tensor([0.1, 0.3, 0.7, 0.9], dtype=torch.float64)
    u, _ = hopf_lax(
        lambda x: -torch.sin(PI * x), lambda x: torch.cos(PI * x) / PI, x, 1.0, largest=1
    )
    gaps = [
        (cole_hopf(lambda x: -torch.sin(PI * x), lambda x: torch.cos(PI * x) / PI,
                   x, 1.0, nu, num_nodes=400) - u).abs().max().item()
        for nu in (4e-3, 2e-3, 1e-3)
    ]  # fmt: skip
    assert orders(gaps) == pytest.approx([1, 1], abs=0.1)


def test_hopf_lax_of_a_step_is_a_shock_or_a_fan():
    x = torch.tensor([-0.8, -0.3, 0.1, 0.3, 0.8], dtype=torch.float64)
    for left, right, expected in (
        (1.0, -0.5, [1, 1, 1, -0.5, -0.5]),  # the shock stands at 0.25 t
        (-0.5, 1.0, [-0.5, -0.3, 0.1, 0.3, 0.8]),  # x/t between the two
    ):
        u, _ = hopf_lax(
            lambda y, a=left, b=right: torch.where(y < 0, a, b).double(),
            lambda y, a=left, b=right: torch.where(y < 0, a * y, b * y),
            x,
            1.0,
            largest=1,
        )
        assert u == pytest.approx(expected, abs=1e-12)


def test_second_order_before_the_shock_first_across_it():
    assert min(orders(errors([0.08], (64, 128, 256)))) > 1.8
    times = [0.5 + 0.013 * i for i in range(10)]
    assert min(orders(errors(times, (32, 64, 128, 256)))) > 0.9


def test_a_shock_is_sharp_and_never_rings():
    """Bounds hold, variation falls, ∫u stays; the spectral solver on as thin a front overshoots."""
    grid = cells(128)
    start = averages(potential, grid)[None, None]
    u = solve_conservation_law(BurgersFlux(), start, grid, [0.0, 0.1, 0.3, 1.0]).u[0, :, 0]
    assert u.max() <= start.max()
    assert u.min() >= start.min()
    variation = torch.cat([u, u[:, :1]], 1).diff(dim=1).abs().sum(1)
    assert (variation.diff() < 1e-13).all()
    assert (u.mean(1) - 0.4).abs().max() < 1e-15
    jump = u[2].diff().abs()
    assert (jump > 0.05).sum() <= 4
    thin = evolve(Burgers(grid, 2e-4), start, [0.3], dt=0.002).u
    assert thin.max() > start.max() + 0.05


def test_a_rarefaction_through_zero_is_no_shock():
    grid = cells(100, "neumann", 2.0)
    start = torch.where(grid.axis(0) < 1, -1.0, 1.0).double()[None, None]
    u = solve_conservation_law(BurgersFlux(), start, grid, [0.5]).u[0, 0, 0]
    fan = ((grid.axis(0) - 1) / 0.5).clamp(-1, 1)
    assert (u - fan).abs().mean() < 0.01
    assert u.diff().max() < 0.2


def test_what_leaves_does_not_come_back():
    grid = cells(50, "neumann")
    start = torch.exp(-100 * (grid.axis(0) - 0.5) ** 2)[None, None]
    u = solve_conservation_law(LinearFlux(-1.0), start, grid, [2.0]).u
    assert u.abs().max() < 1e-10


def test_advection_in_two_dimensions_is_second_order():
    values = []
    for n in (32, 64, 128):
        grid = Grid((n, n), (1.0, 2.0), "periodic", "centers")
        x, y = grid.nodes()

        def wave(t, x=x, y=y):
            return torch.sin(2 * PI * (x - t)) * torch.cos(PI * (y + 0.5 * t))

        flux = (LinearFlux(1.0), LinearFlux(-0.5))
        u = solve_conservation_law(flux, wave(0)[None, None], grid, [0.5]).u[0, 0, 0]
        values.append((u - wave(0.5)).abs().mean().item())
    assert min(orders(values)) > 1.8


def test_bad_input_is_refused():
    grid, u = cells(16), torch.ones(1, 1, 16)
    with pytest.raises(ValueError, match=r"courant must lie in \(0, 0.5\]"):
        solve_conservation_law(BurgersFlux(), u, grid, [1.0], courant=0.9)
    with pytest.raises(ValueError, match="periodic or Neumann"):
        solve_conservation_law(BurgersFlux(), u, Grid((16,)), [1.0])
    with pytest.raises(ValueError, match="one per axis"):
        solve_conservation_law([BurgersFlux()] * 2, u, grid, [1.0])
    with pytest.raises(ValueError, match="NaN"):
        solve_conservation_law(BurgersFlux(), u * math.inf, grid, [1.0])
    with pytest.raises(ValueError, match="times must increase"):
        solve_conservation_law(BurgersFlux(), u, grid, [1.0, 0.5])
    with pytest.raises(ValueError, match="t and largest"):
        hopf_lax(u0, potential, u[0, 0].double(), 0.0, largest=1)
