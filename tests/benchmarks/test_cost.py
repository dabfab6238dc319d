"""The tables of cost and of classical methods: slopes, memory, ratios and residuals."""

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import classical, cost


def test_slope_is_that_of_a_power_of_the_unknowns():
    assert cost.slope({n: 3e-8 * n**2.2 for n in cost.SIZES}) == pytest.approx(1.1)


def test_peak_of_memory_counts_a_field():
    """Touched, as the system counts pages that were written. The peak is that of this test: the
    tests before it in this process may have needed more."""
    Path("/proc/self/clear_refs").write_text("5")
    before = cost.memory("VmHWM")
    field = torch.ones(1 << 27, dtype=torch.uint8)
    assert cost.memory("VmHWM") - before > 0.5 * len(field)


def test_every_method_is_compared_with_one_that_is_there():
    assert {m.against for m in classical.METHODS.values()} - {""} <= set(classical.METHODS)


def test_methods_of_one_name_are_one(monkeypatch):
    """Our SSOR with ω = 1 and PyAMG's symmetric Gauss-Seidel: the same M, the same iterations."""
    monkeypatch.setattr(classical, "N", 31)
    p = classical.problem()
    ours, theirs = classical.METHODS["SSOR ω = 1, CG"], classical.METHODS[classical.TWIN]
    x, y = (method.solve(p, method.setup(p)) for method in (ours, theirs))
    assert x.iterations == y.iterations > 0
    np.testing.assert_allclose(x.x, y.x, rtol=1e-6)


def test_the_table_of_classical_methods(monkeypatch):
    """Every method has its row with the true residual, and ratios are of set-up and solution."""
    monkeypatch.setattr(classical, "N", 31)
    monkeypatch.setattr(classical, "REPEATS", 1)
    rows = {row["method"]: row for row in classical.measure()}
    assert list(rows) == list(classical.METHODS)
    sweeps = {name for name in rows if "sweeps" in name}
    assert all(float(row["residual"]) < 1.1e-8 for name, row in rows.items() if name not in sweeps)
    assert {rows[name]["iterations"] for name in sweeps} == {str(classical.SWEEPS)}
    ours, theirs = rows["CG"], rows["scipy CG"]
    ratio = (float(theirs["setup_s"]) + float(theirs["solve_s"])) / (
        float(ours["setup_s"]) + float(ours["solve_s"])
    )
    assert float(ours["times_faster"]) == pytest.approx(ratio, abs=0.0051)  # two decimals
    assert (ours["than"], theirs["times_faster"], theirs["than"]) == ("scipy CG", "", "")
