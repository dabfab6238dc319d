import math

import numpy as np
import pytest
import scipy.sparse
import torch

from pdeops.domain import Grid
from pdeops.solvers import Diffusion, Matrix, solve_sparse


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


def test_a_batch_is_solved_column_by_column(generator):
    A = Diffusion(2.0, Grid((9, 12)))
    b = torch.randn(2, 2, *A.grid.shape, generator=generator, dtype=torch.float64)
    b[1, 1, 0, 0] = math.nan
    result = solve_sparse(A, b)
    assert [c.converged for c in result.columns] == [True, True, True, False]
    assert "NaN" in result.reason
    torch.testing.assert_close(result.x[1, 0], solve_sparse(A, b[1, 0]).x)


def test_singular_systems_are_projected_and_inconsistent_ones_reported(generator):
    """Two rooms, a solid corner: the solution that a pseudo-inverse gives."""
    fluid = torch.ones(8, 9, dtype=torch.bool)
    fluid[:, 4] = fluid[0, 0] = False
    A = Diffusion(1.0, Grid((8, 9), boundary="neumann", placement="centers"), fluid=fluid)
    raw = torch.randn(8, 9, generator=generator, dtype=torch.float64)
    b = A.project(raw)
    exact = torch.linalg.pinv(torch.from_numpy(A.to_csr().toarray())) @ b.flatten()
    good, bad = solve_sparse(A, b), solve_sparse(A, raw)
    assert good.converged
    torch.testing.assert_close(good.x.flatten(), exact, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(bad.x, good.x, rtol=1e-9, atol=1e-12)
    assert not bad.converged
    assert "inconsistent" in bad.reason


def test_real_pressure_systems_to_round_off(shared_data):
    folder = shared_data / "dcdm"
    A = Matrix(scipy.sparse.load_npz(folder / "A_Sparse_3D_N15.npz"))
    for number in (1, 50, 120):
        b = torch.from_numpy(np.fromfile(folder / f"div_v_star_N15_{number}.bin", "<f8")[1:])
        assert solve_sparse(A, b, rtol=1e-13).converged
