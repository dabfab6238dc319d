import math

import numpy as np
import pytest
import torch

from pdeops.domain import Grid
from pdeops.linop import LinearOperator, Preconditioner
from pdeops.solvers import Diffusion, Multigrid, cg, solve_sparse


class Diagonal(LinearOperator):
    """A u = d u, with the declarations that a test needs."""

    symmetric = True
    positive_definite = True

    def __init__(self, d):
        self.d = torch.as_tensor(d, dtype=torch.float64)
        self.grid = Grid(self.d.shape, placement="interior")

    def apply(self, u):
        return self.d * u


class Inverse(Preconditioner):
    """A⁻¹ from a dense factor."""

    def __init__(self, A):
        self.grid = A.grid
        self.inverse = torch.linalg.inv(torch.from_numpy(A.to_csr().toarray()))

    def apply(self, u):
        return (self.inverse @ u.flatten()).reshape(u.shape)


@pytest.fixture
def darcy(piecewise):
    grid = Grid((33, 26))
    A = Diffusion(piecewise(grid), grid)
    return A, torch.ones(A.grid.shape, dtype=torch.float64)


def test_equals_the_direct_solution(darcy):
    A, b = darcy
    x = solve_sparse(A, b).x
    for M in (None, Multigrid(A)):
        result = cg(A, b, M=M, rtol=1e-12)
        assert result.converged
        assert (result.x - x).norm() / x.norm() < 1e-10


def test_exact_inverse_needs_one_iteration(darcy):
    A, b = darcy
    result = cg(A, b, M=Inverse(A), rtol=1e-10)
    assert result.converged
    assert result.iterations == 1


def test_as_many_iterations_as_distinct_eigenvalues(generator):
    A = Diagonal([1.0, 1.0, 3.0, 3.0, 10.0, 10.0, 10.0])
    b = torch.randn(7, generator=generator, dtype=torch.float64)
    assert cg(A, b, rtol=1e-12).iterations == 3


def test_counts_iterations_as_scipy_does(darcy):
    from scipy.sparse.linalg import cg as scipy_cg

    A, b = darcy
    steps = []
    scipy_cg(A.to_csr(), b.numpy().ravel(), rtol=1e-8, callback=steps.append)
    assert abs(cg(A, b, rtol=1e-8).iterations - len(steps)) <= 1


def test_residuals_are_a_history_that_ends_in_the_true_one(darcy):
    A, b = darcy
    result = cg(A, b, M=Multigrid(A), rtol=1e-9)
    assert len(result.residuals) == result.iterations + 1
    assert result.residuals[0] == 1
    true = ((b - A @ result.x).norm() / b.norm()).item()
    assert result.residual == true <= 1e-9


def test_a_prediction_saves_iterations_and_is_not_changed(darcy, generator):
    A, b = darcy
    x = solve_sparse(A, b).x
    noise = torch.randn(x.shape, generator=generator, dtype=torch.float64)
    guess = x + 1e-8 * x.abs().max() * noise
    kept = guess.clone()
    result = cg(A, b, M=Multigrid(A), x0=guess, rtol=1e-8)
    assert result.converged
    assert result.iterations < cg(A, b, M=Multigrid(A), rtol=1e-8).iterations
    assert torch.equal(guess, kept)
    assert cg(A, b, x0=x, rtol=1e-8).iterations == 0


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_tolerance_below_round_off_ends_honestly(dtype, piecewise):
    grid = Grid((129, 129))
    A = Diffusion(piecewise(grid).to(dtype), grid)
    result = cg(A, torch.ones(A.grid.shape, dtype=dtype), M=Multigrid(A), rtol=1e-17)
    assert not result.converged
    assert "round-off" in result.reason
    assert result.iterations < 60
    assert result.residual > 1e-17


def test_reaches_what_round_off_allows_after_a_restart(piecewise):
    """From a huge x0 the recursion runs ahead of the true residual; a restart brings it back."""
    grid = Grid((65, 65))
    A = Diffusion(piecewise(grid), grid)
    b = torch.ones(A.grid.shape, dtype=torch.float64)
    result = cg(A, b, M=Multigrid(A), x0=1e7 * b, rtol=1e-9)
    assert result.converged, result
    assert (b - A @ result.x).norm() <= 1e-9 * b.norm()


def test_zero_b_returns_zero_at_once(darcy):
    A, b = darcy
    result = cg(A, 0 * b, x0=b)
    assert result.converged
    assert result.iterations == 0
    assert result.residuals == [0.0]
    assert not result.x.any()


def nan_at_one(b):
    b = b.clone()
    b[3, 3] = math.nan
    return b


def test_nan_is_reported(darcy):
    A, b = darcy
    for kwargs in ({"b": nan_at_one(b)}, {"b": b, "x0": nan_at_one(b)}):
        result = cg(A, **kwargs)
        assert not result.converged
        assert "NaN" in result.reason
    M = Diagonal(torch.ones(A.grid.shape))
    M.d[3, 3] = math.nan
    assert not cg(A, b, M=M).converged


@pytest.mark.parametrize(
    ("A", "M", "reason"),
    [
        (Diagonal([1.0, -2.0, 3.0]), None, "A is not positive definite"),
        (Diagonal([0.0, 0.0, 0.0]), None, "A is not positive definite"),
        (Diagonal([1.0, 2.0, 3.0]), Diagonal([1.0, -9.0, 1.0]), "M is not positive definite"),
    ],
)
def test_breakdown_names_the_operator(A, M, reason):
    result = cg(A, torch.ones(3, dtype=torch.float64), M=M)
    assert not result.converged
    assert reason in result.reason
    assert np.isfinite(result.residual)


def test_the_iteration_limit_is_reported(darcy):
    A, b = darcy
    result = cg(A, b, rtol=1e-12, max_iterations=7)
    assert (result.converged, result.iterations) == (False, 7)
    assert "max_iterations = 7" in result.reason
    assert result.residual == ((b - A @ result.x).norm() / b.norm()).item()


def test_bad_input_is_refused(darcy):
    A, b = darcy
    indefinite = Diagonal(torch.ones(A.grid.shape))
    indefinite.positive_definite = False
    with pytest.raises(ValueError, match="symmetric positive definite A"):
        cg(indefinite, b)
    with pytest.raises(ValueError, match="symmetric positive definite M"):
        cg(A, b, M=indefinite)
    with pytest.raises(ValueError, match="b must have the shape"):
        cg(A, torch.ones(33, 26, dtype=torch.float64))
    with pytest.raises(ValueError, match="x0 must have b's dtype"):
        cg(A, b, x0=b.float())
    with pytest.raises(ValueError, match="rtol must be positive"):
        cg(A, b, rtol=0.0)
    with pytest.raises(ValueError, match="build M from this A"):
        cg(A, b, M=Diagonal(torch.ones(4, 4)))
