import math
from itertools import pairwise

import pytest
import torch

from pdeops.grid import Grid
from pdeops.solvers import Diffusion, solve_poisson, solve_sparse


def second_difference(u, grid):
    """-Δ_h u with zeros beyond the ends, any dimension."""
    result = torch.zeros_like(u)
    for axis, h in enumerate(grid.spacing):
        padded = torch.movedim(u, axis, -1)
        padded = torch.nn.functional.pad(padded, (1, 1))
        result -= torch.movedim(padded.diff(n=2), -1, axis) / h**2
    return result


@pytest.mark.parametrize(
    "grid",
    [
        Grid((65, 65)),
        Grid((40, 101), extent=(1.0, 3.0)),
        Grid((3, 3)),
        Grid((31, 20), placement="interior"),
        Grid((50,), extent=2.0),
        Grid((9, 12, 17), extent=(1.0, 2.0, 0.5)),
    ],
    ids=lambda grid: "x".join(map(str, grid.shape)),
)
def test_solves_the_discrete_equation_to_round_off(grid, generator):
    f = torch.randn(grid.interior.shape, generator=generator, dtype=torch.float64)
    u = solve_poisson(f, grid)
    assert (second_difference(u, grid) - f).norm() / f.norm() < 1e-11


def test_equals_the_sparse_direct_solution(generator):
    grid = Grid((48, 33), extent=(2.0, 1.0))
    A = Diffusion(torch.ones(grid.shape, dtype=torch.float64), grid)
    f = torch.randn(A.grid.shape, generator=generator, dtype=torch.float64)
    x = solve_sparse(A, f).x
    assert (solve_poisson(f, grid) - x).norm() / x.norm() < 1e-12


def test_is_second_order():
    errors = []
    for n in (17, 33, 65):
        grid = Grid((n, n))
        x, y = grid.nodes()[:, 1:-1, 1:-1]
        u = torch.sin(math.pi * x) * torch.sin(2 * math.pi * y)
        errors.append((solve_poisson(5 * math.pi**2 * u, grid) - u).abs().max().item())
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    assert orders == pytest.approx([2, 2], abs=0.02)


def test_a_batch_equals_its_fields_in_any_dtype(generator):
    grid = Grid((20, 31))
    f = torch.randn(2, 3, 18, 29, generator=generator, dtype=torch.float64)
    u = solve_poisson(f, grid, workers=2)
    torch.testing.assert_close(u[1, 2], solve_poisson(f[1, 2], grid), rtol=1e-13, atol=1e-15)
    single = solve_poisson(f.float(), grid)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), u, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("f", "grid", "match"),
    [
        (torch.ones(9, 9), Grid((9, 9)), "must have shape"),
        (torch.ones(9, 9), Grid((9, 9), boundary="periodic"), "Dirichlet nodes"),
        (torch.ones(9, 7), Grid((9, 9), boundary=("neumann", "dirichlet")), "Dirichlet nodes"),
        (torch.ones(9, 9), Grid((9, 9), placement="centers"), "Dirichlet nodes"),
        (torch.full((7, 7), math.nan), Grid((9, 9)), "NaN"),
    ],
)
def test_bad_input_is_refused(f, grid, match):
    with pytest.raises(ValueError, match=match):
        solve_poisson(f, grid)
