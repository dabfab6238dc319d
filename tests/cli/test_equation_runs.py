"""Runs of the task `equation` on the command line: train, evaluate, predict."""

import json

from pdeops.datasets import open_dataset

RECIPE = """
task = "equation"
[equation]
name = "Heat"
diffusivity = 0.1
[model]
name = "PINN"
hidden_channels = 40
num_layers = 1
[features]
random = true
deviation = 0.5
[collocation]
points = 12
times = 12
steps = 1
[optimizer]
name = "GaussNewton"
damping = 0.0
[training]
epochs = 1
"""


def test_train_evaluate_predict(pdeops, tmp_path):
    recipe, run, out = tmp_path / "heat.toml", tmp_path / "run", tmp_path / "u.h5"
    recipe.write_text(RECIPE)
    assert pdeops("train", recipe, "--out", run).status == 0
    assert pdeops("evaluate", run, "--json").json["relative_l2"] < 1e-4
    assert "relative L2 error" in pdeops("evaluate", run).stdout
    arguments = ("predict", run, "--grid", 16, "--times", "0,0.5", "--out", out)
    assert pdeops(*arguments).status == 0
    dataset = open_dataset(out)
    assert (dataset.domain.shape, tuple(dataset.times)) == ((16,), (0.0, 0.5))
    refused = pdeops("predict", run, "--times", "0,later", "--out", tmp_path / "v.h5")
    assert refused.status == 1
    assert "--times takes numbers" in refused.stderr
    refused = pdeops("predict", run, "--data", out, "--out", tmp_path / "v.h5")
    assert "Leave out --data" in refused.stderr
    assert json.loads((run / "environment.json").read_text())["format_version"] == 2


def test_operators_take_no_grid_and_need_data(pdeops, workshop, tmp_path):
    out = tmp_path / "v.h5"
    refused = pdeops("predict", workshop.run, "--grid", 16, "--out", out)
    assert "are those of its data. Leave out grid" in refused.stderr
    assert "Name a file with --data" in pdeops("predict", workshop.run, "--out", out).stderr
