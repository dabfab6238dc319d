"""The bench of multigrid on a GPU, with the twins at small sizes."""

import argparse

import pytest
import torch

from benchmarks import multigrid_gpu


@pytest.mark.slow
def test_rows_of_small_problems_meet_the_tolerance():
    arguments = argparse.Namespace(
        planes=[20], boxes=[6], batch=12, columns=3, learned=[40], repeats=1, no_direct=True
    )
    rows = list(multigrid_gpu.measured(arguments, torch.device("cpu"), None))
    rows, learned = rows[:6], rows[6:]
    names = ["MultigridCG", "MultigridCG, vcycle_darcy", "MultigridCG, equal shares"]
    assert [row["method"] for row in learned] == names * 2
    assert [row["columns"] for row in learned] == [1] * 3 + [3] * 3
    assert all(float(row["residual"]) <= multigrid_gpu.RTOL for row in learned)
    assert all(row["iterations"] < 20 for row in learned)
    assert [row["unknowns"] for row in rows] == ["20 x 20"] * 2 + ["6 x 6 x 6"] * 2 + [
        "12 x 12"
    ] * 2
    assert [row["coefficient"] for row in rows] == ["constant", "jumps"] * 3
    assert all(float(row["residual"]) <= multigrid_gpu.RTOL for row in rows)


def test_compulsory_bytes_count_fields_and_stored_couplings():
    for jumps, count in ((False, 7), (True, 7 + 3 * 2)):
        problem = multigrid_gpu.Problem((4, 4), 1, jumps)
        device = torch.device("cpu")
        solver = multigrid_gpu.MultigridCG(problem.operator(device))
        assert multigrid_gpu.compulsory_bytes(solver, problem) == 4 * 7 * 7 * count
