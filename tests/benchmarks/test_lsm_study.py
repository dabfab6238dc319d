"""The study of LSM at toy size: settings fit the recipes, rows are kept, grids are evaluated."""

import pytest

from benchmarks import lsm_study as module
from benchmarks.lsm_study import SIZES, TABLES, Data, darcy, markdown, resolution, study
from pdeops.compare.tables import read_csv
from pdeops.domain import Grid
from pdeops.models import MODELS
from pdeops.nn.parameters import num_parameters
from pdeops.tasks import load_recipe

SMALL = {"model.hidden_channels": 8, "model.levels": 2}


@pytest.fixture
def toy(monkeypatch, pdeops_here):
    """A few samples on 17 x 17 nodes, and two small models."""
    pdeops_here(module)
    data = Data("lsm_darcy85", darcy("17"), 4, 2, 2, epochs=1)
    monkeypatch.setitem(module.SIZES, "toy", {"darcy85": data})
    models = {"LSM": SMALL, "plain U-Net": {**SMALL, "model.num_tokens": 0}}
    monkeypatch.setitem(module.TABLES, "toy", models)
    monkeypatch.setattr(module, "TRAINED_ON", 17)
    monkeypatch.setattr(module, "EVALUATED_ON", ("17", "21,33"))


@pytest.mark.parametrize("table", TABLES)
def test_the_settings_fit_the_recipes(table):
    """The models that the tables name are built, and the rows of an ablation differ in one part."""
    grid = Grid((64, 64))
    for data in SIZES["cpu"].values():
        sizes = {}
        for label, settings in TABLES[table].items():
            recipe = load_recipe(data.recipe, [f"{k}={v}" for k, v in settings.items()])
            model = MODELS[recipe.model.name](1, 1, grid, **recipe.model.arguments)
            sizes[label] = num_parameters(model)
        assert len(set(sizes.values())) == len(sizes)
        blocks = sizes["4 tokens, 12 basis functions" if table == "ablation" else "LSM"]
        plain = sizes["no block" if table == "ablation" else "plain U-Net"]
        assert 0.05 < 1 - plain / blocks < 0.15  # the blocks hold a tenth of the parameters


@pytest.mark.slow
def test_rows_are_computed_once_and_averaged(toy, tmp_path, monkeypatch):
    out = tmp_path / "study.csv"
    study("toy", "toy", [0], tmp_path / "data", tmp_path / "runs", out)
    rows = read_csv(out)
    assert [row["model"] for row in rows] == ["LSM", "plain U-Net"]
    assert all(float(row["relative_l2"]) > 0 for row in rows)
    monkeypatch.setattr(module, "trained", None)  # nothing is trained again
    study("toy", "toy", [0], tmp_path / "data", tmp_path / "runs", out)
    assert read_csv(out) == rows
    twice = [{**rows[0], "relative_l2": "0.1"}, {**rows[0], "seed": "1", "relative_l2": "0.3"}]
    assert markdown(twice).splitlines()[-1].split("|")[-3:-1] == [" 2 ", " 20.00 ± 14.14 "]


@pytest.mark.slow
def test_other_grids_are_evaluated(toy, tmp_path):
    out = tmp_path / "resolution.csv"
    resolution("toy", 0, tmp_path / "data", tmp_path / "runs", out, SMALL)
    rows = read_csv(out)
    assert [row["evaluated_on"] for row in rows] == ["17", "21x33"]
    assert rows[0]["ratio"] == "1.000"
    expected = float(rows[1]["relative_l2"]) / float(rows[0]["relative_l2"])
    assert float(rows[1]["ratio"]) == pytest.approx(expected, rel=1e-3)
