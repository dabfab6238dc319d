"""The bounds of random problems: none excludes the error, and all are close to it."""

import pytest

from benchmarks.certificates import PROBLEMS, study


def check(rows, most):
    """No violation; the upper bound within a factor 2 of the error in the median, 3 at worst."""
    assert [row["violated"] for row in rows] == [0] * len(rows)
    assert rows[-1]["cases"] == most
    for row in rows:
        assert 1 <= float(row["median"]) < 2, row
        assert float(row["worst"]) < 3, row
        assert 1 <= float(row["lower"]) < 3, row


def test_one_problem_of_each_kind():
    check(study(len(PROBLEMS)), 4 * len(PROBLEMS))


@pytest.mark.slow
def test_ten_thousand_cases():
    check(study(2500), 10_000)
