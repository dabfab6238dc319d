"""A trained network and classical preconditioners on held-out systems: iterations and seconds.

Where the network's quality matters, multigrid takes its place.
"""

import pytest
import torch
from torch import nn

from pdeops.compare.linear_methods import AMORTISED
from pdeops.models import CORRECTIONS
from pdeops.solvers import FastPoisson, Multigrid, cg
from pdeops.tasks import load_recipe, load_run, train
from pdeops.tasks.preconditioner import evaluation
from pdeops.tasks.preconditioner.evaluation import (
    as_system,
    evaluate_systems,
    held_out,
    to_markdown,
)
from pdeops.tasks.running import training_seconds
from pdeops.training import checkpoint

RECIPE = {
    "task": "preconditioner",
    "name": "small",
    "systems": {"name": "PoissonSystems", "shapes": [[16, 12]], "num_samples": 16},
    "model": {"name": "DeepConjugate", "widths": [4, 8], "features": 4},
    "objective": {"name": "ConjugateDirection", "steps": 2},
    "training": {"epochs": 1, "batch_size": 8},
}
GOAL = (1e-8, 1000)
CLASSICAL = {"multigrid", "ic0", "ssor", "jacobi", "none", "sparse LU"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("runs") / "small"
    train(load_recipe(RECIPE), out=folder, device="cpu")
    return folder


@pytest.mark.parametrize(("number", "turns"), [(1, 3), (2, 4), (5, 5)])
def test_medians_are_of_three_turns_or_more(run, number, turns, monkeypatch):
    """Each system in as many turns as any other."""
    seen, done = [], []
    true = evaluation.as_system
    monkeypatch.setattr(evaluation, "as_system", lambda s, *a: seen.append(s) or true(s, *a))
    monkeypatch.setattr(evaluation, "classical", dict)
    loaded = load_run(run)
    report = evaluate_systems(loaded, num_systems=number, size=8, progress=done.append)
    assert report["number"] == number
    assert len(seen) == turns
    assert len({tuple(s.target.flatten().tolist()) for s in seen}) == number
    assert done[-1] == number


class LearnedCycle(nn.Module):
    """Multigrid, whatever its weight is."""

    def __init__(self, ndim):
        super().__init__()
        self.ndim, self.arguments = ndim, {}
        self.weight = nn.Parameter(torch.zeros(1))

    def on(self, A):
        return Multigrid(A)


@pytest.fixture
def cycle(monkeypatch, run, tmp_path):
    """The folder of a run of it; its training took 50 seconds."""
    monkeypatch.setitem(CORRECTIONS, "LearnedCycle", LearnedCycle)
    recipe = load_recipe({**RECIPE, "name": "cycle", "model": {"name": "LearnedCycle"}})
    state = {
        "carry": {
            "task": "preconditioner",
            "model": {"name": "LearnedCycle", "arguments": {}},
            "ndim": 2,
        },
        "model": LearnedCycle(2).state_dict(),
        "seconds": 50.0,
    }
    for name in ("best", "last"):
        checkpoint.save(tmp_path / "run" / "checkpoints" / f"{name}.pt", state)
    (tmp_path / "run" / "recipe.toml").write_text(recipe.to_toml())
    return tmp_path / "run"


def test_every_method_has_its_row(run):
    report = evaluate_systems(load_run(run), num_systems=2)
    learned, *others = report["methods"]
    assert learned == report["learned"] == "small"
    assert set(others) >= CLASSICAL
    assert "elimination" not in others  # some systems have walls
    assert report["unknowns"] == [16, 12]
    for method in report["methods"].values():
        assert "failed" not in method
        assert method["iterations"] <= method["most_iterations"]
        at = [method[f"seconds_at_{k}"] for k in AMORTISED]
        assert sorted(at, reverse=True) == at
    assert report["methods"]["sparse LU"]["iterations"] == 0
    lines = to_markdown(report).splitlines()
    assert len({line.count("|") for line in lines[2:]}) == 1
    assert len(lines) == 4 + len(report["methods"])


def test_a_preconditioner_by_construction_goes_to_cg(cycle):
    """With the iterations of the same cycle in our CG; by name it runs in single precision, which
    may cost one more where it would be exact."""
    report = evaluate_systems(load_run(cycle), num_systems=3)
    ours, classical = report["methods"]["cycle"], report["methods"]["multigrid"]
    assert ours["iterations"] <= classical["iterations"] <= ours["iterations"] + 1
    systems = held_out(load_recipe(RECIPE), 3, None)
    found = [as_system(systems[i], *GOAL) for i in range(3)]
    counts = [cg(s.A, s.b, M=Multigrid(s.A)).iterations for s in found]
    assert ours["iterations"] == pytest.approx(sum(counts) / 3)


def test_systems_are_those_of_the_validation_and_their_errors_the_solutions():
    recipe = load_recipe(RECIPE)
    sample = held_out(recipe, 1, None)[0]
    system = as_system(sample, *GOAL)
    e = system.A.project(sample.target.double())
    x = cg(system.A, system.b, M=Multigrid(system.A), rtol=1e-12).x
    assert (x - e).norm() < 1e-8 * e.norm()


@pytest.mark.slow
def test_their_size_may_be_another(run):
    report = evaluate_systems(load_run(run), num_systems=1, size=24)
    assert report["unknowns"] == [24, 24]


@pytest.mark.slow
def test_waves_have_a_row_where_all_systems_are_boxes(run, monkeypatch):
    """They solve those at once."""
    monkeypatch.setattr(
        "pdeops.datasets.systems.poisson_systems._fluid", lambda shape, *_: torch.ones(shape) > 0
    )
    method = evaluate_systems(load_run(run), num_systems=2)["methods"]["elimination"]
    assert method["most_iterations"] == 1
    system = as_system(held_out(load_recipe(RECIPE), 1, None)[0], *GOAL)
    x = FastPoisson(system.A.grid) @ system.b
    assert (system.A @ x - system.b).norm() < 1e-12 * system.b.norm()


def test_what_does_not_reach_the_tolerance_has_no_seconds(run):
    methods = evaluate_systems(load_run(run), num_systems=1, max_iterations=4)["methods"]
    assert "max_iterations = 4" in methods["none"]["failed"]
    assert "seconds_at_1" not in methods["none"]
    assert "failed" not in methods["sparse LU"]


def test_seconds_of_the_training_are_those_written_down(run, cycle):
    assert training_seconds(cycle) == 50.0
    assert 0 < training_seconds(run) < 600
    assert 0 < training_seconds(run / "checkpoints" / "best.pt") <= training_seconds(run)
    assert evaluate_systems(load_run(cycle), num_systems=1)["training_seconds"] == 50.0
