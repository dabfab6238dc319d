"""What results look like: definitions beside metrics, Markdown in a terminal, a run at a glance."""

import numpy as np
import pytest
import rich.console

import pdeops as package
from pdeops.cli import output
from pdeops.cli.compare import _labels
from pdeops.compare.any_runs import Options, refuse

from .conftest import ROLLOUT, SMALL_FNO
from .test_bad_input import refused


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    """Trajectories in a foreign file, and the recipe of a rollout on them."""
    folder = tmp_path_factory.mktemp("flow")
    package.datasets.convert(
        {"u": np.random.default_rng(0).standard_normal((6, 4, 8, 8))},
        folder / "flow.h5",
        states=["u"],
        axes="sample,time,x,y",
        grid={"boundary": "periodic"},
    )
    model = SMALL_FNO.replace("[4, 4]", "[2, 2]")
    for name, symmetries in (("flow", "false"), ("moved", "true")):
        data = f"symmetries = {symmetries}"
        recipe = ROLLOUT.format(file=folder / "flow.h5", data=data, model=model)
        (folder / f"{name}.toml").write_text(recipe)
    return folder


def test_a_metric_stands_beside_its_definition(pdeops, workshop):
    shown = pdeops("evaluate", workshop.run).stdout
    assert "relative_l2" in shown
    assert "‖p - t‖ / ‖t‖ in L²" in shown
    report = pdeops("evaluate", workshop.run, "--json").json
    assert isinstance(report["relative_l2"], float)


def test_every_entry_of_a_report_is_defined(workshop):
    from pdeops.tasks import TASKS, evaluate, load_run

    report = evaluate(load_run(workshop.run))
    assert set(report) <= {name for name, text in TASKS["supervised"].definitions().items() if text}


def test_markdown_is_laid_out_in_a_terminal_and_left_alone_in_a_pipe(monkeypatch, capsys):
    text = "Two methods.\n\n| method | seconds |\n|---|---|\n| cg | 1 |"
    output.document(text)
    assert capsys.readouterr().out == text + "\n"

    class Terminal(rich.console.Console):
        def __init__(self):
            super().__init__(force_terminal=True, width=60)

    monkeypatch.setattr(rich.console, "Console", Terminal)
    output.document(text)
    shown = capsys.readouterr().out
    assert "seconds" in shown
    assert "|---|" not in shown


def test_a_run_in_one_glance(workshop):
    text = repr(package.load_run(workshop.run))
    assert len(text.splitlines()) <= 5
    for fact in ("FNO", "parameters", "darcy (piecewise)", "17 x 17", str(workshop.run)):
        assert fact in text
    network = repr(package.load_run("dcdm_poisson"))
    assert len(network.splitlines()) <= 3
    assert "DeepConjugate with 65,568 parameters" in network


def test_a_rollout_on_foreign_data_has_no_solver_to_compare_with(pdeops, flow, tmp_path):
    done = train_on(pdeops, flow, tmp_path)
    assert "does not state" not in done.stderr
    refused(pdeops("compare", tmp_path / "run", "--shifted"), "--shifted", "without a classical")
    assert "1 frame(s) to 1" in repr(package.load_run(tmp_path / "run"))


def train_on(pdeops, flow, tmp_path, *more):
    done = pdeops("train", flow / "flow.toml", "--out", tmp_path / "run", "--device", "cpu", *more)
    assert done.status == 0, done.stderr
    return done


@pytest.mark.slow
def test_without_a_solver_the_report_has_the_learned_side(pdeops, flow, tmp_path):
    """With surrogates without a network, fitted to the same samples."""
    train_on(pdeops, flow, tmp_path, "--set", f"data.test='{flow / 'flow.h5'}'")
    done = pdeops("compare", tmp_path / "run", "--samples", 2, "--json")
    assert done.status == 0, done.stderr
    report = done.json
    assert "not compared with a classical solver: the training data name no" in report["verdict"][0]
    assert {row["kind"] for row in report["rows"]} == {"operator", "reduced"}
    assert report["floor"] is None


def test_options_of_a_comparison_are_checked(pdeops, workshop):
    run = workshop.run
    refused(pdeops("compare", run, "--tolerances", "1e-20"), "[1e-14, 1)", "1e-20")
    refused(pdeops("compare", run, "--samples", 0), "one sample or more", "got 0")
    refused(pdeops("compare", run, "--resolutions", "17,5"), "nodes per axis, at least 9", "got 5")
    refused(pdeops("compare", run, "--solver", "lost.py:f"), "lost.py does not import", "path")
    refused(pdeops("compare", run, "--tolerances", "small"), "--tolerances takes numbers")
    refused(pdeops("compare", run, "--against", "sine"), "classical methods", "sparse direct")


def test_options_of_other_kinds_of_runs_are_refused():
    refuse(Options(num_samples=2), "points")
    with pytest.raises(ValueError, match="--tolerances, --compiled does not apply to points"):
        refuse(Options(tolerances=(1e-2,), compiled=True), "points")


def test_runs_of_one_model_are_named_by_their_folders(tmp_path):
    one, two, other = (tmp_path / name for name in ("a/one", "a/two", "b/two"))
    assert _labels([one, two], ["FNO", "MgNO"]) == ["FNO", "MgNO"]
    assert _labels([one, two, other], ["FNO", "FNO", "MgNO"]) == ["FNO (one)", "FNO (two)", "MgNO"]
    assert _labels([one, two, other], 3 * ["FNO"]) == [
        *("FNO (a/one)", "FNO (a/two)", "FNO (b/two)")
    ]
    with pytest.raises(ValueError, match="Name different folders"):
        _labels([one, two, one], 3 * ["FNO"])


def test_symmetries_of_foreign_data_are_assumed_aloud(pdeops, flow, tmp_path):
    done = pdeops("train", flow / "moved.toml", "--out", tmp_path / "run", "--device", "cpu")
    assert done.status == 0, done.stderr
    assert "flow.h5 does not state that its equation" in done.stderr
    assert "data.symmetries" in done.stderr
