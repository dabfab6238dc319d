"""The estimated condition number beside dense eigenvalues."""

import numpy as np
import pytest
import torch

from pdeops.domain import Grid
from pdeops.solvers import Diffusion, FastPoisson, IncompleteCholesky, Laplacian, Multigrid, cg
from pdeops.solvers.krylov.lanczos import cg_and_condition, condition


def dense(operator):
    columns = torch.eye(operator.grid.num_nodes, dtype=torch.float64)
    return (operator @ columns.reshape(-1, *operator.grid.shape)).flatten(1).T.numpy()


def true_condition(A, M, kernel=0):
    product = dense(A) if M is None else dense(M) @ dense(A)
    values = np.sort(np.linalg.eigvals(product).real)
    return values[-1] / values[kernel]


@pytest.mark.parametrize("preconditioner", [None, IncompleteCholesky, Multigrid])
def test_equals_that_of_the_dense_matrices(preconditioner, piecewise):
    grid = Grid((18, 14))
    A = Diffusion(piecewise(grid, 1.0, 50.0), grid)
    M = preconditioner(A) if preconditioner else None
    truth = true_condition(A, M)
    estimate = condition(A, M, rtol=1e-13, max_iterations=1000)
    assert estimate <= truth * (1 + 1e-8)
    assert estimate == pytest.approx(truth, rel=1e-3)


def test_on_the_range_of_a_singular_operator():
    A = Laplacian(Grid((12, 9), boundary="neumann"))
    assert condition(A, rtol=1e-13) == pytest.approx(true_condition(A, None, kernel=1), rel=1e-6)


def test_of_the_laplacian_in_closed_form():
    """κ = cot²(πh/2): extreme eigenvalues 4/h² sin²(πkh/2), k = 1 and n, of each axis."""
    n = 31
    estimate = condition(Laplacian(Grid((n + 2, n + 2))), max_iterations=300)
    assert estimate == pytest.approx(np.tan(np.pi / 2 / (n + 1)) ** -2, rel=1e-3)


def test_the_solution_is_that_of_cg(generator):
    grid = Grid((33, 33))
    A = Diffusion(torch.rand(grid.shape, generator=generator, dtype=torch.float64) + 0.1, grid)
    b = torch.randn(A.grid.shape, generator=generator, dtype=torch.float64)
    result, estimate = cg_and_condition(A, b, M=Multigrid(A))
    assert torch.equal(result.x, cg(A, b, M=Multigrid(A)).x)
    assert 1 < estimate < 10


def test_an_exact_preconditioner_and_nothing_to_do():
    grid = Grid((20, 20))
    A = Laplacian(grid)
    b = torch.ones(A.grid.shape, dtype=torch.float64)
    assert cg_and_condition(A, b, M=FastPoisson(grid))[1] == pytest.approx(1)
    result, estimate = cg_and_condition(A, 0 * b)
    assert result.converged
    assert np.isnan(estimate)
