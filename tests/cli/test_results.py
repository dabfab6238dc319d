"""What results look like: definitions beside metrics, Markdown in a terminal, a run at a glance."""

import numpy as np
import pytest
import rich.console

import pdeops as package
from pdeops.cli import output

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
    done = pdeops("train", flow / "flow.toml", "--out", tmp_path / "run", "--device", "cpu")
    assert done.status == 0, done.stderr
    assert "does not state" not in done.stderr
    message = ("data name no equation", "pdeops data generate")
    refused(pdeops("compare", tmp_path / "run"), *message)
    assert "1 frame(s) to 1" in repr(package.load_run(tmp_path / "run"))


def test_symmetries_of_foreign_data_are_assumed_aloud(pdeops, flow, tmp_path):
    done = pdeops("train", flow / "moved.toml", "--out", tmp_path / "run", "--device", "cpu")
    assert done.status == 0, done.stderr
    assert "flow.h5 does not state that its equation" in done.stderr
    assert "data.symmetries" in done.stderr
