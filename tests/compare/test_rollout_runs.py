"""Finished runs on trajectories become a report: a one-step model and one of many frames."""

from dataclasses import replace

import pytest

from pdeops.cli import compare
from pdeops.compare import compare_rollouts, rollout_runs
from pdeops.compare.any_runs import Options, compare_any
from pdeops.compare.timing import Clock
from pdeops.datasets import generate, problem_named
from pdeops.solvers.evolution.etdrk4 import ETDRK4
from pdeops.tasks import load_recipe, load_run, train

pytestmark = pytest.mark.slow  # two trainings and a study

SMALL = {
    "repeats": 1,
    "batch_sizes": (1,),
    "scales": (0.5,),
    "steppers": {"ETDRK4": ETDRK4},
    "clock": Clock(rest=0.0),
}
TABLES = {
    "model": {"name": "FNO", "n_modes": [4], "hidden_channels": 4, "n_layers": 1},
    "training": {"epochs": 2, "batch_size": 8},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A one-step model, and one from the first frame to the next three."""
    folder = tmp_path_factory.mktemp("runs")
    problem = problem_named("burgers", "thin", num_waves=4, t_end=0.15, num_frames=3)
    file = folder / "train.h5"
    generate(problem, problem.grid((16,)), num_samples=5, seed=3, out=file)
    tasks = {
        "step": {"task": "rollout"},
        "frames": {"task": "supervised", "window": {"n_in": 1, "n_out": 3}},
    }
    runs = {}
    for name, options in tasks.items():
        data = {"train": str(file), "validation": 1}
        if "window" in options:
            data["window"] = options["window"]
        recipe = {"task": options["task"], "name": name, "data": data, **TABLES}
        train(load_recipe(recipe), out=folder / name, device="cpu")
        runs[name] = load_run(folder / name)
    return runs


def test_both_kinds_of_runs_in_one_report(trained, tmp_path):
    study = compare_rollouts(trained, folder=tmp_path, num_samples=2, **SMALL)
    assert study.operators == ["step", "frames"]
    assert study.times == pytest.approx((0.05, 0.1, 0.15))
    assert study.seed != trained["step"].spec.seed
    for name in trained:
        assert study.costs[name].training_seconds > 0
        assert study.costs[name].data_seconds > 0
        (row,) = [r for r in study.rows if r.method == name]
        assert 0 < row.error < 2
    assert any(r.kind == "classical" for r in study.rows)
    pictures = sorted(p.name for p in (tmp_path / "plots").iterdir())
    assert pictures == ["error_time.png", "film_0.png", "film_1.png", "training.png"]
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert study.verdict.splitlines()[1] in text
    assert "First trajectory, frames" in text


def test_the_command_compares_trajectories(trained, tmp_path, monkeypatch, capsys):
    """`pdeops compare` of a rollout goes to the study of trajectories."""
    seen = []
    monkeypatch.setattr(
        "pdeops.compare.any_runs.compare_rollouts",
        lambda runs, **given: seen.append(given) or stop(),
    )

    def stop():
        raise ValueError("seen")

    with pytest.raises(ValueError, match="seen"):
        compare.command([trained["frames"].folder], samples=2)
    assert seen[0]["num_samples"] == 2
    clock = Clock(rest=0.0)
    with pytest.raises(ValueError, match="seen"):
        compare_any(trained, tmp_path, Options(), clock=clock)
    assert seen[1]["clock"] is clock


def test_runs_of_other_frames_or_without_equation_are_refused(trained, tmp_path):
    spec = trained["step"].spec
    other = replace(trained["step"], spec=replace(spec, times=(0.0, 0.05, 0.1, 0.2)))
    with pytest.raises(ValueError, match="one problem"):
        compare_rollouts(
            {"step": trained["step"], "other": replace(other, spec=replace(spec, kind="gaussian"))},
            folder=tmp_path,
        )
    with pytest.raises(ValueError, match="pdeops data generate"):
        compare_rollouts({"step": replace(trained["step"], spec=None)}, folder=tmp_path)
    shorter = replace(trained["frames"], n_out=2)
    with pytest.raises(ValueError, match="'frames' 2 from 1"):
        rollout_runs._common_times({"step": trained["step"], "frames": shorter}, spec)
    assert not list(tmp_path.iterdir())
