import math
from itertools import pairwise

import pytest
import torch

from pdeops.domain import Grid
from pdeops.linop import check_spd
from pdeops.solvers import (
    Diffusion,
    FastPoisson,
    Laplacian,
    cg,
    solve_poisson,
    solve_sparse,
    without_boundary,
)


@pytest.mark.parametrize(
    "grid",
    [
        Grid((65, 65)),
        Grid((40, 101), extent=(1.0, 3.0)),
        Grid((3, 3)),
        Grid((31, 20), placement="interior"),
        Grid((50,), extent=2.0),
        Grid((9, 12, 17), extent=(1.0, 2.0, 0.5)),
        Grid((65, 65), boundary="neumann"),
        Grid((66, 33), (1.0, 0.7), ("dirichlet", "neumann")),
        Grid((33, 66), (1.0, 0.7), ("neumann", "dirichlet")),
        Grid((2, 2), boundary="neumann"),
        Grid((40, 3), boundary=("neumann", "dirichlet"), placement=("endpoints", "interior")),
        Grid((9, 12, 17), (1.0, 2.0, 0.5), ("neumann", "dirichlet", "neumann")),
        Grid((16, 15), (1.0, 0.7), "periodic"),
        Grid((15, 16), (1.0, 0.7), "periodic", "centers"),
        Grid((17,), boundary="periodic"),
        Grid((12, 11), placement="centers"),
        Grid((12, 11), boundary="neumann", placement="centers"),
        Grid((9, 12, 17), (1.0, 2.0, 0.5), ("periodic", "dirichlet", "neumann")),
        Grid((9, 8, 7), (1.0, 2.0, 0.5), ("neumann", "periodic", "periodic"), "centers"),
        Grid((6, 7, 1), (1.0, 2.0, 0.5), ("dirichlet", "periodic", "neumann"), "centers"),
    ],
    ids=lambda grid: "x".join(map(str, grid.shape)) + " " + "-".join(grid.boundary),
)
def test_solves_the_discrete_equation_to_round_off(grid, generator):
    """A u = b, where A is tested against the second difference written out (test_laplacian)."""
    A = Laplacian(grid)
    f = torch.randn(grid.interior.shape, generator=generator, dtype=torch.float64)
    b = A.load(f)
    u = solve_poisson(b, grid)
    assert (A @ u - b).norm() / b.norm() < 1e-11
    if not A.positive_definite:
        assert abs(A.mean(u)) < 1e-14


def test_equals_the_sparse_direct_solution(generator):
    grid = Grid((48, 33), extent=(2.0, 1.0))
    A = Diffusion(torch.ones(grid.shape, dtype=torch.float64), grid)
    f = torch.randn(A.grid.shape, generator=generator, dtype=torch.float64)
    x = solve_sparse(A, f).x
    assert (solve_poisson(f, grid) - x).norm() / x.norm() < 1e-12


SIDES = ["dirichlet", "neumann", ("dirichlet", "neumann"), ("neumann", "dirichlet")]


def profile(t, boundary):
    """(u, u'') with u = 0 at t = 0, 1 where Dirichlet, u' = 0 there where Neumann."""
    s, c, e, pi = torch.sin(math.pi * t), torch.cos(math.pi * t), torch.exp(t), math.pi
    if boundary == "dirichlet":
        return e * s, e * ((1 - pi**2) * s + 2 * pi * c)
    # (t (1 - t))² eᵗ has no slope at the ends, and third derivatives that do not vanish there.
    q, dq, ddq = t**2 * (1 - t) ** 2, 2 * t - 6 * t**2 + 4 * t**3, 2 - 12 * t + 12 * t**2
    return e * q, e * (q + 2 * dq + ddq)


@pytest.mark.parametrize("sides", SIDES, ids=str)
def test_is_second_order_for_a_manufactured_solution(sides):
    errors = []
    for n in (17, 33, 65):
        grid = Grid((n, 2 * n - 1), boundary=sides)
        X, Y = grid.nodes()
        (p, ddp), (q, ddq) = profile(X, grid.boundary[0]), profile(Y, grid.boundary[1])
        A = Laplacian(grid)
        u, f = (without_boundary(v, grid) for v in (p * q, -(ddp * q + p * ddq)))
        if not A.positive_definite:
            u = u - A.mean(u)
        errors.append((solve_poisson(A.load(f), grid) - u).abs().max().item())
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    assert orders == pytest.approx([2, 2], abs=0.1)


