import math

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg
import torch

from pdeops.domain import Grid
from pdeops.linop import check_spd
from pdeops.solvers import Diffusion, IncompleteCholesky, Laplacian, Matrix, cg


def poisson(n):
    A = Laplacian(Grid((n + 1, n + 1)))
    return A, torch.randn(A.grid.shape, generator=torch.Generator().manual_seed(0)).double()


@pytest.mark.parametrize("modified", [0.0, 0.95, 1.0])
def test_is_a_preconditioner_that_saves_iterations(modified, piecewise):
    grid = Grid((65, 50))
    A = Diffusion(piecewise(grid), grid)
    b = torch.ones(2, *A.grid.shape, dtype=torch.float64)
    M = IncompleteCholesky(A, modified=modified)
    check_spd(M)
    assert M.shift == 0
    result, plain = cg(A, b, M=M), cg(A, b)
    assert result.converged
    assert result.iterations < plain.iterations / 2.5
    assert (result.x - plain.x).norm() < 1e-6 * plain.x.norm()


def test_is_exact_where_there_is_no_fill():
    k = torch.rand(40, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.1
    A = Diffusion(k, Grid((40,)))
    for modified in (0.0, 1.0):
        M = IncompleteCholesky(A, modified=modified)
        assert cg(A, torch.ones(38, dtype=torch.float64), M=M, rtol=1e-11).iterations == 1


def test_iterations_grow_as_theory_says():
    """Condition O(1/h²) with IC(0) and O(1/h) with MIC(0): iterations grow as 1/h and 1/√h."""
    rates = {}
    for modified in (0.0, 1.0):
        counts = []
        for n in (64, 128):
            A, b = poisson(n)
            M = IncompleteCholesky(A, modified=modified)
            counts.append(cg(A, b, M=M, rtol=1e-8).iterations)
        rates[modified] = math.log2(counts[1] / counts[0])
    assert rates[0.0] > 0.8
    assert rates[1.0] < 0.6


def test_scipy_cg_takes_it_and_stalls_on_the_unsymmetric_spilu():
    """The negative control: an incomplete LU with pivoting is no preconditioner for CG."""
    A, b = poisson(64)
    matrix, rhs = A.to_csr(), b.numpy().ravel()
    M = IncompleteCholesky(A).to_scipy()
    x, info = scipy.sparse.linalg.cg(matrix, rhs, M=M, rtol=1e-8, maxiter=100)
    assert info == 0
    assert np.linalg.norm(rhs - matrix @ x) <= 1.01e-8 * np.linalg.norm(rhs)
    ilu = scipy.sparse.linalg.spilu(matrix.tocsc())
    N = scipy.sparse.linalg.LinearOperator(matrix.shape, ilu.solve)
    x, info = scipy.sparse.linalg.cg(matrix, rhs, M=N, rtol=1e-8, maxiter=100)
    assert np.linalg.norm(rhs - matrix @ x) > 1e-4 * np.linalg.norm(rhs)


def test_singular_boxes_with_walls():
    fluid = torch.ones(30, 30, dtype=torch.bool)
    fluid[10:14, 5:20] = False
    fluid[:, 24] = False
    A = Diffusion(1.0, Grid((30, 30), boundary="neumann", placement="centers"), fluid=fluid)
    b = A.project(torch.randn(30, 30, generator=torch.Generator().manual_seed(0)).double())
    plain = cg(A, b)
    for modified in (0.0, 1.0):
        M = IncompleteCholesky(A, modified=modified)
        result = cg(A, b, M=M)
        assert result.converged
        assert result.iterations < plain.iterations / 2


def test_a_matrix_without_a_factor_is_shifted():
    """Kershaw's (1978) matrix: positive definite, but a pivot of its IC(0) is negative."""
    kershaw = np.array([[3.0, -2, 0, 2], [-2, 3, -2, 0], [0, -2, 3, -2], [2, 0, -2, 3]])
    assert np.linalg.eigvalsh(kershaw).min() > 0
    A = Matrix(kershaw, positive_definite=True)
    M = IncompleteCholesky(A)
    assert M.shift > 0
    assert "diag(A)" in repr(M)
    check_spd(M)
    assert cg(A, torch.ones(4).double(), M=M).converged


def test_single_precision_inside_double_cg_costs_no_iterations():
    A, b = poisson(48)
    counts = [
        cg(A, b, M=IncompleteCholesky(A, dtype=dtype), rtol=1e-10).iterations
        for dtype in (torch.float64, torch.float32)
    ]
    assert abs(counts[1] - counts[0]) <= 1


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="needs a symmetric A"):
        IncompleteCholesky(Matrix(np.array([[1.0, 2.0], [0.0, 1.0]])))
    with pytest.raises(ValueError, match=r"modified must lie in \[0, 1\]"):
        IncompleteCholesky(Laplacian(Grid((5, 5))), modified=1.5)
    with pytest.raises(ValueError, match="far from positive definite"):
        IncompleteCholesky(Matrix(np.diag([1.0, -1.0])))
