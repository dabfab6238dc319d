"""Darcy and Poisson: inputs, discrete equations, orders of convergence."""

import math
from itertools import pairwise

import pytest
import torch

from pdeops.datasets import DATASETS, Darcy, Poisson, problem_named, problem_of
from pdeops.grid import Grid


def observed_orders(errors, ratio=2.0):
    return [math.log(a / b, ratio) for a, b in pairwise(errors)]


@pytest.mark.parametrize("name", DATASETS)
@pytest.mark.parametrize(
    "grid", [Grid((33, 33)), Grid((33, 18), extent=(1.0, 0.6))], ids=["square", "box"]
)
class TestEveryProblem:
    """The contract of a problem."""

    def test_the_solution_satisfies_the_discrete_equation(self, name, grid):
        problem = problem_named(name)
        for index in range(3):
            x = problem.sample_input(grid, 0, index)
            result = problem.solve(x, grid)
            assert result.converged
            assert result.x.shape == grid.shape
            assert result.x.dtype == torch.float64
            assert (result.x[grid.boundary_mask()] == 0).all()
            assert problem.residual(x[None], result.x[None, None], grid).item() <= 1e-10

    def test_the_residual_is_that_of_the_operator(self, name, grid, generator):
        """Against b - A u written out, for a field that is no solution."""
        problem = problem_named(name)
        x = torch.stack([problem.sample_input(grid, 0, i) for i in range(2)])
        y = torch.randn((2, 1, *grid.shape), generator=generator)
        got = problem.residual(x.float(), y, grid)
        for i in range(2):
            A, b = (
                problem.operator(x[i].float().double(), grid),
                problem.rhs(x[i].float().double(), grid),
            )
            expected = (b - A @ y[i, 0, 1:-1, 1:-1].double().contiguous()).norm() / b.norm()
            assert got[i].item() == pytest.approx(expected.item(), rel=1e-12)
        assert (got > 1).all()  # noise does not solve the equation

    def test_the_spec_leads_back_to_the_problem(self, name, grid):
        problem = problem_named(name, num_modes=17)
        spec = problem.spec(grid, 3, 5)
        again = problem_of(type(spec).from_json(spec.to_json()))
        assert type(again) is type(problem)
        assert again.spec(grid, 3, 5) == spec
        torch.testing.assert_close(
            again.sample_input(grid, 3, 0), problem.sample_input(grid, 3, 0), rtol=0, atol=0
        )

    def test_samples_are_the_same_functions_on_a_finer_grid(self, name, grid):
        problem, fine = problem_named(name), grid.refined(2)
        for index in range(3):
            x, finer = (problem.sample_input(g, 0, index) for g in (grid, fine))
            torch.testing.assert_close(x, finer[..., ::2, ::2], rtol=0, atol=1e-13)


def test_sample_i_on_65_nodes_is_exactly_nested_in_129():
    for index in range(10):
        x, fine = (Darcy().sample_input(Grid((n, n)), 0, index) for n in (65, 129))
        assert torch.equal(x, fine[..., ::2, ::2])


def test_the_permeability_takes_two_values_about_half_each():
    grid = Grid((65, 65))
    k = torch.stack([Darcy().sample_input(grid, 0, i) for i in range(200)])
    assert k.unique().tolist() == [3.0, 12.0]
    share = (k == 12).double().mean((1, 2, 3))
    # Without the constant mode no sample is nearly all of one kind, and both kinds are alike on
    # average.
    assert share.mean().item() == pytest.approx(0.5, abs=0.02)
    assert share.std() < 0.1
    assert share.min() > 0.2
    assert share.max() < 0.8


def test_421_has_419_squared_unknowns():
    grid = Darcy().grid((421, 421))
    assert grid.interior.shape == (419, 419)


class ManufacturedDarcy(Darcy):
    """Darcy with the source of a chosen solution."""

    def __init__(self, f):
        super().__init__()
        self.f = f

    def rhs(self, x, grid):
        return self.f(*grid.nodes())[1:-1, 1:-1].contiguous()


def l2_errors(problem, k, u, shapes, extent):
    errors = []
    for shape in shapes:
        grid = Grid(shape, extent)
        X, Y = grid.nodes()
        result = problem.solve(k(X, Y)[None], grid)
        assert result.converged
        errors.append((grid.quadrature() * (result.x - u(X, Y)) ** 2).sum().sqrt().item())
    return errors


def test_darcy_is_second_order_for_smooth_permeability():
    """u = sin(pi x) sin(pi y / L) with k = 2 + cos(pi x) y, on a box."""
    L, pi = 0.7, math.pi

    def k(x, y):
        return 2 + torch.cos(pi * x) * y

    def u(x, y):
        return torch.sin(pi * x) * torch.sin(pi * y / L)

    def f(x, y):
        sx, cx, sy, cy = (
            torch.sin(pi * x),
            torch.cos(pi * x),
            torch.sin(pi * y / L),
            torch.cos(pi * y / L),
        )
        laplacian = -(pi**2) * (1 + 1 / L**2) * sx * sy
        grad_k_grad_u = (-pi * sx * y) * (pi * cx * sy) + cx * (pi / L * sx * cy)
        return -k(x, y) * laplacian - grad_k_grad_u

    errors = l2_errors(
        ManufacturedDarcy(f), k, u, [(17, 13), (33, 25), (65, 49), (129, 97)], (1.0, L)
    )
    assert observed_orders(errors) == pytest.approx([2.0] * 3, abs=0.1)


