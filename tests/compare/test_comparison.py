"""The logic of the verdict on rows with known figures; CSV and Markdown agree with the rows."""

import csv
import json
import math
import statistics
from dataclasses import replace

import numpy as np
import pytest

from pdeops.compare.duel import Cost, Duel, most_favourable, opponent_of, ratio_interval
from pdeops.compare.timing import Quartiles
from tests.compare.rows import CLASSICAL, comparison, fit, net, row


def test_the_opponent_is_the_cheapest_of_equal_or_better_error():
    assert opponent_of(net(0.05, 1e-3), CLASSICAL) is CLASSICAL[1]
    assert opponent_of(net(0.5, 1e-3), CLASSICAL) is CLASSICAL[0]
    assert opponent_of(net(0.03, 1e-3), CLASSICAL) is CLASSICAL[1], "equal error counts"
    assert opponent_of(net(0.03 - 1e-12, 1e-3), CLASSICAL) is CLASSICAL[2]
    assert opponent_of(net(0.009, 1e-3), CLASSICAL) is None


def test_an_accurate_solver_that_is_cheaper_than_a_coarse_one_is_the_opponent():
    better = row("direct", 0.001, 5e-5)
    assert opponent_of(net(0.5, 1e-3), [*CLASSICAL, better]) is better


def test_of_equally_cheap_opponents_the_more_accurate():
    twin = row("twin", 0.02, 4e-4)
    for order in ([*CLASSICAL, twin], [twin, *CLASSICAL]):
        assert opponent_of(net(0.05, 1e-3), order) is twin


def test_an_operator_is_no_opponent_of_another():
    other = net(0.0001, 1e-9, name="other")
    assert opponent_of(net(0.05, 1e-3), [other, *CLASSICAL]) is CLASSICAL[1]


def test_break_even_is_cost_over_seconds_saved():
    duel = Duel(net(0.05, 1e-4), CLASSICAL[1], Cost(90.0, 10.0))
    assert duel.ratio == pytest.approx(0.25)
    n = duel.break_even  # 100 s / 3e-4 s
    assert n == 333_334
    assert n * 3e-4 >= 100 > (n - 1) * 3e-4
    assert duel.break_even_text == "333,334"


def test_of_an_unknown_cost_nothing_is_claimed():
    duel = Duel(net(0.05, 1e-4), CLASSICAL[1], Cost())
    assert duel.break_even is None
    assert duel.break_even_text == "not known"
    assert (
        "the cost of its data and training is not known"
        in comparison(net(0.05, 1e-4), cost=Cost()).verdict
    )


@pytest.mark.parametrize("seconds", [4e-4, 5e-4])
def test_nothing_saved_never_breaks_even(seconds):
    duel = Duel(net(0.05, seconds), CLASSICAL[1], Cost(0.0, 0.0))
    assert duel.ratio >= 1
    assert math.isinf(duel.break_even)
    assert duel.break_even_text == "never"


def test_an_unknown_cost_gives_a_lower_bound():
    duel = Duel(net(0.05, 1e-4), CLASSICAL[1], Cost(training_seconds=30.0))
    assert duel.break_even == 100_000
    assert duel.break_even_text == "at least 100,000"


def test_most_favourable_is_unmatched_accuracy_then_the_smallest_ratio():
    lost, close, won, unmatched = (
        Duel(net(0.05, 8e-4), CLASSICAL[1], Cost()),
        Duel(net(0.04, 5e-4), CLASSICAL[1], Cost()),
        Duel(net(0.02, 1e-3), CLASSICAL[2], Cost()),
        Duel(net(0.001, 9.0), None, Cost()),
    )
    assert most_favourable([lost, close]) is close
    assert most_favourable([lost, close, won]) is won
    assert most_favourable([lost, won, unmatched]) is unmatched
    with pytest.raises(ValueError, match="no duel"):
        most_favourable([])


def test_the_verdict_of_a_lost_comparison():
    verdict = comparison(net(0.05, 4e-3), net(0.05, 2e-3, batch=8)).verdict
    assert "\n" not in verdict
    assert "(on 33×33, batch 8) has 5.00 % error in 2.00 ms" in verdict
    assert "solver on 17×17 to 1e-04 (3.00 % in 400 µs)" in verdict
    assert "takes 5× its seconds (it is 0.2× as fast) and never pays" in verdict
    assert "one problem at a time" in verdict
    assert "10× the seconds of solver on 17×17" in verdict


def test_the_verdict_of_a_won_comparison():
    verdict = comparison(net(0.05, 1e-4)).verdict
    assert "takes 0.25× its seconds (it is 4× as fast)" in verdict
    assert "after 333,334 solves" in verdict
    assert "one problem at a time" not in verdict, "the best row is that of batch 1"


def test_the_verdict_where_no_classical_row_is_as_accurate():
    assert "no classical row measured reaches that error" in comparison(net(0.001, 1.0)).verdict


def test_predictions_that_are_not_finite_win_nothing():
    """The operator is fast, and every solve has a smaller error than infinity."""
    broken = net(math.inf, 1e-6)
    study = comparison(broken, fit(0.1, 1e-5), against=["solver"])
    assert study.verdict == (
        "net predicts values that are not finite, so it has no error to compare. See its "
        "training: pdeops runs shows the validation error."
    )
    assert study.duels("net") == []
    assert "| net | 33×33 | - | 1 | inf ± inf |" in study.to_markdown()
    half = comparison(broken, net(0.05, 1e-4, grid=(17, 17)))
    assert "net at its most favourable (on 17×17, batch 1) has 5.00 %" in half.verdict


