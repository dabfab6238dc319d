"""Surrogates fitted to samples: exact where theory says so, and on the samples of a run."""

import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from pdeops.compare.duel import Cost
from pdeops.compare.error_time import costs_of
from pdeops.compare.fitted import Fits, Fitted, _weights, fits_of, fits_or_note
from pdeops.compare.projected import projection
from pdeops.datasets import generate, open_dataset, problem_named
from pdeops.datasets.windows import Window
from pdeops.domain import Grid
from pdeops.solvers.reduced_basis.surrogate import Pairs
from pdeops.tasks.data import DataTable

NUM = 6


def solved(problem, grid, indices, seed=0):
    """Inputs and solutions of some samples."""
    x = torch.stack([problem.sample_input(grid, seed, i) for i in indices])
    u = torch.stack([problem.solve(x_i, grid, 1e-12).x for x_i in x])
    return x, u


def pairs(x, u, grid):
    return Pairs(x.flatten(1), u.flatten(1), grid.quadrature().flatten())


@pytest.mark.parametrize(
    ("name", "kind"), [("darcy", "lognormal"), ("poisson", "gaussian"), ("poisson", "mixed")]
)
def test_galerkin_reproduces_the_solutions_of_its_samples(name, kind):
    """Coefficients and solutions of the samples lie in the spaces, so the projection is exact; new
    ones do not."""
    problem = problem_named(name, kind, num_modes=4)
    grid = problem.grid((13, 13))
    x, u = solved(problem, grid, range(NUM))
    new = solved(problem, grid, range(NUM, NUM + 3))
    fitted = projection(problem, grid)(pairs(x, u, grid), pairs(x, u, grid))
    assert fitted.error < 1e-7
    torch.testing.assert_close(fitted.predict(x)[:, 0], u, rtol=1e-6, atol=1e-8)
    assert f"{NUM} of {NUM} modes" in fitted.choice
    assert ("terms" in fitted.choice) == (name == "darcy")
    gap = (fitted.predict(new[0])[:, 0] - new[1]).norm() / new[1].norm()
    assert 1e-4 < gap < 0.5


def test_few_parameters_need_few_samples():
    """log k of 4 modes per axis is smooth: the projection on 40 samples has a tenth of the error of
    that on 6."""
    problem = problem_named("darcy", "lognormal", num_modes=2)
    grid = problem.grid((9, 9))
    x, u = solved(problem, grid, range(46))
    validation = pairs(x[40:], u[40:], grid)
    few, many = (
        projection(problem, grid)(pairs(x[:n], u[:n], grid), validation).error for n in (6, 40)
    )
    assert many < few / 10
    assert many < 1e-3


def test_of_equal_errors_the_cheapest_projection_is_chosen():
    """Far from every validation sample, all numbers of modes and terms have the error one."""
    problem = problem_named("darcy", "lognormal", num_modes=2)
    grid = problem.grid((9, 9))
    x, u = solved(problem, grid, range(NUM))
    fitted = projection(problem, grid)(pairs(x, u, grid), pairs(x, 1e3 + u, grid))
    assert fitted.choice == "2 of 6 modes, 1 of 6 terms of the operator"


def test_problems_without_a_projection():
    for name, kind in (("poisson", "neumann"),):
        problem = problem_named(name, kind)
        assert projection(problem, problem.grid((9, 9))) is None


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """What a fit needs of a run on Poisson data, 30 samples of which 6 are held out."""
    file = tmp_path_factory.mktemp("data") / "train.h5"
    problem = problem_named("poisson", num_modes=3)
    generate(problem, problem.grid((9, 9)), num_samples=30, seed=3, out=file)
    return stand_in(file, validation=6)


def stand_in(file, validation, task="supervised", **data):
    return SimpleNamespace(
        recipe=SimpleNamespace(data=DataTable(train=str(file), validation=validation, **data)),
        task=task,
        spec=open_dataset(file).spec,
        folder=file.parent,
    )


