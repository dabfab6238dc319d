"""One table for all Krylov methods: what each must find, and how each must stop."""

import math
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse
import torch

from pdeops.domain import Grid
from pdeops.linop import Preconditioner, check_spd
from pdeops.solvers import (
    Diffusion,
    Matrix,
    Multigrid,
    bicgstab,
    cg,
    flexible_cg,
    solve_sparse,
)
from pdeops.solvers.krylov.loop import check


def jacobi(A):
    d = A.diagonal()
    return Matrix(scipy.sparse.diags_array(1 / d.numpy().ravel()), A.grid)


def full_cg(A, b, **kwargs):
    return flexible_cg(A, b, directions=None, **kwargs)


ALL = [cg, flexible_cg, full_cg, bicgstab]
names = lambda f: f.__name__  # noqa: E731


@pytest.fixture
def darcy(piecewise):
    grid = Grid((20, 17))
    A = Diffusion(piecewise(grid), grid)
    return A, torch.ones(A.grid.shape, dtype=torch.float64)


def noise(shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("solve", ALL, ids=names)
def test_equals_the_direct_solution(solve, darcy):
    A, b = darcy
    x = solve_sparse(A, b).x
    for M in (None, jacobi(A)):
        result = solve(A, b, M=M, rtol=1e-11)
        assert result.converged, result
        assert (result.x - x).norm() < 1e-8 * x.norm()
        assert result.residual == pytest.approx(((b - A @ result.x).norm() / b.norm()).item())
        assert len(result.residuals) == result.iterations + 1


@pytest.mark.parametrize("solve", ALL, ids=names)
def test_fields_may_have_any_memory_layout(solve, darcy):
    A, b = darcy
    x0 = noise(A.grid.shape)
    strided_b, strided_x0 = (u.T.contiguous().T for u in (b, x0))
    expected = solve(A, b, x0=x0, max_iterations=5)
    result = solve(A, strided_b, x0=strided_x0, max_iterations=5)
    torch.testing.assert_close(result.x, expected.x, rtol=1e-8, atol=0)


@pytest.mark.parametrize("solve", ALL, ids=names)
def test_a_batch_stops_column_by_column(solve, darcy):
    """Each column of a batch has the history of the same system alone."""
    A, _ = darcy
    b = noise((2, 3, *A.grid.shape))
    b[0, 1] = A @ noise(A.grid.shape)  # rough, so it takes another number of steps
    b[1, 0] = 0
    b[1, 2, 4, 4] = math.nan
    x0 = 0.1 * noise(b.shape, seed=1)
    for M in (None, Multigrid(A)):
        result = solve(A, b, M=M, x0=x0, rtol=1e-9)
        alone = [
            solve(A, u, M=M, x0=v, rtol=1e-9)
            for u, v in zip(b.flatten(0, 1), x0.flatten(0, 1), strict=True)
        ]
        assert [c.converged for c in result.columns] == [True] * 5 + [False]
        assert not result.converged
        assert "1 of 6" in result.reason
        assert "NaN" in result.columns[5].reason
        for column, x, one in zip(result.columns, result.x.flatten(0, 1), alone, strict=True):
            assert torch.equal(column.x, x)
            # Sums over a batch round otherwise; after a hundred steps of BiCGStab that shows.
            slack = 0 if M else 6 if solve is bicgstab else 1
            assert abs(column.iterations - one.iterations) <= slack
            assert (x - one.x).norm() <= 1e-7 * one.x.norm()
        assert result.iterations == max(c.iterations for c in result.columns)
        if M is None:
            assert len({c.iterations for c in result.columns}) > 2


def test_a_batch_applies_the_operator_to_columns_that_have_not_stopped(darcy):
    class Counting(Matrix):
        columns = 0

        def apply(self, u):
            self.columns += u.numel() // self.grid.num_nodes
            return super().apply(u)

    A = Counting(darcy[0].to_csr(), darcy[0].grid)
    b = noise((4, *A.grid.shape))
    result = cg(A, b, x0=0.5 * b, rtol=1e-6)
    wanted = sum(c.iterations + 2 for c in result.columns)  # the first and the last residual too
    assert A.columns == wanted


@pytest.mark.parametrize("solve", [cg, flexible_cg, full_cg])
def test_finds_the_solution_in_as_many_steps_as_there_are_eigenvalues(solve):
    A = Matrix(np.diag([1.0, 1.0, 3.0, 3.0, 10.0, 10.0, 10.0]))
    assert solve(A, noise(7), rtol=1e-12).iterations == 3


@pytest.mark.parametrize("solve", [flexible_cg, full_cg])
def test_fixed_preconditioners_give_the_history_of_cg(solve, darcy):
    A, b = darcy
    M = Multigrid(A)
    ours, book = solve(A, b, M=M, rtol=1e-9), cg(A, b, M=M, rtol=1e-9)
    assert abs(ours.iterations - book.iterations) <= 1
    assert ours.residuals[:6] == pytest.approx(book.residuals[:6], rel=1e-8)


def test_cg_refuses_an_indefinite_system():
    """A discrete Helmholtz operator, with eigenvalues of both signs."""
    line = scipy.sparse.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(60, 60))
    A = Matrix(line - 0.3 * scipy.sparse.eye_array(60))
    assert (
        torch.linalg.eigvalsh(torch.from_numpy(A.to_csr().toarray())).sign().unique().numel() == 2
    )
    assert not A.positive_definite
    with pytest.raises(ValueError, match="symmetric positive definite A"):
        cg(A, noise(60))


