"""The bench of one-step models: its settings fit the recipes, its table has the rows' figures."""

import pytest

from benchmarks.rollouts import MODELS, OBJECTIVES, PUBLISHED, SIZES, mean_and_range, table
from benchmarks.trainings import overrides
from pdeops.tasks import load_recipe


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("model", MODELS)
def test_the_settings_fit_the_recipes(model, objective):
    settings = {**SIZES["small"].settings(model), **OBJECTIVES[objective]}
    pairs = [text.removeprefix("--set=") for text in overrides(settings)]
    recipe = load_recipe(f"{model}_navier_stokes_rollout", pairs)
    assert recipe.rollout.noise == 0
    assert (recipe.rollout.steps, recipe.rollout.pushforward) == {
        "plain": (1, 0),
        "pushforward": (2, 1),
    }[objective]
    assert recipe.model.arguments["hidden_channels"] == 16


def row(objective, seed, error, time, censored=0):
    return {
        "size": "tiny", "model": "fno", "objective": objective, "seed": str(seed), "nodes": "32",
        "solver_nodes": "64",
        "trajectories": "40", "t_end": "15", "minutes": "0.4", "parameters": "1000", "epochs": "7",
        "relative_l2": str(error), "relative_l2_end": str(2 * error), "correlation_time": str(time),
        "censored": str(censored), "correlation_time_95": str(time / 2), "censored_95": "0",
        "persistence": "1.0", "persistence_correlation_time": "1.5",
        "blown_up": "1",
    }  # fmt: skip


def test_the_table_has_means_and_ranges():
    text = table(
        [row("plain", 0, 0.1, 8.0), row("plain", 1, 0.3, 12.0, censored=1),
         row("pushforward", 0, 0.2, 9.0)]
    )  # fmt: skip
    assert "solved on 64 nodes per axis" in text
    assert text.endswith(PUBLISHED)
    lines = [line for line in text.splitlines() if line.startswith("| fno")]
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in lines]
    assert cells[0][4:] == [
        "2",
        "0.2 (0.1 to 0.3)",
        "0.4 (0.2 to 0.6)",
        "≥ 10 (8 to 12)",
        "5 (4 to 6)",
        "2",
    ]
    assert cells[1][4:] == ["1", "0.2", "0.4", "9", "4.5", "1"]
    assert mean_and_range([1.0]) == "1"
