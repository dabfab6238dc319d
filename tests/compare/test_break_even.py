"""A cost is repaid after the least whole number of solves whose savings reach it."""

import math

import pytest

from pdeops.compare.break_even import break_even, break_even_text


@pytest.mark.parametrize(("cost", "saved"), [(50.0, 0.5), (1.0, 0.3), (0.0, 1.0), (7.0, 100.0)])
def test_the_least_whole_number_of_solves(cost, saved):
    n = break_even(cost, saved)
    assert n == int(n)
    assert n * saved >= cost
    assert n == 0 or (n - 1) * saved < cost


def test_where_nothing_is_saved_it_is_never():
    assert break_even(50.0, 0.0) == break_even(0.0, -1.0) == break_even(None, -1.0) == math.inf
    assert break_even(None, 0.5) is None


def test_round_off_costs_no_solve():
    assert 60.0 / (1.4 - 0.9) > 120
    assert break_even(60.0, 1.4 - 0.9) == 120
    assert break_even(60.001, 0.5) == 121


def test_texts():
    assert [break_even_text(n) for n in (12_000.0, math.inf, None)] == [
        "12,000",
        "never",
        "not known",
    ]