# BiCGStab


def advection_diffusion(n=31, speed=40.0):
    """-Δu + speed (u_x + u_y) with central differences."""
    h = 1 / (n + 1)
    line = scipy.sparse.diags_array(
        [-1 / h**2 - speed / (2 * h), 2 / h**2, -1 / h**2 + speed / (2 * h)],
        offsets=[-1, 0, 1],
        shape=(n, n),
    )
    one = scipy.sparse.eye_array(n)
    total = scipy.sparse.kron(line, one) + scipy.sparse.kron(one, line)
    return Matrix(total, Grid((n, n), placement="interior"))


def test_bicgstab_solves_advection_diffusion():
    A, b = advection_diffusion(), torch.ones(31, 31, dtype=torch.float64)
    assert not A.symmetric
    x = solve_sparse(A, b).x
    for M in (None, jacobi(A)):
        result = bicgstab(A, b, M=M, rtol=1e-10)
        assert result.converged, result
        assert (result.x - x).norm() < 1e-8 * x.norm()
    for solve in (cg, flexible_cg):
        with pytest.raises(ValueError, match="symmetric"):
            solve(A, b)


@pytest.mark.parametrize("solve", [cg, flexible_cg])
def test_symmetric_methods_fail_honestly_on_a_matrix_that_hides_its_asymmetry(solve):
    A, b = advection_diffusion(), torch.ones(31, 31, dtype=torch.float64)
    A.symmetric = A.positive_definite = True
    result = solve(A, b, rtol=1e-10, max_iterations=300)
    assert not result.converged


# Flexible CG


class Noisy(Preconditioner):
    """A multigrid cycle with noise of a third of its size: another map at every call, and yet it
    declares itself fixed, symmetric and positive definite."""

    def __init__(self, A):
        self.grid, self.cycle = A.grid, Multigrid(A)
        self.generator = torch.Generator().manual_seed(1)

    def apply(self, u):
        z = self.cycle @ u
        noise = torch.randn(u.shape, generator=self.generator, dtype=u.dtype)
        return z + 0.3 * z.square().mean().sqrt() * noise


def test_flexible_cg_converges_where_the_preconditioner_changes_and_cg_does_not():
    grid = Grid((33, 33))
    A = Diffusion(torch.exp(2 * noise(grid.shape)), grid)
    b = noise(A.grid.shape, seed=1)
    limits = {"rtol": 1e-9, "max_iterations": 80}
    flexible = flexible_cg(A, b, M=Noisy(A), **limits)
    full = flexible_cg(A, b, M=Noisy(A), directions=None, **limits)
    assert flexible.converged, flexible
    assert full.converged, full
    assert full.iterations < flexible.iterations
    assert not cg(A, b, M=Noisy(A), **limits).converged
    with pytest.raises(ValueError, match="not linear"):
        check_spd(Noisy(A))