def test_the_floor_is_the_best_classical_row_on_the_test_grid():
    finer = row("solver", 0.002, 1e-2, grid=(65, 65))
    lucky = row("solver", 0.009, 1e-3, tolerance=1e-1)
    record = comparison(net(0.05, 1e-3), classical=[*CLASSICAL, finer, lucky])
    assert record.floor is CLASSICAL[2]
    assert "1.00 %" in record.floor_sentence
    bare = comparison(net(0.05, 1e-3), classical=[finer])
    assert bare.floor is None
    assert "No classical row" in bare.floor_sentence


def test_csv_reads_back(tmp_path):
    record = comparison(net(0.05, 1 / 3000), net(0.06, 1e-3, batch=8))
    with record.to_csv(tmp_path / "compare.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(record.rows) == 5
    for line, r in zip(lines, record.rows, strict=True):
        for name in ("error", "error_std", "error_max", "seconds", "seconds_low"):
            assert float(line[name]) == getattr(r, name), "written in full"
        assert line["method"] == r.method
        assert tuple(map(int, line["grid"].split("x"))) == r.grid
        assert (line["tolerance"] == "") == (r.tolerance is None)
        assert line["reference_grid"] == "257x257"
        assert line["processor"] == "a, with a comma"


def test_markdown_prints_every_row_lost_or_won():
    record = comparison(net(0.05, 1e-4), net(0.05, 9e-3, batch=8))
    text = record.to_markdown()
    table = text.split("### All rows")[1].split("### Conditions")[0].strip().splitlines()
    assert len(table) == 2 + len(record.rows)
    assert len({line.count("|") for line in table}) == 1
    duels = text.split("### All rows")[0]
    assert "| net on 33×33, batch 1 | 5.00 % | 100 µs | solver on 17×17 to 1e-04 " in duels
    assert "| 22× | never |" in duels
    assert "training 90.0 s, data 10.0 s" in duels
    assert "- Measured with care." in text
    assert "- processor: a, with a comma" in text


def test_json_has_no_infinities():
    record = comparison(net(0.05, 9e-3), net(0.001, 9e-3, batch=8))
    plain = json.loads(json.dumps(record.to_dict(), allow_nan=False))
    assert [d["break_even"] for d in plain["duels"]] == ["never", None]
    assert plain["duels"][0]["ratio"] == pytest.approx(22.5)
    assert plain["verdict"] == [record.verdict]
    assert len(plain["rows"]) == 5


def timed(row, calls):
    """The row with the seconds of its rounds."""
    seconds = [float(s) for s in calls]
    return replace(row, calls=tuple(seconds), seconds=statistics.median(seconds))


@pytest.mark.parametrize(
    ("ratio", "decided"), [(0.5, True), (0.97, False), (1.03, False), (2.0, True)]
)
def test_a_ratio_near_one_is_undecided(ratio, decided):
    """Seconds that vary by 10 %, independently in both rows."""
    random = np.random.default_rng(3)
    noise = lambda: 1 + 0.1 * random.standard_normal(9)  # noqa: E731
    op, solver = timed(net(0.05, 1.0), ratio * noise()), timed(row("solver", 0.03, 1.0), noise())
    study = comparison(op, classical=[solver], cost=Cost(10.0, 0.0))
    (duel,) = study.duels("net")
    low, high = duel.interval
    assert low < duel.ratio < high
    assert duel.decided == decided
    assert ("undecided on this machine: the ratio is between" in study.verdict) != decided
    assert ("pays for" in study.verdict) == decided
    assert study.to_dict()["duels"][0]["decided"] == decided
    assert ("| undecided |" in study.to_markdown()) != decided


def test_the_interval_contains_the_ratio_as_often_as_it_says():
    random = np.random.default_rng(0)
    hits = 0
    for _ in range(200):
        a, b = (np.exp(0.3 * random.standard_normal(9)) for _ in range(2))
        low, high = ratio_interval(tuple(2 * a), tuple(b), draws=400)
        hits += low <= 2 <= high
    assert 0.9 <= hits / 200 < 1
    assert ratio_interval((1.0, 2.0, 3.0), (1.0, 1.0, 2.0)) == (0.5, 3.0), "too few for a bootstrap"
    low, high = ratio_interval(tuple(a), tuple(b), level=0.5)
    assert low < high, "half of the distribution lies between its quartiles"


def test_rounds_that_were_slow_for_both_do_not_widen_the_interval():
    slow = np.array([1, 30, 1, 1, 80, 1, 2, 50, 1.0])
    op, solver = timed(net(0.05, 1.0), 0.8 * slow), timed(row("solver", 0.03, 1.0), slow)
    assert Duel(op, solver, Cost()).interval == pytest.approx((0.8, 0.8))
    mixed = timed(solver, slow[::-1] ** 0.5)
    low, high = Duel(op, mixed, Cost()).interval
    assert high > 3 * low


def test_a_machine_that_varies_decides_nothing():
    """The planted case: the same network in 0.8 to 75 ms, and the fixed load no steadier."""
    op, solver = timed(net(0.05, 1.0), [0.5] * 9), timed(row("solver", 0.03, 1.0), [1.0] * 9)
    steady = comparison(op, classical=[solver])
    assert steady.duels("net")[0].decided
    starved = replace(steady, load=Quartiles(1e-3, 2e-3, 4e-3))
    assert not starved.duels("net")[0].decided
    assert "a fixed load varied 4× between its quartiles" in starved.verdict
    assert "it took 2.00 ms (1.00 ms to 4.00 ms)" in starved.to_markdown()
    assert replace(steady, load=Quartiles(1e-3, 1e-3, 2e-3)).duels("net")[0].decided


def test_rows_without_the_seconds_of_rounds_are_compared_as_they_are():
    (duel,) = comparison(net(0.05, 1e-3)).duels("net")
    assert duel.interval is None
    assert duel.decided
