import math

import numpy as np
import pytest
import torch

from pdeops.domain import Grid
from pdeops.solvers import Diffusion, solve_darcy
from pdeops.solvers.darcy import METHODS


@pytest.mark.parametrize("method", METHODS)
def test_methods_agree_and_satisfy_the_discrete_equation(method, piecewise):
    grid = Grid((50, 33), extent=(1.5, 1.0))
    k = piecewise(grid)
    f = torch.ones(grid.shape, dtype=torch.float64)
    result = solve_darcy(k, f, grid, method=method)
    assert result.converged
    assert result.x.shape == grid.shape
    assert not result.x[grid.outermost()].any()
    assert (result.x[1:-1, 1:-1] > 0).all()  # maximum principle
    matrix = Diffusion(k, grid).to_csr()
    b = f[1:-1, 1:-1].numpy().ravel()
    x = result.x[1:-1, 1:-1].numpy().ravel()
    assert np.linalg.norm(b - matrix @ x) <= 1e-10 * np.linalg.norm(b)
    other = solve_darcy(k, f, grid, rtol=1e-12, method="direct").x
    assert (result.x - other).norm() / other.norm() < 1e-9


def test_reaches_1e_10_on_421(piecewise):
    grid = Grid((421, 421))
    result = solve_darcy(piecewise(grid), torch.ones(421, 421, dtype=torch.float64), grid)
    assert result.converged, result
    assert result.iterations <= 12
    assert result.residual <= 1e-10


def test_single_precision_input_is_solved_in_double(piecewise):
    grid = Grid((129, 129))
    k, f = piecewise(grid).float(), torch.ones(129, 129)
    result = solve_darcy(k, f, grid)
    assert result.converged
    assert result.x.dtype == torch.float64


def test_mirrored_coefficient_gives_the_mirrored_pressure(piecewise):
    grid = Grid((40, 57))
    k = piecewise(grid)
    f = torch.rand(grid.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    p = solve_darcy(k, f, grid, rtol=1e-12).x
    mirrored = solve_darcy(k.flip(0), f.flip(0), grid, rtol=1e-12).x
    assert (mirrored.flip(0) - p).norm() / p.norm() < 1e-10


GRID = Grid((9, 9))
ONES = torch.ones(9, 9)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: solve_darcy(ONES, ONES, GRID, method="magic"), "multigrid-cg, direct"),
        (lambda: solve_darcy(ONES[1:], ONES[1:], GRID), "coefficient must have shape"),
        (lambda: solve_darcy(-ONES, ONES, GRID), "positive and finite"),
        (lambda: solve_darcy(ONES, ONES, Grid((9, 9), boundary="periodic")), "got 9 x 9 nodes"),
        (lambda: solve_darcy(ONES, ONES, GRID, rtol=-1.0), "rtol must be positive"),
    ],
)
def test_bad_input_is_refused(call, match):
    with pytest.raises(ValueError, match=match):
        call()


@pytest.mark.parametrize("method", METHODS)
def test_nan_in_the_source_is_reported(method):
    f = ONES.clone()
    f[4, 4] = math.nan
    result = solve_darcy(ONES, f, GRID, method=method)
    assert not result.converged
    assert "NaN" in result.reason
