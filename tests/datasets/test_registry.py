"""The package: its registry and cards, and the guard against being imported as top-level
`datasets`."""

import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

from pdeops.datasets import DATASETS
from pdeops.datasets.problems.registry import ON_POINTS

ROOT = Path(__file__).resolve().parents[2]
PROBLEMS = {**DATASETS, **ON_POINTS}


@pytest.mark.parametrize("name", PROBLEMS)
def test_every_problem_has_a_card_that_names_its_kinds_and_parameters(name):
    card = (resources.files("pdeops.datasets.cards") / f"{name}.md").read_text(encoding="utf-8")
    for heading in ("Equation", "Kinds", "Grid", "Solver", "Cost", "Difficulty", "Licence"):
        assert f"**{heading}.**" in card
    for field in PROBLEMS[name].fields:
        assert f'"{field.name}"' in card or field.role == "parameter"
    for kind in PROBLEMS[name].KINDS:
        assert f"`{kind}`" in card
        for key, value in PROBLEMS[name](kind).parameters.items():
            assert f"`{key}` {value:g}" in card


def test_a_stray_import_of_datasets_says_what_happened():
    done = subprocess.run(
        [sys.executable, "-c", "import datasets"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "was imported as 'datasets'" in done.stderr
    assert "python -P" in done.stderr
