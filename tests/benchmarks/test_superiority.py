"""The coarse solvers of the superiority bench are what their names say."""

import math
from itertools import pairwise

import pytest
import torch

from benchmarks.superiority import Advection, relative, upwind_step
from pdeops.domain import Grid


def test_the_upwind_step_solves_its_equation():
    flow = Advection(n=32, courant=0.7)
    u = flow.initial(3, (1, 3, 5), seed=0)
    frames = flow.rollout(flow.upwind, u, 2)
    for before, after in ((0, 1), (1, 2)):
        v = frames[:, after]
        torch.testing.assert_close(v + 0.7 * (v - v.roll(1, -1)), frames[:, before])
    x = flow.grid.nodes()[0]
    wave = torch.sin(2 * math.pi * x)[None, None]
    moved = flow.rollout(flow.exact, wave, 3)[:, 3]
    torch.testing.assert_close(moved[0, 0], torch.sin(2 * math.pi * (x - 3 * flow.dt)))


def test_a_stencil_fitted_to_one_wave_is_the_solver_there_and_nearer_to_the_truth_beyond():
    """Two real numbers match one complex multiplier; at shorter waves the stencil damps less."""
    flow = Advection()
    stencil = flow.stencil(flow.rollout(flow.upwind, flow.initial(4, (1,), seed=0), 3))
    assert stencil[1].item() == pytest.approx(flow.upwind[1].item(), abs=1e-10)
    for wave, below in ((2, 0.6), (4, 0.5)):
        u = flow.initial(2, (wave,), seed=1)
        truth = flow.rollout(flow.exact, u, 10)
        ours, theirs = (
            relative(flow.rollout(m, u, 10), truth, flow.grid)[10] for m in (stencil, flow.upwind)
        )
        assert ours / theirs < below


def test_a_shear_flow_decays_by_its_viscosity_alone():
    """ω = cos y: u is along x, so nothing is advected, and five points damp by 2(1 - cos h)/h²."""
    grid = Grid((12, 24), (2 * math.pi,) * 2, "periodic")
    w = torch.cos(grid.nodes()[1])[None, None]
    h, dt, nu = grid.spacing[1], 0.01, 0.3
    stepped = upwind_step(w, grid, dt, nu, torch.zeros(12, 24, dtype=torch.float64))
    torch.testing.assert_close(stepped, w * (1 - dt * nu * 2 * (1 - math.cos(h)) / h**2))


def test_the_flow_is_advected_to_first_order():
    """(w' - w)/dt → -u·∇ω for ω = sin x cos 2y + cos y, ψ = sin x cos 2y / 5 + cos y."""
    errors = []
    for n in (32, 64, 128):
        grid = Grid((n, n), (2 * math.pi,) * 2, "periodic")
        x, y = grid.nodes()
        w = torch.sin(x) * torch.cos(2 * y) + torch.cos(y)
        u = -2 / 5 * torch.sin(x) * torch.sin(2 * y) - torch.sin(y)
        v = -torch.cos(x) * torch.cos(2 * y) / 5
        w_x = torch.cos(x) * torch.cos(2 * y)
        w_y = -2 * torch.sin(x) * torch.sin(2 * y) - torch.sin(y)
        rate = upwind_step(w[None, None], grid, 1.0, 0.0, torch.zeros_like(w))[0, 0] - w
        errors.append((rate + u * w_x + v * w_y).norm().item() / n)
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    assert orders == pytest.approx([1.0, 1.0], abs=0.15)
