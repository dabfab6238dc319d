"""The package: its registry and cards, and the guard against being imported as top-level
`datasets`."""

import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

from pdeops.datasets import DATASETS

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", DATASETS)
def test_every_problem_has_a_card_that_names_its_kinds_and_parameters(name):
    card = (resources.files("pdeops.datasets.cards") / f"{name}.md").read_text(encoding="utf-8")
    for heading in ("Equation", "Kinds", "Grid", "Solver", "Cost", "Difficulty", "Licence"):
        assert f"**{heading}.**" in card
    for field in DATASETS[name].fields:
        assert f'"{field.name}"' in card
    for kind in DATASETS[name].KINDS:
        assert f"`{kind}`" in card
        for key, value in DATASETS[name](kind).parameters.items():
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
