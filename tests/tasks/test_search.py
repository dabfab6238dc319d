"""Search over hyperparameters: the space, equal seconds, continuation, failures and the cost."""

import json
import math
import shutil
import statistics

import pytest

from pdeops.compare.runs import training_time
from pdeops.compare.tables import read_csv
from pdeops.datasets import Darcy, generate
from pdeops.tasks import load_recipe, load_run, search
from pdeops.tasks.search import search as run_search
from pdeops.tasks.search_space import Axis, usual_axes
from pdeops.training import DivergedError


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """An FNO on 9² nodes, as a file."""
    folder = tmp_path_factory.mktemp("data")
    problem = Darcy(num_modes=8)
    generate(problem, problem.grid((9, 9)), num_samples=6, seed=0, out=folder / "train.h5")
    file = folder / "small.toml"
    file.write_text(f"""
task = "supervised"
name = "small"
[data]
train = "{folder / "train.h5"}"
test = "{folder / "train.h5"}"
validation = 2
[model]
name = "FNO"
n_modes = [4, 4]
hidden_channels = 4
n_layers = 1
[training]
batch_size = 4
""")
    return file


@pytest.fixture
def trainings(monkeypatch):
    """Trainings in no time: an epoch takes 0.01 s per channel, the error is that of the rate."""
    seen = []

    def train(recipe, *, out, device):
        width, epochs = recipe.model.arguments["hidden_channels"], recipe.training.epochs
        seen.append((width, epochs))
        if width == 13:
            raise ValueError("an unlucky width")
        (out / "checkpoints").mkdir(parents=True)
        if width == 14 and epochs != search.PROBE:
            return {"reason": "interrupted"}
        if width == 15 and epochs != search.PROBE:
            raise DivergedError(f"the loss is nan in {out}")
        (out / "recipe.toml").write_text(recipe.to_toml())
        lines = [f"{i},{0.01 * width * (i + 1)}" for i in range(epochs)]
        (out / "metrics.csv").write_text("\n".join(["epoch,seconds", *lines]) + "\n")
        rate = recipe.optimizer.arguments["lr"]
        state = {"best": {"value": abs(math.log10(rate / 2e-3))}, "seconds": 0.01 * width * epochs}
        (out / "checkpoints" / "last.pt").write_text(json.dumps(state))
        return {"reason": "finished", "epochs": epochs}

    monkeypatch.setattr(search, "train", train)
    monkeypatch.setattr(search.checkpoint, "load", lambda path: json.loads(path.read_text()))
    return seen


def test_axes():
    rate = Axis.parsed("optimizer.lr=1e-4..1e-2")
    assert (rate.low, rate.high, rate.logarithmic) == (1e-4, 1e-2, True)
    assert not Axis.parsed("model.dropout=0..0.2").logarithmic
    modes = Axis.parsed("model.n_modes=[[8, 8], [12, 12]]")
    assert modes.choices == ("[8, 8]", "[12, 12]")
    assert modes.place_of([12, 12]) == "[12, 12]"
    assert modes.place_of([9, 9]) is None
    assert rate.place_of(1.0) is None
    layers = Axis.parsed("model.n_layers=1..4")
    assert (layers.place_of(2), layers.place_of(2.5)) == (2, None)
    assert str(layers) != str(Axis.parsed("model.n_layers=1.0..4.0"))
    for axis, value in ((rate, 1.23456789e-3), (layers, 3), (modes, "[8, 8]")):
        assert axis.value(axis.text(value)) == value
    for text in (
        *("lr", "lr=1e-3", "lr=[1]", "lr=2..1", "=1..2", "lr=a..b", "lr=1e-4..inf"),
        "lr=[1979-05-27, 1979-05-28]",
    ):
        with pytest.raises(ValueError, match=r"is KEY=LOW\.\.HIGH"):
            Axis.parsed(text)


def test_usual_axes_are_around_the_recipe(recipe):
    found = {axis.key: axis for axis in usual_axes(load_recipe(recipe))}
    assert set(found) == {"optimizer.lr", "model.hidden_channels", "model.n_layers"}
    assert found["model.hidden_channels"].choices == ("2", "4", "6", "8")
    rate = load_recipe(recipe).optimizer.arguments["lr"]
    assert found["optimizer.lr"].low == pytest.approx(rate / 10)