@pytest.mark.parametrize("axis", [0, 1])
def test_darcy_is_second_order_across_a_jump_midway_between_nodes(axis):
    """k = 3 | 12 at s = 1/2; u = s (s - 1) (s - 1/2) / k(s) sin(pi t): u and the flux are
    continuous."""
    pi = math.pi

    def split(x, y):
        return (x, y) if axis == 0 else (y, x)

    def k(x, y):
        return torch.where(split(x, y)[0] < 0.5, 3.0, 12.0).double()

    def u(x, y):
        s, t = split(x, y)
        return s * (s - 1) * (s - 0.5) / k(x, y) * torch.sin(pi * t)

    def f(x, y):
        s, t = split(x, y)
        return -((6 * s - 3) - pi**2 * s * (s - 1) * (s - 0.5)) * torch.sin(pi * t)

    shapes = [(n, n) for n in (16, 32, 64, 128)]  # an odd number of cells: 1/2 is the middle of one
    errors = l2_errors(ManufacturedDarcy(f), k, u, shapes, 1.0)
    cells = [15, 31, 63, 127]
    orders = [
        math.log(errors[i] / errors[i + 1], cells[i + 1] / cells[i]) for i in range(len(errors) - 1)
    ]
    assert orders == pytest.approx([2.0] * 3, abs=0.1)


def test_poisson_is_second_order():
    grids = [Grid((n, m), extent=(1.0, 0.5)) for n, m in ((17, 9), (33, 17), (65, 33))]
    errors = []
    for grid in grids:
        X, Y = grid.nodes()
        u = torch.sin(math.pi * X) * torch.sin(4 * math.pi * Y) * torch.exp(X)
        # -Laplace of e^x sin(pi x) sin(4 pi y)
        e, s, c = torch.exp(X), torch.sin(math.pi * X), torch.cos(math.pi * X)
        xx = e * ((1 - math.pi**2) * s + 2 * math.pi * c)
        f = -(xx - 16 * math.pi**2 * e * s) * torch.sin(4 * math.pi * Y)
        errors.append((Poisson().solve(f[None], grid).x - u).abs().max().item())
    assert observed_orders(errors) == pytest.approx([2.0, 2.0], abs=0.1)


def test_poisson_solves_its_own_darcy_problem():
    """k = 1 and f = 1: the two problems are one, through two solvers."""
    grid = Grid((33, 25))
    one = torch.ones((1, *grid.shape), dtype=torch.float64)
    darcy, poisson = Darcy().solve(one, grid), Poisson().solve(one, grid)
    torch.testing.assert_close(darcy.x, poisson.x, rtol=0, atol=1e-10)
    assert darcy.x[16, 12].item() == pytest.approx(
        0.0737, abs=2e-4
    )  # the known value of the centre


@pytest.mark.parametrize("move", [lambda u: u.flip(-1), lambda u: u.flip(-2), lambda u: u.mT])
@pytest.mark.parametrize("name", DATASETS)
def test_isometric_problems_are_equivariant(name, move):
    problem, grid = problem_named(name), Grid((33, 33))
    assert problem.isometric
    x = problem.sample_input(grid, 0, 0)
    y, moved = (problem.solve(u, grid, rtol=1e-12).x for u in (x, move(x).contiguous()))
    torch.testing.assert_close(moved, move(y), rtol=0, atol=1e-11)


def test_unknown_names_list_the_choices_and_the_nearest():
    with pytest.raises(
        ValueError, match=r"Unknown problem: 'dacry'. Did you mean 'darcy'\? Choices: darcy, p"
    ):
        problem_named("dacry")
    with pytest.raises(ValueError, match=r"kind of darcy: 'piecewize'. Did you mean 'piecewise'"):
        Darcy("piecewize")
    with pytest.raises(ValueError, match=r"kind of darcy: 'zzz'. Choices: piecewise"):
        Darcy("zzz")
    with pytest.raises(
        ValueError, match=r"parameter of darcy piecewise: 'hihg'. Did you mean 'high'"
    ):
        Darcy(hihg=4.0)
    with pytest.raises(ValueError, match="permeability is positive"):
        Darcy(low=-1.0)
    assert problem_of(Darcy().spec(Grid((9, 9)), 0, 1)) is not None


@pytest.mark.parametrize(
    "grid",
    [
        Grid((2, 9)),
        Grid((9,)),
        Grid((9, 9, 9)),
        Grid((9, 9), boundary="periodic"),
        Grid((9, 9), boundary="neumann"),
        Grid((9, 9), placement="interior"),
    ],
    ids=["tiny", "1D", "3D", "periodic", "neumann", "interior"],
)
def test_grids_it_is_not_posed_on_are_refused(grid):
    with pytest.raises(ValueError, match="2D grids that store their Dirichlet boundary"):
        Darcy().check_grid(grid)


def test_a_spec_names_what_differs():
    here = Darcy(low=4.0).spec(Grid((9, 9)), 0, 10)
    there = Darcy().spec(Grid((9, 17)), 0, 10)
    assert here.difference(here) == []
    assert here.difference(there) == [
        "grid.shape: [9, 9] here, [9, 17] there",
        "parameters.low: 4.0 here, 3.0 there",
    ]
