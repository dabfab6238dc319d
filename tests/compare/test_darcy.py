"""The real problem through the study: multigrid and sparse LU against a finer reference."""

import pytest
import torch

from pdeops.compare import study
from pdeops.compare.methods import methods_for
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
    assert {r.method for r in classical} == {"multigrid-CG", "sparse direct"}
    assert all(r.converged and r.setup_seconds > 0 for r in classical)


def test_both_solvers_agree_and_have_the_same_discretisation_error(comparison):
    for n in (9, 17, 33):
        tight = [
            r.error
            for r in comparison.rows
            if r.grid == (n, n) and r.kind == "classical" and r.tolerance in (1e-8, None)
        ]
        assert len(tight) == 2
        assert tight[0] == pytest.approx(tight[1], rel=1e-5)
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
        batch_sizes=(1,),
    )
    assert [m.name for m in methods_for(Poisson())] == ["sine transform", "sparse direct"]
    assert [m.name for m in methods_for(Poisson("neumann"))] == ["sine transform"]  # singular
    errors = {(r.method, r.grid[0]): r.error for r in comparison.rows if r.kind == "classical"}
    for n in (9, 17, 33):
        assert errors["sine transform", n] == pytest.approx(errors["sparse direct", n], rel=1e-6)
    # Second order for a smooth source; the coarse grid also samples this one too thinly.
    assert errors["sine transform", 17] > 3 * errors["sine transform", 33]