def test_trials_have_equal_seconds_and_the_best_wins(recipe, trainings, tmp_path):
    axes = [Axis.parsed("optimizer.lr=1e-5..1e-1"), Axis.parsed("model.hidden_channels=[4, 8]")]
    report = run_search(recipe, axes, trials=25, seconds=1.0, out=tmp_path / "s", device="cpu")
    rows = report.rows
    assert len(rows) == 25
    assert {int(r["epochs"]) for r in rows} == {25, 12}  # 1 s of 0.04 s and of 0.08 s
    first = load_recipe(recipe).optimizer.arguments["lr"]
    assert float(rows[0]["optimizer.lr"]) == first
    assert trainings.count((4, search.PROBE)) == trainings.count((8, search.PROBE)) == 1
    best = min(rows, key=lambda r: float(r["error"]))
    assert report.best == tmp_path / "s" / "trials" / f"{int(best['trial']):04d}"
    errors = [float(r["error"]) for r in rows]
    assert min(errors) < 0.1  # of 4 decades
    assert statistics.median(errors[-10:]) < 0.7  # about 1 without a model of the error
    assert rows[0]["seconds"] == "1.1"  # 25 epochs and the 2 of the probe
    stated = json.loads((report.best / "search.json").read_text())
    assert stated["trials"] == 25
    others = sum(float(r["seconds"]) for r in rows if r is not best)
    assert stated["seconds_of_the_others"] == pytest.approx(others)
    assert str(report.best) in report.to_markdown()
    assert report.to_dict()["seconds"] == pytest.approx(others + float(best["seconds"]))


