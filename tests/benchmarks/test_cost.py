import numpy as np
import pytest
import torch

from benchmarks import classical, cost


def test_slope_is_that_of_a_power_of_the_unknowns():
    assert cost.slope({n: 3e-8 * n**2.2 for n in cost.SIZES}) == pytest.approx(1.1)


def test_peak_of_memory_counts_a_field():
    """Touched, as the system counts pages that were written."""
    before = cost.memory("VmHWM")
    field = torch.ones(1 << 27, dtype=torch.uint8)
    assert cost.memory("VmHWM") - before > 0.5 * len(field)


def test_every_method_is_compared_with_one_that_is_there():
    assert {way.against for way in classical.WAYS.values()} - {""} <= set(classical.WAYS)


def test_methods_of_one_name_are_one(monkeypatch):
    """Our SSOR with ω = 1 and PyAMG's symmetric Gauss-Seidel: the same M, the same iterations."""
    monkeypatch.setattr(classical, "N", 31)
    p = classical.problem()
    ours, theirs = classical.WAYS["SSOR ω = 1, CG"], classical.WAYS[classical.TWIN]
    x, count = ours.solve(p, ours.setup(p))
    y, other = theirs.solve(p, theirs.setup(p))
    assert count == other
    np.testing.assert_allclose(x, y, rtol=1e-6)
