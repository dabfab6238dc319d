"""The real problem through the study: multigrid and sparse LU against a finer reference."""

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import cg, splu

from pdeops.compare import study
from pdeops.compare.methods import methods_for, own_method
from pdeops.compare.timing import Clock
from pdeops.datasets.problems.darcy import Darcy
from pdeops.datasets.problems.poisson import Poisson
from pdeops.domain import Grid


def average(x):
    """An operator without training: the solution for the mean permeability, by one sine product."""
    s, t = Grid(x.shape[2:]).nodes(torch.float32)
    shape = torch.sin(torch.pi * s) * torch.sin(torch.pi * t)
    return 16 / torch.pi**4 / 2 * shape / x.mean((1, 2, 3), keepdim=True)


@pytest.fixture(scope="module")
def comparison():
    options = {"num_samples": 2, "repeats": 1, "clock": Clock(rest=0.0)}
    return study(average, Darcy(), Grid((17, 17)), seed=7, **options)


def test_grids_and_methods(comparison):
    assert comparison.reference == (129, 129)
    classical = [r for r in comparison.rows if r.kind == "classical"]
    assert {r.grid for r in classical} == {(9, 9), (17, 17), (33, 33)}
    assert {r.method for r in classical} == {"multigrid-CG", "PyAMG RS+CG", "sparse direct"}
    assert all(r.converged and r.setup_seconds > 0 for r in classical)


def test_all_solvers_agree_and_have_the_same_discretisation_error(comparison):
    for n in (9, 17, 33):
        tight = [
            r.error
            for r in comparison.rows
            if r.grid == (n, n) and r.kind == "classical" and r.tolerance in (1e-8, None)
        ]
        assert len(tight) == 3
        assert tight == pytest.approx([tight[0]] * 3, rel=1e-5)
        assert tight[0] > 1e-4, "not exact: the reference is finer"


def test_finer_grids_and_tighter_tolerances_are_more_accurate(comparison):
    errors = {
        (r.grid[0], r.tolerance): r.error for r in comparison.rows if r.method == "multigrid-CG"
    }
    assert errors[9, 1e-8] > errors[17, 1e-8] > errors[33, 1e-8]
    iterations = [
        r.iterations for r in comparison.rows if r.method == "multigrid-CG" and r.grid == (33, 33)
    ]
    assert iterations == sorted(iterations)
    assert iterations[0] < iterations[-1]


def test_the_untrained_operator_loses(comparison):
    """15 % error or more, which the coarsest classical grid beats."""
    assert min(r.error for r in comparison.rows if r.kind == "operator") > 0.1
    assert all(d.opponent is not None for d in comparison.duels("operator"))


def test_poisson_has_its_sine_transform():
    comparison = study(
        average,
        Poisson(),
        Grid((17, 17)),
        seed=7,
        num_samples=2,
        repeats=1,
        clock=Clock(rest=0.0),
        operator_scales=(1.0,),
        tolerances=(1e-8,),
        batch_sizes=(1,),
    )
    names = ["sine transform", "PyAMG RS+CG", "sparse direct"]
    assert [m.name for m in methods_for(Poisson())] == names
    assert [m.name for m in methods_for(Poisson("neumann"))] == names[:2]  # singular
    errors = {(r.method, r.grid[0]): r.error for r in comparison.rows if r.kind == "classical"}
    for n in (9, 17, 33):
        for name in names[1:]:
            assert errors["sine transform", n] == pytest.approx(errors[name, n], rel=1e-6)
    # Second order for a smooth source; the coarse grid also samples this one too thinly.
    assert errors["sine transform", 17] > 3 * errors["sine transform", 33]


def lu(A, grid):
    return splu(A.tocsc()).solve


def conjugate(A, grid, rtol):
    def solve(b):
        steps = []
        x, _ = cg(A, b, rtol=rtol, callback=steps.append)
        return x, len(steps)

    return solve


@pytest.mark.parametrize("kind", ["gaussian", "neumann"])
def test_solvers_of_a_matrix_solve_the_problem(kind):
    """PyAMG, and a user's direct and iterative solver, also where A is singular: then the solution
    is fixed up to a constant."""
    problem, grid = Poisson(kind), Grid((9, 9), boundary=Poisson(kind).boundary)
    x = problem.sample_input(grid, 0, 0)
    expected = problem.solve(x, grid, 1e-12).x
    direct, iterative = own_method(lu), own_method(conjugate)
    assert (direct.name, direct.iterative, iterative.iterative) == ("lu", False, True)
    counts = []
    for method in (methods_for(problem)[1], direct, iterative):
        result = method.solve(problem, x, grid, 1e-10)
        u = result.x - (result.x - expected).mean() if kind == "neumann" else result.x
        np.testing.assert_allclose(u, expected, rtol=1e-6, atol=1e-8 * expected.abs().max())
        assert method.set_up is not None
        counts.append(result.iterations)
    loose = iterative.solve(problem, x, grid, 1e-1).iterations
    assert 0 < loose < counts[2]


def test_a_solver_of_the_users_has_two_or_three_arguments():
    with pytest.raises(ValueError, match=r"\(A, grid\) or \(A, grid, rtol\).*average has 1"):
        own_method(average)
    with pytest.raises(ValueError, match="different names; got lu, lu"):
        study(average, Darcy(), Grid((9, 9)), seed=0, classical=[own_method(lu)] * 2)
