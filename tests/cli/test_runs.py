"""`pdeops runs` and the report of `pdeops evaluate`, on a small trained run."""

import csv
import shutil

import pytest
import torch

from pdeops.compare.run_listing import differences, listed


@pytest.fixture
def two(workshop, tmp_path):
    """The run, and a copy whose recipe has another rate and more epochs: it is unfinished."""
    for name in ("one", "two"):
        shutil.copytree(workshop.run, tmp_path / "runs" / name)
    recipe = tmp_path / "runs" / "two" / "recipe.toml"
    text = recipe.read_text(encoding="utf-8")
    changed = text.replace("epochs = 2", "epochs = 9").replace("lr = 0.002", "lr = 0.5")
    assert changed != text
    recipe.write_text(changed, encoding="utf-8")
    return tmp_path / "runs"


def test_runs_are_listed(pdeops, two, workshop):
    (two / "no run").mkdir()
    first, second = pdeops("runs", two, "--json").json["runs"]
    with open(workshop.run / "metrics.csv", newline="") as lines:
        *_, last = csv.DictReader(lines)
    best = torch.load(workshop.run / "checkpoints" / "best.pt", weights_only=True)
    assert (first["state"], second["state"]) == ("finished", "unfinished")
    assert (first["epochs"], first["planned"], second["planned"]) == (2, 2, 9)
    assert first["seconds"] == pytest.approx(float(last["seconds"]), abs=1.0)
    assert first["data"] == "train.h5"
    assert first["metric"] == "relative_l2"
    weights = {k: v for k, v in best["model"].items() if "normalizer" not in k}
    assert first["parameters"] == sum(v.numel() for v in weights.values())


def test_two_runs_are_compared(pdeops, two):
    found = pdeops("runs", two / "one", two / "two", "--json").json
    assert found["differences"] == {"optimizer.lr": [0.002, 0.5], "training.epochs": [2, 9]}
    one, other = found["validation"]["relative_l2"]
    assert one == other == found["runs"][0]["best"]
    table = pdeops("runs", two / "one", two / "two").stdout
    assert "optimizer.lr" in table
    assert "differences" not in pdeops("runs", two, "--json").json


def test_keys_that_one_recipe_lacks():
    a, b = {"model": {"name": "FNO", "width": 4}}, {"model": {"name": "FNO"}, "seed": 1}
    assert differences([a, b]) == {"model.width": [4, None], "seed": [None, 1]}
    assert differences([a, a, b]) == {"model.width": [4, 4, None], "seed": [None, None, 1]}
    assert differences([a, a]) == {}


def test_damaged_runs_are_named(pdeops, two):
    (two / "one" / "checkpoints" / "last.pt").unlink()
    (two / "two" / "checkpoints" / "last.pt").write_bytes(b"PK no")
    first, second = (listed(two / name) for name in ("one", "two"))
    assert first.state == "no checkpoint"
    assert second.state.startswith("not readable: ")
    assert second.model == "FNO"
    found = pdeops("runs", two / "one", two / "two", "--json").json
    assert [run["state"] for run in found["runs"]] == [first.state, second.state]
    assert found["differences"]["training.epochs"] == [2, 9]
    assert found["validation"] == {}
    done = pdeops("runs", two / "nothing")
    assert done.status == 1
    assert "is not a folder" in done.stderr
    (two / "empty").mkdir()
    assert "no run below" in pdeops("runs", two / "empty").stderr


@pytest.mark.slow
def test_evaluate_writes_a_report(pdeops, workshop, tmp_path):
    import xarray

    out = tmp_path / "report"
    done = pdeops("evaluate", workshop.run, "--report", out, "--json")
    assert done.status == 0, done.stderr
    with xarray.open_dataset(out / "errors.nc", engine="h5netcdf") as data:
        found = data["relative_l2"].load()
    assert found.sizes["sample"] == 4
    assert float(found.mean()) == pytest.approx(done.json["relative_l2"], rel=1e-5)
    text = (out / "report.md").read_text(encoding="utf-8")
    assert f"largest relative_l2: sample {int(found.values.argmax())} (" in text
    for heading in ("Problem", "Errors of single samples", "Worst cases", "Spectra", "Training"):
        assert f"## {heading}" in text
    assert str(workshop.folder) not in text
    assert str(workshop.folder) not in (out / "report.html").read_text(encoding="utf-8")


def test_a_missing_test_file_is_named_in_the_report(workshop, tmp_path):
    from pdeops.compare.report import write_report
    from pdeops.tasks import load_run

    run = load_run(workshop.run)
    data = {"absent": tmp_path / "absent.h5"}
    text = write_report(tmp_path, title="T", runs={"FNO": run}, data=data).read_text()
    assert "Not measured: FNO on absent." in text
    assert str(tmp_path) not in text
    assert "## Spectra" not in text