def test_goes_on_where_it_stopped(recipe, trainings, tmp_path, monkeypatch):
    """With the trials of a search without stops, also after a kill before a trial is recorded."""
    axes = [Axis.parsed("optimizer.lr=1e-5..1e-1")]
    given = {"seconds": 0.2, "device": "cpu"}
    whole = run_search(recipe, axes, trials=12, out=tmp_path / "whole", **given).rows
    assert len({row["optimizer.lr"] for row in whole}) == 12

    out = tmp_path / "parts"
    run_search(recipe, axes, trials=3, out=out, **given)
    number = len(trainings)
    with monkeypatch.context() as killed:
        killed.setattr(search, "write_csv", lambda file, rows: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run_search(recipe, axes, trials=12, out=out, **given)
    (out / "trials" / "0003_probe" / "checkpoints").mkdir(parents=True)
    report = run_search(recipe, axes, trials=12, out=out, **given)
    assert len(trainings) == number + (1 + 1) + (1 + 9)  # each call has a probe
    assert [row["optimizer.lr"] for row in report.rows] == [row["optimizer.lr"] for row in whole]
    assert [row["trial"] for row in report.rows] == [str(n) for n in range(12)]
    assert sum(1 for _ in out.glob("trials/*/search.json")) == 1
    with pytest.raises(ValueError, match="a search with another axes"):
        run_search(recipe, [Axis.parsed("optimizer.lr=1e-4..1e-1")], trials=6, out=out, **given)
    (out / "search.csv").write_text("trial,error\n0,1.0\n")
    with pytest.raises(ValueError, match="has the columns trial, error; expected trial, opt"):
        run_search(recipe, axes, out=out, **given)


def test_two_searches_do_not_write_the_same_folder(recipe, trainings, tmp_path):
    """The second begins while the first one runs, and again after its end."""
    axes, given = [Axis.parsed("optimizer.lr=1e-5..1e-1")], {"seconds": 0.2, "device": "cpu"}
    refused = []

    def second(row):
        with pytest.raises(ValueError, match="another process") as error:
            run_search(recipe, axes, trials=9, out=tmp_path / "s", **given)
        refused.append(str(error.value))

    first = run_search(recipe, axes, trials=2, out=tmp_path / "s", progress=second, **given)
    assert len(refused) == len(first.rows) == 2
    assert str(tmp_path / "s") in refused[0]
    assert len(run_search(recipe, axes, trials=3, out=tmp_path / "s", **given).rows) == 3


def test_a_deleted_run_is_passed_over(recipe, trainings, tmp_path):
    given = {"axes": [Axis.parsed("optimizer.lr=1e-5..1e-1")], "seconds": 0.2, "out": tmp_path}
    report = run_search(recipe, trials=4, device="cpu", **given)
    shutil.rmtree(report.best)
    second = sorted(report.rows, key=lambda row: float(row["error"]))[1]
    again = run_search(recipe, trials=4, device="cpu", **given)
    assert again.rows == report.rows
    assert again.best.name == f"{int(second['trial']):04d}"
    assert (again.best / "search.json").is_file()
    assert f"run of trial {int(report.best.name)}, the best one, was del" in again.to_markdown()
    assert "the best one" not in report.to_markdown()


def test_failures_are_recorded(recipe, trainings, tmp_path):
    axes = [Axis.parsed("model.hidden_channels=[4, 13, 15]")]
    given = {"seconds": 0.2, "device": "cpu"}
    report = run_search(recipe, axes, trials=12, out=tmp_path / "a", **given)
    reasons = {row["model.hidden_channels"]: row["failed"] for row in report.rows}
    assert reasons.pop("15").startswith("the loss is nan in trials/")
    assert reasons == {"4": "", "13": "an unlucky width"}
    assert all(bool(row["error"]) == (not row["failed"]) for row in report.rows)

    given["out"] = tmp_path / "b"
    with pytest.raises(ValueError, match="an unlucky width"):
        run_search(recipe, axes, overrides=["model.hidden_channels=13"], **given)
    # A search without trials can be another one. That its first trial diverges is a result.
    first = ["model.hidden_channels=15"]
    report = run_search(recipe, axes, overrides=first, trials=1, **given)
    assert report.rows[0]["failed"] == "the loss is nan in trials/0000"
    assert report.best is None


def test_an_interrupt_keeps_the_trials_before(recipe, trainings, tmp_path):
    axes = [Axis.parsed("model.hidden_channels=[4, 14]")]
    given = {"seconds": 0.2, "out": tmp_path, "device": "cpu"}
    report = run_search(recipe, axes, trials=12, **given)
    assert report.interrupted
    assert {row["model.hidden_channels"] for row in report.rows} == {"4"}
    assert read_csv(tmp_path / "search.csv") == report.rows
    number = len(report.rows)
    assert not (tmp_path / "trials" / f"{number:04d}").exists()
    assert f"Interrupted in trial {number}. " in report.to_markdown()
    again = run_search(recipe, axes, trials=12, **given)
    assert (again.rows, again.interrupted) == (report.rows, True)


def test_what_changes_the_seconds_of_an_epoch_is_measured_again(recipe, trainings, tmp_path):
    axes = [Axis.parsed("optimizer.lr=1e-5..1e-1"), Axis.parsed('optimizer.name=["Adam", "AdamW"]')]
    rows = run_search(recipe, axes, trials=8, seconds=1, out=tmp_path, device="cpu").rows
    assert {row["optimizer.name"] for row in rows} == {'"Adam"', '"AdamW"'}
    assert trainings.count((4, search.PROBE)) == 2
    # The name is set first; it clears the arguments of another class.
    for row in rows:
        run = load_recipe(tmp_path / "trials" / f"{int(row['trial']):04d}" / "recipe.toml")
        assert repr(run.optimizer.arguments["lr"]) == row["optimizer.lr"]


def test_bad_input(recipe, tmp_path):
    rate = Axis.parsed("optimizer.lr=1e-4..1e-2")
    for given, message in (
        ({"axes": [rate, rate]}, "has two axes"),
        ({"axes": [Axis.parsed("training.epochs=1..3")]}, "follow from --seconds"),
        ({"axes": [Axis.parsed("modle.width=1..3")]}, r"modle\.width = 1 \.\. 3 does.*'model'"),
        ({"axes": [Axis.parsed("model.hiden=1..3")]}, "Unknown key 'hiden' in .model."),
        ({"axes": [Axis.parsed("width=1..3")]}, "Unknown key 'width' in recipe"),
        ({"axes": [Axis.parsed('model.name=["FNO", "MgN"]')]}, "Unknown model 'MgN'.*MgNO"),
        ({"axes": [Axis.parsed("training.ema=0.5..1.5")]}, "ema must be in"),
        ({"trials": 0}, "1 trial or more"),
        ({"seconds": math.inf}, "positive seconds"),
    ):
        with pytest.raises(ValueError, match=message):
            run_search(recipe, out=tmp_path, **given)
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
def test_on_the_command_line(recipe, tmp_path, monkeypatch, capsys):
    """A real search of two trials: its best run loads, and its training costs what both took."""
    from pdeops.cli import search as cli

    cli.command(
        str(recipe), vary=["optimizer.lr=1e-3..2e-3"], trials=2, seconds=0.1, out=tmp_path / "s",
        device="cpu", json=True,
    )  # fmt: skip
    report = json.loads(capsys.readouterr().out)
    run = load_run(report["best"])
    assert training_time(run) == pytest.approx(report["seconds"], rel=0.5)
    assert training_time(run) > float(read_csv(run.folder / "metrics.csv")[-1]["seconds"])
