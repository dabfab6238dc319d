"""Directions from any map at all: what the solver guarantees whatever the network says."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from pdeops.domain import Grid
from pdeops.solvers import (
    Diffusion,
    Matrix,
    Multigrid,
    cg,
    deep_conjugate_direction,
    flexible_cg,
    solve_sparse,
)


def noise(shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def darcy(piecewise):
    grid = Grid((41, 33))
    A = Diffusion(piecewise(grid), grid)
    return A, noise(A.grid.shape)


@pytest.fixture
def floating():
    """A Poisson system with walls: two fluid regions, a single fluid cell, and solid ones."""
    grid = Grid((24, 20), (24.0, 20.0), boundary="neumann", placement="centers")
    fluid = torch.ones(grid.shape, dtype=torch.bool)
    fluid[10] = False
    fluid[3:6, 3:6] = False
    fluid[4, 4] = True
    A = Diffusion(1.0, grid, fluid=fluid)
    assert A.regions.num_floating == 3
    return A


def random_net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 1, 3, padding=1)
    ).eval()


def histories(A, b, net, steps, **kwargs):
    """Squared A-norm errors after 0, 1, ... steps."""
    exact = solve_sparse(A, b).x
    errors = []
    for k in range(steps):
        x = deep_conjugate_direction(A, b, net, rtol=1e-30, max_iterations=k, **kwargs).x
        e = A.project(x - exact)
        errors.append((e * (A @ e)).sum().item())
    return errors


@pytest.mark.parametrize("previous", [1, 2, 5])
def test_the_identity_is_cg(previous):
    """Over more than a hundred steps, to 1e-8 relative."""
    A = Diffusion(1.0, Grid((66, 50)))
    b = noise(A.grid.shape)
    ours = deep_conjugate_direction(A, b, lambda r: r, num_previous=previous, rtol=1e-10)
    book = cg(A, b, rtol=1e-10)
    assert ours.iterations == book.iterations > 100
    assert ours.residuals == pytest.approx(book.residuals, rel=1e-8)


def test_without_previous_directions_the_identity_is_steepest_descent(darcy):
    A, b = darcy
    r, expected = b.clone(), [1.0]
    for _ in range(30):
        r = r - (r * r).sum() / (r * (A @ r)).sum() * (A @ r)
        expected.append((r.norm() / b.norm()).item())
    ours = deep_conjugate_direction(A, b, lambda r: r, num_previous=0, max_iterations=30)
    assert ours.residuals == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("singular", [False, True])
def test_the_inverse_takes_one_step_whatever_scale_sign_and_kernel(darcy, floating, singular):
    A, b = (floating, floating @ noise(floating.grid.shape)) if singular else darcy
    inverse = torch.linalg.pinv(torch.from_numpy(A.to_csr().toarray()), rtol=1e-12)

    def exact(r):
        return (r.flatten(1) @ inverse).reshape(r.shape)

    scales = [1.0, -3.0, 1e-5] + ([lambda z: z + 1e3] if singular else [])
    for scale in scales:
        net = (
            (lambda r, f=scale: f(exact(r))) if callable(scale) else lambda r, s=scale: s * exact(r)
        )
        result = deep_conjugate_direction(A, b, net, rtol=1e-10)
        assert result.converged
        assert result.iterations == 1


def test_scale_sign_and_kernel_of_a_network_do_not_matter(floating):
    A, b, M = floating, floating @ noise(floating.grid.shape), Multigrid(floating)

    def net(r):
        return M @ r + 0.3 * (M @ r).relu()

    plain = deep_conjugate_direction(A, b, net, rtol=1e-6)
    for changed in (lambda r: -3 * net(r), lambda r: net(r) + 1e3):
        other = deep_conjugate_direction(A, b, changed, rtol=1e-6)
        assert other.residuals[:-1] == pytest.approx(plain.residuals[:-1], rel=1e-8)


ADVERSARIES = {
    "minus": lambda r: -r,
    "constant": lambda r: torch.ones_like(r),
    "zero": lambda r: torch.zeros_like(r),
    "not a number": lambda r: torch.full_like(r, math.nan),
    "infinite": lambda r: torch.full_like(r, math.inf),
    "orthogonal": lambda r: r.flip(-1) * torch.linspace(-1, 1, r.shape[-1], dtype=r.dtype),
    "rounds": lambda r: r.sign(),
    "random weights": random_net(),
}


@pytest.mark.parametrize("net", ADVERSARIES.values(), ids=ADVERSARIES)
def test_the_energy_of_the_error_never_grows(darcy, floating, net):
    for A, b in (darcy, (floating, floating @ noise(floating.grid.shape))):
        energies = histories(A, b, net, 12)
        assert all(y <= x * (1 + 1e-12) for x, y in pairwise(energies))
        assert energies[-1] < energies[0]


@pytest.mark.parametrize("name", ["constant", "zero", "not a number", "infinite"])
def test_useless_outputs_are_replaced_and_counted(floating, name):
    A = floating
    b = A @ noise((3, *A.grid.shape))
    result = deep_conjugate_direction(A, b, ADVERSARIES[name], rtol=1e-9)
    for column, right in zip(result.columns, b, strict=True):
        book = cg(A, right, rtol=1e-9)
        assert column.converged
        assert abs(column.iterations - book.iterations) <= 1
        assert f"{column.iterations} steps were made from r" in column.reason
    good = deep_conjugate_direction(A, b, Multigrid(A), rtol=1e-9)
    assert "from r" not in good.reason


def test_a_network_that_fails_now_and_then_is_counted_by_column(darcy):
    A, _ = darcy
    b, M, calls = noise((2, *A.grid.shape)), Multigrid(A), iter(range(100))

    def net(r):
        z = M @ r
        if next(calls) == 2:
            z[1] = math.nan
        return z

    result = deep_conjugate_direction(A, b, net, rtol=1e-9)
    assert "from r" not in result.columns[0].reason
    assert "1 steps were made from r" in result.columns[1].reason


def test_single_precision_does_not_limit_the_solution(floating):
    """A network in float32, 99.99 % of whose output is in the kernel of A."""
    A, b = floating, floating @ noise(floating.grid.shape)
    M = Multigrid(A)

    class Single(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(1.0))

        def forward(self, r):
            assert r.dtype == torch.float32
            assert r.norm() == pytest.approx(1)
            z = (M @ r.double()).float() * self.scale
            return z + 1e3 * z.abs().max()

    result = deep_conjugate_direction(A, b, Single(), rtol=1e-14)
    true = (b - A @ result.x).norm() / b.norm()
    assert result.converged
    assert true <= 1e-14
    assert result.iterations <= deep_conjugate_direction(A, b, M, rtol=1e-14).iterations + 3


def test_one_network_and_one_operator_call_per_step(darcy):
    class Counting(Matrix):
        calls = 0

        def apply(self, u):
            self.calls += 1
            return super().apply(u)

    A, asked = Counting(darcy[0].to_csr(), darcy[0].grid), []
    result = deep_conjugate_direction(A, darcy[1], lambda r: asked.append(1) or r, rtol=1e-8)
    assert len(asked) == result.iterations
    assert A.calls == result.iterations + 1  # and the true residual


def test_systems_without_a_solution_and_without_unknowns(floating):
    A = floating
    b = A @ noise(A.grid.shape)
    for net in (Multigrid(A), lambda r: r):
        wrong = deep_conjugate_direction(A, b + 0.1, net, rtol=1e-8)
        assert not wrong.converged
        assert wrong.reason.startswith("inconsistent")
        zero = deep_conjugate_direction(A, torch.zeros_like(b), net)
        assert (zero.converged, zero.iterations) == (True, 0)
    solid = Diffusion(1.0, A.grid, fluid=torch.zeros(A.grid.shape, dtype=torch.bool))
    nothing = deep_conjugate_direction(solid, b, lambda r: r, max_iterations=5)
    assert nothing.reason.startswith("inconsistent")
    assert not nothing.x.any()


def test_equals_flexible_cg_with_a_fixed_preconditioner(darcy):
    A, b = darcy
    M = Multigrid(A)
    ours = deep_conjugate_direction(A, b, M, num_previous=1, rtol=1e-10)
    assert ours.residuals[:-1] == pytest.approx(flexible_cg(A, b, M=M, rtol=1e-10).residuals[:-1])


def test_bad_input_is_refused(darcy):
    A, b = darcy
    with pytest.raises(ValueError, match=r"same shape; got \(1, 39, 31\)"):
        deep_conjugate_direction(A, b, lambda r: r[0])
    with pytest.raises(ValueError, match="num_previous must be 0 or more"):
        deep_conjugate_direction(A, b, lambda r: r, num_previous=-1)
    with pytest.raises(ValueError, match="symmetric positive definite A"):
        deep_conjugate_direction(Matrix(np.array([[1.0, 2.0], [0.0, 1.0]])), b[0, :2], lambda r: r)