@pytest.mark.parametrize("directions", [1, 3, None])
def test_flexible_cg_never_lets_the_energy_error_grow(directions, darcy):
    A, b = darcy
    x = solve_sparse(A, b).x
    generator = torch.Generator().manual_seed(3)

    def garbage(r):
        """Random, then zero, then NaN, then minus the residual."""
        garbage.calls += 1
        u = torch.randn(r.shape, generator=generator, dtype=r.dtype)
        return [u, 0 * r, math.nan * r, -r][garbage.calls % 4]

    garbage.calls = 0
    energies = []
    for steps in range(1, 13):
        garbage.calls = 0
        generator.manual_seed(3)
        result = flexible_cg(
            A, b, M=garbage, directions=directions, rtol=1e-30, max_iterations=steps
        )
        e = result.x - x
        energies.append((e * (A @ e)).sum().item())
    assert all(after <= before * (1 + 1e-10) for before, after in pairwise(energies))
    assert energies[-1] < 0.9 * energies[0]


# How they stop


@pytest.mark.parametrize("solve", ALL, ids=names)
def test_zero_nan_and_the_limit_are_reported(solve, darcy):
    A, b = darcy
    zero = solve(A, 0 * b)
    assert (zero.converged, zero.iterations, bool(zero.x.any())) == (True, 0, False)
    bad = b.clone()
    bad[2, 2] = math.inf
    assert "NaN or infinity" in solve(A, bad).reason
    short = solve(A, b, rtol=1e-12, max_iterations=5)
    assert not short.converged
    assert "max_iterations = 5" in short.reason
    assert short.residual == pytest.approx(((b - A @ short.x).norm() / b.norm()).item())


@pytest.mark.parametrize("solve", ALL, ids=names)
def test_a_tolerance_below_round_off_ends_honestly_unless_round_off_is_allowed_for(solve, darcy):
    A, b = darcy
    strict = solve(A, b, M=Multigrid(A), rtol=1e-17, max_iterations=200)
    assert not strict.converged
    assert "round-off" in strict.reason or "breakdown" in strict.reason
    norm = 2 * A.diagonal().max().item()
    allowed = solve(A, b, M=Multigrid(A), rtol=1e-17, A_norm=norm)
    assert allowed.converged, allowed
    assert "10 ε" in allowed.reason
    eps = torch.finfo(b.dtype).eps
    limit = 10 * eps * (norm * allowed.x.norm() + b.norm())
    assert (b - A @ allowed.x).norm() <= limit
    assert solve(A, b, rtol=1e-6, A_norm=norm).reason.endswith("<= 1e-06 |b|")


@pytest.mark.parametrize(
    ("solve", "A", "reason"),
    [
        (flexible_cg, [1.0, -2.0, 3.0], "A is not positive definite"),
        (flexible_cg, [0.0, 0.0, 0.0], "A is not positive definite"),
        (bicgstab, [0.0, 0.0, 0.0], "one of them vanishes"),
    ],
)
def test_breakdown_is_named(solve, A, reason):
    A = Matrix(np.diag(A), positive_definite=True)
    A.regions = None
    b = torch.ones(3, dtype=torch.float64)
    for result in (solve(A, b), *solve(A, torch.stack((b, 2 * b))).columns):
        assert not result.converged
        assert reason in result.reason
        assert result.x.isfinite().all()


def test_bicgstab_breaks_down_on_a_rotation_and_says_so():
    """⟨r, A r⟩ = 0 for every r where A is skew."""
    result = bicgstab(Matrix([[0.0, 1.0], [-1.0, 0.0]]), torch.ones(2, dtype=torch.float64))
    assert not result.converged
    assert "vanishes" in result.reason


def test_a_preconditioner_that_is_not_definite_is_named():
    A = Matrix(np.diag([1.0, 2.0, 3.0]))
    M = Matrix(np.diag([1.0, -9.0, 1.0]), positive_definite=True)
    assert "M is not positive definite" in cg(A, torch.ones(3).double(), M=M).reason
    M.positive_definite = M.semidefinite = False
    with pytest.raises(ValueError, match="symmetric positive definite M"):
        cg(A, torch.ones(3).double(), M=M)


def test_bad_input_is_refused(darcy):
    A, b = darcy
    for solve in ALL:
        with pytest.raises(ValueError, match="b must have the shape"):
            solve(A, b[1:])
        with pytest.raises(ValueError, match="rtol must be positive"):
            solve(A, b, rtol=-1.0)
    with pytest.raises(ValueError, match="x0 must have b's shape"):
        check(A, b, None, b[None], 1e-8)
    with pytest.raises(ValueError, match="directions must be at least 1"):
        flexible_cg(A, b, directions=0)
