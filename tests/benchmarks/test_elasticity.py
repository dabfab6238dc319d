"""Errors of the elasticity set: rows of all elements and meshes."""

import pytest

from benchmarks.elasticity import errors, table
from pdeops.datasets.problems.elasticity import Elasticity

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
