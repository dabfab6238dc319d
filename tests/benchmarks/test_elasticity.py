"""Errors of the elasticity set: rows of all elements and meshes."""

import pytest

from benchmarks.elasticity import RECIPES, TRIALS, chosen, errors, table
from pdeops.datasets.problems.elasticity import Elasticity
from pdeops.tasks import load_recipe

pytest.importorskip("skfem")


def test_errors_fall_with_the_mesh_and_the_order():
    problem = Elasticity(around=24, across=3, num_waves=2, refinement=2)
    rows = errors(2, problem)
    found = {(r["elements"], r["cells"]): float(r["error"]) for r in rows}
    assert set(found) == {(e, c) for e in ("linear", "quadratic") for c in ("24x3", "48x6")}
    for elements in ("linear", "quadratic"):
        assert found[elements, "48x6"] < 0.6 * found[elements, "24x3"]
    for cells in ("24x3", "48x6"):
        assert found["quadratic", cells] < 0.6 * found["linear", cells]
    assert {r["reference"] for r in rows} == {"192x24"}
    assert all(float(r["error"]) <= float(r["error_max"]) for r in rows)
    assert table(rows).count("\n") == 5


def test_the_best_trial_of_each_recipe_is_chosen():
    """Also where errors as text sort in another order than as numbers."""
    rows = [
        {"recipe": recipe, **{k: str(v) for k, v in trial.items()}, "validation_relative_l2": error}
        for recipe, errors in zip(RECIPES, (("0.9", "1e-1"), ("10.0", "9.0")), strict=True)
        for trial, error in zip(TRIALS, errors, strict=False)
    ]
    rates = [f"{TRIALS[1]['optimizer.lr']}"] * 2
    assert [chosen(rows, recipe)["optimizer.lr"] for recipe in RECIPES] == rates
    for recipe in RECIPES:
        settings = [f"{key}={value}" for key, value in chosen(rows, recipe).items()]
        assert load_recipe(recipe, settings).optimizer.arguments["lr"] == float(rates[0])
