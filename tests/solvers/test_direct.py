import math

import pytest
import scipy.sparse
import torch

from pdeops.grid import Grid
from pdeops.linop import LinearOperator
from pdeops.solvers import Diffusion, solve_sparse


class Matrix(LinearOperator):
    """A dense matrix on an axis."""

    def __init__(self, matrix):
        self.matrix = torch.tensor(matrix, dtype=torch.float64)
        self.grid = Grid((len(matrix),), placement="interior")

    def apply(self, u):
        return self.matrix @ u

    def to_csr(self):
        return scipy.sparse.csr_array(self.matrix.numpy())


def test_recovers_a_known_solution(generator):
    grid = Grid((30, 21))
    k = torch.exp(2 * torch.randn(30, 21, generator=generator, dtype=torch.float64))
    A = Diffusion(k, grid)
    x = torch.randn(A.grid.shape, generator=generator, dtype=torch.float64)
    result = solve_sparse(A, A @ x)
    assert result.converged
    assert result.iterations == 0
    assert (result.x - x).norm() / x.norm() < 1e-10
    assert len(result.residuals) == 1
    assert result.residual < 1e-12


def test_refines_where_round_off_is_above_the_tolerance(piecewise):
    grid = Grid((129, 129))
    A = Diffusion(piecewise(grid, 1.0, 1e4), grid)
    b = torch.ones(A.grid.shape, dtype=torch.float64)
    rtol = 0.7 * solve_sparse(A, b).residual
    result = solve_sparse(A, b, rtol=rtol)
    assert result.iterations > 0
    assert result.residual < result.residuals[0]
    assert result.residual == ((b - A @ result.x).norm() / b.norm()).item()


def test_an_unsymmetric_matrix_is_pivoted():
    A = Matrix([[0.0, 1.0, 0.0], [2.0, 0.0, 1.0], [0.0, 3.0, 4.0]])
    x = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    torch.testing.assert_close(solve_sparse(A, A @ x).x, x)


def test_failures_are_reported():
    singular = solve_sparse(Matrix([[1.0, 1.0], [1.0, 1.0]]), torch.ones(2, dtype=torch.float64))
    assert not singular.converged
    assert "singular" in singular.reason
    A = Diffusion(torch.ones(9, 9), Grid((9, 9)))
    b = torch.full((7, 7), math.nan)
    assert "NaN" in solve_sparse(A, b).reason
    with pytest.raises(ValueError, match="b must have the shape"):
        solve_sparse(A, torch.ones(9, 9))


def test_zero_b_gives_zero():
    A = Diffusion(torch.ones(9, 9, dtype=torch.float64), Grid((9, 9)))
    result = solve_sparse(A, torch.zeros(7, 7, dtype=torch.float64))
    assert result.converged
    assert not result.x.any()
