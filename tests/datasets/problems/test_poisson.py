"""Poisson: orders of convergence and uniqueness for each kind of sides."""

import math
from itertools import pairwise

import pytest
import torch

from pdeops.datasets import Darcy, DihedralAugmentation, Poisson, generate, open_dataset
from pdeops.domain import Grid
from pdeops.metrics import METRICS


def observed_orders(errors, ratio=2.0):
    return [math.log(a / b, ratio) for a, b in pairwise(errors)]


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


SIDES = [
    ("neumann", {}, torch.cos, torch.cos),
    ("mixed", {}, torch.sin, torch.cos),
    ("mixed", {"dirichlet_axis": 1}, torch.cos, torch.sin),
]


@pytest.mark.parametrize(("kind", "parameters", "along_x", "along_y"), SIDES)
def test_other_sides_are_second_order_too(kind, parameters, along_x, along_y):
    """u = w(pi x) w(2 pi y / L) with the sines or cosines that the sides ask for."""
    problem, L = Poisson(kind, **parameters), 0.5
    errors = []
    for n in (9, 17, 33):
        grid = Grid((2 * n - 1, n), (1.0, L), problem.boundary)
        X, Y = grid.nodes()
        u = along_x(math.pi * X) * along_y(2 * math.pi * Y / L)
        f = math.pi**2 * (1 + 4 / L**2) * u
        errors.append((problem.solve(f[None], grid).x - u).abs().max().item())
    assert observed_orders(errors) == pytest.approx([2.0, 2.0], abs=0.05)


def test_the_neumann_solution_has_no_mean_and_does_not_see_that_of_the_source():
    problem = Poisson("neumann", num_modes=16)
    grid = Grid((33, 17), (1.0, 0.5), "neumann")
    x = problem.sample_input(grid, 0, 0)
    assert abs((grid.quadrature() * x[0]).sum()) < 1e-14  # 16 modes, 16 cells and more
    y = problem.solve(x, grid).x
    assert abs((grid.quadrature() * y).sum()) < 1e-15
    torch.testing.assert_close(problem.solve(x + 1, grid).x, y, rtol=0, atol=1e-12)
    # The equation holds for any constant; the metrics see a wrong one.
    pair = [v[None, None] for v in (y + 1, y)]
    assert problem.residual(x[None], pair[0], grid).item() < 1e-10
    assert METRICS["boundary_error"](*pair, grid).item() == pytest.approx(1.0)
    assert METRICS["conserved_error"](*pair, grid).item() > 0.1


def test_a_neumann_source_on_a_grid_too_coarse_for_its_modes_is_still_solved():
    """127 half-waves on 8 cells: the trapezoidal mean is not zero, and is taken away."""
    problem, grid = Poisson("neumann"), Grid((9, 9), boundary="neumann")
    x = problem.sample_input(grid, 0, 0)
    assert abs((grid.quadrature() * x[0]).sum()) > 1e-4
    assert problem.solve(x, grid).converged


@pytest.mark.parametrize(("kind", "parameters", "along_x", "along_y"), SIDES)
def test_a_file_of_other_sides_knows_its_boundary(tmp_path, kind, parameters, along_x, along_y):
    problem = Poisson(kind, num_modes=16, **parameters)
    grid = problem.grid((17, 17))
    report = generate(problem, grid, num_samples=3, seed=0, out=tmp_path / "a.h5")
    assert report["largest_residual"] <= 1e-10
    dataset = open_dataset(tmp_path / "a.h5")
    assert dataset.domain == grid
    assert dataset.domain.boundary == problem.boundary
    batch = dataset.read(range(3))
    # As stored, in float32; a Dirichlet problem's residual would be of order one.
    assert problem.residual(batch.input, batch.target, grid).max() < 1e-4
    square_symmetries = 8 if kind == "neumann" else 4
    assert len(DihedralAugmentation(dataset, seed=0).isometries) == square_symmetries


def test_the_equation_says_what_holds_on_the_sides():
    assert Poisson().equation.endswith("potential = 0 on its boundary")
    assert "slope = 0 on the boundary, its mean = 0" in Poisson("neumann").equation
    for axis, words in enumerate(("ends of x, its normal slope = 0 at those of y", "ends of y")):
        assert words in Poisson("mixed", dirichlet_axis=axis).equation
    with pytest.raises(ValueError, match=r"is 0 \(x\) or 1 \(y\); got 2"):
        Poisson("mixed", dirichlet_axis=2)
    with pytest.raises(ValueError, match=r"mixed .* Dirichlet \(x\) and Neumann \(y\) boundary"):
        Poisson("mixed").check_grid(Grid((9, 9)))
