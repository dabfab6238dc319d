"""The table of the zoo: every model is in it, and docs/figures.md states what its rows say."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import BENCHES, main
from benchmarks.bench import RESULTS
from benchmarks.zoo import SETS, placed, settings_of, with_section
from benchmarks.zoo_table import duels, sentences, summary, timed
from pdeops.compare.tables import read_csv
from pdeops.datasets import problem_named
from pdeops.models import MODELS
from pdeops.tasks import load_recipe

LEFT_OUT = {"PublishedMgNO", "PublishedLSM", "PublishedPointLSM"}  # the docstring says why


@pytest.mark.parametrize("name", SETS)
def test_every_operator_that_fits_a_set_is_trained_on_it(name):
    """Only trajectories have the axis of time that some models need."""
    plan = SETS[name]
    domain = type(problem_named(plan.problem, plan.kind, **plan.parameters).grid(plan.shape))
    fitting = {
        model
        for model, cls in MODELS.items()
        if domain in getattr(cls, "domains", ())
        and (name == "navier_stokes" or not getattr(cls, "has_time", False))
    }
    assert set(plan.models) == fitting - LEFT_OUT
    for model, entry in plan.models.items():
        settings = settings_of(name, model, Path("folder")).items()
        recipe = load_recipe(entry.recipe, [f"{key}={value}" for key, value in settings])
        assert recipe.model.name == model
        assert recipe.data.train == f"folder/{name}.h5"


def line(method, kind, ratio="", *, batch=1, decided="yes", error=0.1, **given):
    return {
        "set": "darcy", "grid": "9", "test_grid": "9", "shift": "",
        "method": method, "kind": kind, "label": method, "batch": str(batch),
        "error": str(error), "seconds": "0.001", "epochs": "3", "opponent": ratio and "cycle",
        "ratio": ratio, "ratio_low": ratio and str(float(ratio) / 2),
        "ratio_high": ratio and str(1.5 * float(ratio)), "decided": decided, "pays_after": "77",
        **given,
    }  # fmt: skip


ROWS = [
    line("A", "operator", "4", error=0.3), line("A", "operator", "0.5", batch=32, error=0.3),
    line("B", "operator", "9", error=0.2), line("B", "operator", "3", batch=32, error=0.2),
    line("C", "operator", "0.9", decided="no", error=0.4),
    line("D", "operator", "2", error=0.25), line("E", "operator", error=0.01),
    line("A", "operator", error=0.9, shift="contrast"), line("A", "operator", "0.1", grid="5"),
    line("cycle", "classical", error=0.02), line("slow", "classical", error=0.01, seconds="0.002"),
    line("POD", "reduced", error=0.21),
]  # fmt: skip


def test_the_words_follow_from_the_rows():
    """Wins, losses and what is undecided; a surrogate of 21 % has no more error than A, C, D."""
    (text,) = sentences(ROWS)
    assert "A wins in batches of 32: for 30.0 % it takes 0.5× (0.25× to 0.75×)" in text
    assert "training after 77 solves" in text
    assert "E wins: with 1.00 % it is more accurate than every classical solve" in text
    assert "Undecided on this machine: C (0.9×)." in text
    assert "equal or less error: 2 of 5 networks. The closest is D: for 25.0 %" in text
    assert "The most accurate of them, B with 20.0 %, takes 3× (1.5× to 4.5×)" in text
    assert "In the seconds of E (1.00 %), one problem at a time, the most accurate" in text
    assert "classical solve is cycle: 2.00 %." in text
    assert "no more error than 3 of the 5 networks" in text


def test_rows_and_reports_of_a_set_are_replaced():
    old = [line("old", "operator", set=n) for n in ("poisson", "elasticity")]
    new = [{**line("new", "operator", set=n), "dt": n} for n in ("poisson", "darcy")]
    rows = placed(old, new)
    found = [(row["set"], row["method"], row["dt"]) for row in rows]
    assert found == [
        ("darcy", "new", "darcy"),
        ("poisson", "new", "poisson"),
        ("elasticity", "old", ""),
    ]
    text = ""
    for report in ("# poisson\n\nold\n\n### Rows\n", "# darcy\n\nx\n", "# poisson\n\nnew\n"):
        text = with_section(text, report)
    assert text == "# darcy\n\nx\n\n# poisson\n\nnew\n"


def test_all_benches_end_with_the_zoo(monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(subprocess, "run", lambda command, check: calls.append(command[1:]))
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--out", str(tmp_path)])
    main()
    out = ["--out", str(tmp_path)]
    assert calls == [["-m", "benchmarks", n, *out] for n in BENCHES] + [
        ["-m", "benchmarks.zoo", *out]
    ]


def test_the_page_states_the_rows():
    rows = read_csv(RESULTS / "zoo.csv")
    page = Path(__file__).resolve().parents[2] / "docs" / "figures.md"
    assert summary(rows) in page.read_text(encoding="utf-8"), (
        "docs/figures.md states other rows: replace its table and the sentences below it by what "
        "`python -m benchmarks.zoo --table` prints, and read the paragraph after them."
    )
    for name, plan in SETS.items():
        assert set(duels(timed(rows, name))) == set(plan.models)