def test_a_linear_problem_is_fitted_by_degree_one(run):
    """The nine modes of the source are all parameters; u is linear in them."""
    fits = fits_of(run)
    polynomial = next(f for f in fits.fitted if f.name == "POD + polynomial")
    assert "degree 1" in polynomial.choice
    assert polynomial.error < 1e-5  # the file has single precision
    assert int(re.search(r"lies in (\d+) of 23 modes, few parameters", fits.notes[0])[1]) <= 9
    assert "first 24 of 24 training samples" in fits.notes[1]
    problem, grid = problem_named("poisson", num_modes=3), Grid((9, 9))
    x, u = solved(problem, grid, range(3), seed=8)
    for fitted in fits.fitted:
        assert fitted.seconds > 0
        found = fitted.predict(x.to(fitted.dtype))
        assert found.shape == (3, 1, 9, 9)
        torch.testing.assert_close(found.double()[:, 0], u, rtol=1e-3, atol=1e-4)


def test_surrogates_have_the_samples_of_the_run_that_used_most(run):
    few = stand_in(run.folder / "train.h5", 6, samples=12)
    fits = fits_or_note({"few": few, "all": run, "again": few})
    assert "first 24 of 24 training samples" in fits.notes[1]


def test_without_its_data_a_run_has_no_surrogate_and_a_note(run):
    lost = stand_in(run.folder / "train.h5", 6)
    lost.recipe.data = DataTable(train="elsewhere/lost.h5")
    with pytest.raises(FileNotFoundError, match=r"elsewhere/lost\.h5\s+does not exist"):
        fits_of(lost)
    fits = fits_or_note({"net": lost})
    assert fits.fitted == ()
    assert fits.notes[0].endswith("network. The training file lost.h5 is missing.")


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    """Burgers' flow of few waves and small amplitude, which is nearly linear."""
    file = tmp_path_factory.mktemp("flow") / "flow.h5"
    problem = problem_named("burgers", num_waves=2, scale=0.1, num_frames=3, t_end=0.06, dt=0.02)
    generate(problem, problem.grid((8,)), num_samples=20, seed=0, out=file)
    return file


@pytest.mark.parametrize("task", ["supervised", "rollout"])
def test_trajectories_are_fitted_from_the_given_frames_to_all_later_ones(flow, task):
    fits = fits_of(stand_in(flow, 4, task, window=Window(1, 3)))
    batch = open_dataset(flow).windowed(Window(1, 3)).read(range(16, 20))
    for fitted in fits.fitted:
        found = fitted.predict(batch.input)
        assert found.shape == batch.target.shape
        gap = ((found - batch.target).norm() / batch.target.norm()).item()
        assert gap < 0.05


def test_fields_in_different_units_count_the_same():
    """One channel is a thousand times as large; both have the same norm in the weighted product."""
    random = torch.Generator().manual_seed(0)
    u = torch.randn(9, 3, 2, 4, 4, generator=random, dtype=torch.float64)
    u[:, :, 1] = 5.0 + 1000 * u[:, :, 0]
    w = _weights(u, torch.rand(4, 4, generator=random, dtype=torch.float64)).reshape(3, 2, 4, 4)
    centred = u - u.mean((0, 1, 3, 4), keepdim=True)
    first, second = (w * centred.square()).sum((0, 1, 3, 4))
    torch.testing.assert_close(first, second)
    torch.testing.assert_close(w[0, 0] / w[0, 0].sum(), w[2, 1] / w[2, 1].sum())


def test_surrogates_have_the_data_of_the_operators_and_their_own_seconds():
    fitted = Fitted("POD", lambda x: x, torch.float32, 7.0, "", 0.1)
    costs = costs_of(["net"], Fits((fitted,)), {"net": 50.0}, {"net": 3.0})
    assert costs == {"net": Cost(50.0, 3.0), "POD": Cost(7.0, 3.0)}
    unknown = costs_of(["net"], Fits((replace(fitted, seconds=1.0),)), None, None)
    assert unknown["POD"].unknown == ["data"]