def test_a_half_cell_counted_whole_is_wrong():
    """Negative control: without the cell fractions at the Neumann ends the solution is another
    one."""
    grid = Grid((33, 33), boundary=("dirichlet", "neumann"))
    f = torch.ones(grid.interior.shape, dtype=torch.float64)
    X, _ = grid.interior.nodes()
    exact = X * (1 - X) / 2  # does not depend on y; five points are exact for a quadratic
    right, wrong = (solve_poisson(b, grid) for b in (Laplacian(grid).load(f), f))
    assert (right - exact).abs().max() < 1e-13
    assert (wrong - exact).abs().max() > 1e-3


def test_a_neumann_source_with_a_mean_is_refused():
    grid = Grid((9, 9), boundary="neumann")
    with pytest.raises(ValueError, match=r"only where the mean of f is zero.*load"):
        solve_poisson(torch.ones(2, 9, 9), grid)
    for dtype in (torch.float32, torch.float64):
        f = torch.rand(2, 9, 9, generator=torch.Generator().manual_seed(0), dtype=dtype)
        assert solve_poisson(Laplacian(grid).load(f), grid).dtype == dtype
    assert not solve_poisson(torch.zeros(9, 9), grid).any()


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
        (torch.ones(9, 9), Grid((9, 9), boundary="periodic"), "Without a Dirichlet side"),
        (torch.ones(7, 7), Grid((9, 9), boundary=("neumann", "dirichlet")), "must have shape"),
        (torch.full((7, 7), math.nan), Grid((9, 9)), "NaN"),
    ],
)
def test_bad_input_is_refused(f, grid, match):
    with pytest.raises(ValueError, match=match):
        solve_poisson(f, grid)


SOME = [
    Grid((13, 12)),
    Grid((13, 12), boundary=("periodic", "neumann")),
    Grid((12, 9), boundary=("neumann", "dirichlet"), placement="centers"),
]


@pytest.mark.parametrize("grid", SOME, ids=str)
def test_reaction_and_coefficient_are_solved_exactly(grid, generator):
    A = Diffusion(3.0, grid, reaction=2.0)
    u = torch.randn(2, *A.grid.shape, generator=generator, dtype=torch.float64)
    M = FastPoisson.of(A)
    check_spd(M)
    torch.testing.assert_close(M @ (A @ u), u, rtol=1e-10, atol=1e-11)
    torch.testing.assert_close(
        solve_poisson((A @ u) / 3, grid, reaction=2 / 3), u, rtol=1e-10, atol=1e-11
    )


@pytest.mark.parametrize("grid", SOME, ids=str)
def test_preconditions_variable_coefficients_as_the_contrast_says(grid, generator):
    """κ(M A) <= max a / min a, on the complement of the kernel."""
    a = torch.where(torch.rand(grid.shape, generator=generator) < 0.5, 1.0, 5.0).double()
    A = Diffusion(a, grid)
    M = FastPoisson.of(A)
    n = A.grid.num_nodes
    unit = torch.eye(n, dtype=torch.float64).reshape(n, *A.grid.shape)
    MA = (M @ (A @ unit)).reshape(n, n)
    values = torch.linalg.eigvals(MA).real.sort().values
    values = values[values > 1e-9]
    assert len(values) == n - (not A.positive_definite)
    assert values[-1] / values[0] <= 5.0001
    b = A.project(torch.randn(A.grid.shape, generator=generator, dtype=torch.float64))
    result = cg(A, b, M=M, rtol=1e-8)
    assert result.converged
    assert result.iterations <= 25


def test_does_not_change_what_it_is_applied_to(generator):
    for grid in SOME:
        M = FastPoisson(grid)
        u = torch.randn(M.grid.shape, generator=generator, dtype=torch.float64)
        kept = u.clone()
        assert M @ u is not u
        assert torch.equal(u, kept)


def test_numbers_of_an_indefinite_operator_are_refused():
    for kwargs in ({"coefficient": 0.0}, {"reaction": -1.0}):
        with pytest.raises(ValueError, match="coefficient > 0"):
            FastPoisson(Grid((9, 9)), **kwargs)


@pytest.mark.parametrize("boundary", ["neumann", "periodic"])
def test_constants_are_mapped_to_zero_where_they_are_the_kernel(boundary):
    """A right-hand side may carry a constant that no solution explains; M must not amplify it."""
    grid = Grid((9, 12), boundary=boundary, placement="centers")
    ones = torch.ones(grid.shape, dtype=torch.float64)
    assert FastPoisson(grid).apply(ones).abs().max() < 1e-14
    assert FastPoisson(grid, reaction=2.0).apply(ones).allclose(ones / 2)  # the control
