"""Finished runs become a report: two small trained operators and classical solvers."""

import csv
from dataclasses import replace
from types import SimpleNamespace

import pytest

from pdeops.compare import compare_runs, runs
from pdeops.compare.timing import Clock
from pdeops.datasets import generate, problem_named
from pdeops.tasks import load_recipe, load_run, train

NETWORKS = {"narrow": 4, "wide": 8}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two FNOs of different width after two epochs on Darcy at 17 x 17."""
    folder = tmp_path_factory.mktemp("runs")
    problem = problem_named("darcy")
    data = folder / "train.h5"
    generate(problem, problem.grid((17, 17)), num_samples=12, seed=3, out=data)
    done = {}
    for name, width in NETWORKS.items():
        values = {
            "data.train": str(data),
            "data.validation": 2,
            "model.n_modes": [6, 6],
            "model.hidden_channels": width,
            "model.n_layers": 1,
            "training.epochs": 2,
        }
        settings = [f"{key}={value!r}" for key, value in values.items()]
        train(load_recipe("fno_quickstart", settings), out=folder / name, device="cpu")
        done[name] = load_run(folder / name)
    return done


@pytest.fixture(scope="module")
def reported(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    options = {"num_samples": 2, "repeats": 1, "batch_sizes": (1, 2), "clock": Clock(rest=0.0)}
    options |= {"tolerances": (1e-2,)}
    return folder, compare_runs(trained, folder=folder, **options)


def test_every_run_is_measured_at_three_resolutions(reported):
    _, comparison = reported
    assert comparison.operators == list(NETWORKS)
    for name in NETWORKS:
        rows = [r for r in comparison.rows if r.method == name]
        assert {(r.grid, r.batch) for r in rows} == {
            ((n, n), batch) for n in (9, 17, 33) for batch in (1, 2)
        }
        assert all(0.001 < r.error < 1.5 for r in rows)


def test_the_test_problems_are_not_those_of_training(reported, trained):
    _, comparison = reported
    assert comparison.seed != trained["wide"].spec.seed


def test_costs_are_those_of_the_runs(reported, trained):
    _, comparison = reported
    for name, run in trained.items():
        with (run.folder / "metrics.csv").open(newline="") as lines:
            seconds = float(list(csv.DictReader(lines))[-1]["seconds"])
        cost = comparison.costs[name]
        assert cost.training_seconds == seconds
        assert cost.data_seconds > 0
        assert cost.unknown == []
    assert any("(narrow 12, wide 12)" in note for note in comparison.notes)


def test_the_report_has_all_its_pictures(reported):
    folder, comparison = reported
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert comparison.verdict.splitlines()[0] in text
    pictures = sorted(p.name for p in (folder / "plots").iterdir())
    assert pictures == ["error_time.png", "fields.png", "training.png"]
    assert all((folder / "plots" / name).stat().st_size > 10_000 for name in pictures)


def test_what_was_not_measured_is_stated_once(reported):
    folder, comparison = reported
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert text.count("CHOLMOD and BoomerAMG") == 1
    assert {r.method for r in comparison.rows if r.kind == "classical"} == {
        *("multigrid-CG", "PyAMG RS+CG", "sparse direct"),
    }


def test_a_folder_is_described_once():
    """A compiled run, or one on another device, has the folder of its run."""
    places = {"net": "a", "other": "b", "net, compiled": "a", "net on cuda": "a"}
    runs_of = {name: SimpleNamespace(folder=folder) for name, folder in places.items()}
    assert runs.once(runs_of) == {name: runs_of[name] for name in ("net", "other")}


def test_the_truth_of_the_picture_is_the_finer_reference(trained):
    run = trained["wide"]
    shown = runs._samples({"wide": run}, run.problem, run.domain, seed=9)
    for a, u in zip(shown.inputs, shown.truths, strict=True):
        coarse = run.problem.solve(a[None], run.domain).x
        gap = (coarse - u).norm() / u.norm()
        assert 1e-3 < gap < 0.2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda run: replace(run, spec=None), "pdeops data generate"),
        (lambda run: replace(run, domain=run.domain.refined(2)), "one training grid"),
        (
            lambda run: replace(run, spec=replace(run.spec, parameters={"low": 1.0, "high": 9.0})),
            "one problem",
        ),
    ],
    ids=["foreign", "grid", "problem"],
)
def test_runs_that_do_not_compare_are_refused(trained, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        compare_runs(
            {"narrow": trained["narrow"], "wide": change(trained["wide"])}, folder=tmp_path
        )
    assert not list(tmp_path.iterdir())


def test_no_runs_no_comparison(tmp_path):
    with pytest.raises(ValueError, match="at least one run"):
        compare_runs({}, folder=tmp_path)


def test_the_cost_of_the_data_is_that_of_the_samples_used():
    """A run that limits its samples has the cost of those, and none that of more than the file."""
    drawn = []
    limits = {"few": 3, "all": None, "more": 99}
    used = {
        name: SimpleNamespace(
            spec=SimpleNamespace(num_samples=12),
            recipe=SimpleNamespace(data=SimpleNamespace(samples=limit)),
        )
        for name, limit in limits.items()
    }
    options = {"repeats": 2, "warm_up": 1, "remark": "on one core"}
    costs, notes = runs.data_cost(used, drawn.append, known=None, **options)
    assert drawn == [0, 1, 0]
    assert costs["all"] == costs["more"] == pytest.approx(4 * costs["few"])
    assert costs["few"] > 0
    assert "(few 3, all 12, more 12)" in notes[0]
    assert notes[0].endswith("2 of them again, on one core.")
    stated = runs.data_cost(used, drawn.append, known=0.0, **options)
    assert stated == (dict.fromkeys(limits, 0.0), [])
    assert len(drawn) == 3
