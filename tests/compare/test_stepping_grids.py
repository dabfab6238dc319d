"""Studies of trajectories on a sphere: known errors, starts, and grids of the methods."""

import pytest
import torch

from pdeops.calculus.spherical import SphericalTransform, unaliased_degree
from pdeops.compare.rollout_study import rollout_study, solve_truth
from pdeops.compare.stepping_grids import GRIDS
from pdeops.compare.timing import Clock
from pdeops.datasets import problem_named
from pdeops.metrics import vrmse

DEGREE, SEED = 6, 4
HOURS = (0.0, 0.5, 1.0)


@pytest.fixture(scope="module")
def problem():
    return problem_named(
        "shallow_water", "random", degree=DEGREE, num_waves=3, viscosity=1e17, t_end=1.0,
        num_frames=2, dt=600.0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def grid(problem):
    return problem.grid((9, 16))


@pytest.fixture(scope="module")
def truth(problem, grid):
    return solve_truth(problem, grid, HOURS, n_in=1, seed=SEED, num_samples=1)


def test_the_truth_is_that_of_the_data_on_a_finer_grid(problem, grid, truth):
    assert truth.metric == "vrmse"
    assert unaliased_degree(truth.fine) == 2 * DEGREE
    stored = problem.solved_sample(problem.spec(grid, SEED, 1), 0).fields
    frames = torch.stack(list(stored.values()), 1)[None]
    frames = frames.reshape(1, 3, 3, *grid.shape)
    torch.testing.assert_close(truth.given, frames[:, :1].to(truth.given))
    assert vrmse(truth.frames, frames[:, 1:], grid).max() < 0.05


def test_grids_and_fields_of_lower_degree(problem, grid, truth):
    grids = GRIDS[type(grid)]
    coarse, same = grids.coarse(problem, grid, (1.0, 0.67))
    assert [unaliased_degree(g) for g in (coarse, same)] == [4, DEGREE]
    u = truth.start
    v = grids.truncated(u, truth.fine, coarse)
    kept = SphericalTransform(truth.fine).forward(u)[..., :5, :5]
    torch.testing.assert_close(SphericalTransform(coarse, degree=4).forward(v), kept)
    shown = grids.at_nodes(u, truth.fine, grid)
    torch.testing.assert_close(shown, truth.given[:, -1])


def test_a_study_on_a_sphere(problem, grid, truth):
    """A rollout of a known error in every field, and steps of the equation of the data."""
    mean = (truth.frames * grid.mean_weights()).sum((-1, -2), keepdim=True)
    shifted = (truth.frames + 0.1 * (truth.frames - mean)).float()
    study = rollout_study(
        {"shifted": lambda given, count: shifted[:, :count]},
        problem, grid, HOURS, seed=SEED, num_samples=1, repeats=1, clock=Clock(rest=0.0),
        scales=(0.67, 1.0), batch_sizes=(1,), truth=truth,
    )  # fmt: skip
    (operator,) = [r for r in study.rows if r.kind == "operator"]
    lost = grid.mean_weights().square().sum().item()  # the variance of vrmse is unbiased
    assert operator.error == pytest.approx(0.1 * (1 - lost) ** 0.5, rel=1e-4)
    stepped = [r for r in study.rows if r.kind == "classical"]
    assert {r.method for r in stepped} == {"ETDRK4"}
    assert len({r.grid for r in stepped}) == 2
    assert min(r.error for r in stepped if r.grid == study.finest) < 0.05
    text = study.to_markdown()
    assert "finest grid" in text
    assert "vrmse at the nodes" in text
