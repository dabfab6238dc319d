"""The tables of refinement in the documentation are those of the committed figures."""

from pathlib import Path

import pytest

from benchmarks.bench import RESULTS
from benchmarks.refinement import store, table
from pdeops.compare.tables import read_csv

FIGURES = Path(__file__).parents[2] / "docs" / "figures.md"


@pytest.mark.parametrize("name", ["refinement", "refinement_sphere"])
def test_the_documentation_holds_the_committed_rows(name):
    rows = read_csv(RESULTS / f"{name}.csv")
    assert rows
    page = FIGURES.read_text(encoding="utf-8").splitlines()
    for line in table(rows).splitlines():
        assert line in page, "python -m benchmarks.refinement --show prints the table"


def test_a_case_that_is_measured_again_replaces_its_row(tmp_path):
    key = {"case": "a", "model": "m", "grid": "64x64", "frames": 10, "method": "g"}
    path = tmp_path / "refinement.csv"
    store(path, [{**key, "seed": 1, "eta": 5.0}, {**key, "seed": None, "eta": 7.0}])
    store(path, [{**key, "seed": 1, "eta": 6.0}, {**key, "grid": "128x128", "seed": 1, "eta": 8.0}])
    found = {(r["grid"], r["seed"]): r["eta"] for r in read_csv(path)}
    assert found == {("64x64", "1"): "6.0", ("64x64", ""): "7.0", ("128x128", "1"): "8.0"}
