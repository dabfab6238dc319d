"""Rollouts trained on files of public formats as they are, without a conversion."""

import pytest

from pdeops.tasks import evaluate, load_recipe, load_run, train

from ..datasets.layouts import public_files as public


@pytest.mark.parametrize(
    ("write", "modes"), [(public.burgers, [4]), (public.fno_navier_stokes, [4, 4])]
)
def test_a_rollout_on_a_public_file(tmp_path, write, modes):
    write(tmp_path / "d")
    recipe = {
        "task": "rollout",
        "model": {"name": "FNO", "n_modes": modes, "hidden_channels": 4, "n_layers": 1},
        "optimizer": {"name": "AdamW", "lr": 1e-2},
        "training": {"epochs": 1, "batch_size": 4},
        "data": {"train": str(tmp_path / "d"), "test": str(tmp_path / "d"), "validation": 1},
    }
    train(load_recipe(recipe), out=tmp_path / "run", device="cpu")
    figures = evaluate(load_run(tmp_path / "run"))
    assert len(figures["error_at_times"]) == len(figures["times"]) >= 4
    assert figures["relative_l2"] < 10
