"""Pareto fronts and accuracy classes of rows with known figures."""

import math
from dataclasses import replace

import numpy as np
import pytest

from pdeops.compare.fronts import classes_table, front, fronts, winners
from pdeops.compare.tables import read_csv
from tests.compare.rows import CLASSICAL, comparison, fit, net, row


def test_the_front_has_the_rows_that_no_other_dominates():
    slow_and_wrong = row("solver", 0.05, 1e-2)
    equal = row("twin", 0.03, 5e-4)
    broken = net(math.inf, 1e-9)
    assert front([broken, slow_and_wrong, equal, *reversed(CLASSICAL)]) == CLASSICAL


def test_by_brute_force():
    figures = np.random.default_rng(0).random((40, 2))
    rows = [row("m", e, s) for e, s in figures.tolist()]
    expected = [
        r for r in rows if not any(o.error < r.error and o.seconds < r.seconds for o in rows)
    ]
    assert sorted(front(rows), key=lambda r: r.error) == sorted(expected, key=lambda r: r.error)
    assert 1 < len(expected) < 20


def test_each_kind_has_its_front_and_the_csv_marks_its_rows(tmp_path):
    study = comparison(net(0.05, 1e-3), net(0.06, 2e-3), fit(0.2, 1e-5))
    assert list(fronts(study.rows)) == ["operator", "classical", "reduced"]
    study.context["threads"] = "those of all methods, in words"
    lines = read_csv(study.to_csv(tmp_path / "compare.csv"))
    assert [line["front"] for line in lines] == ["yes", "no", "yes", "yes", "yes", "yes"]
    assert {line["threads"] for line in lines} == {"1"}
    assert study.to_dict()["fronts"]["operator"] == ["net on 33×33, batch 1"]


def test_the_fastest_kind_of_each_accuracy():
    rows = [net(0.02, 1e-4), fit(0.2, 1e-5), *CLASSICAL]
    found = [(bound, fastest) for bound, _, fastest in winners(rows, 1.0)]
    assert found == [
        (pytest.approx(0.3), "without a network"),
        (pytest.approx(0.1), "network"),
        (pytest.approx(0.03), "network"),
        (pytest.approx(0.01), "only classical"),
    ]
    assert winners(rows, 1.0)[1][1]["classical"] is CLASSICAL[0]
    assert winners(rows, 1.0)[2][1]["classical"] is CLASSICAL[1]


def test_classes_with_the_same_rows_are_one():
    ((bound, _, _),) = winners([net(1e-3, 1.0), row("solver", 1e-3, 2.0)], 1.0)
    assert bound == pytest.approx(1e-3)


def test_a_class_is_undecided_where_a_duel_is():
    op, solver = (replace(r, calls=(1.0, 2.0, 1.5)) for r in (net(0.02, 1.0), row("s", 0.02, 1.1)))
    assert [w[2] for w in winners([op, solver], 1.0)] == ["undecided"]
    assert [w[2] for w in winners([net(0.02, 1.0), row("s", 0.02, 1.1)], 1.0)] == ["network"]
    gpu = replace(net(0.02, 1.0), device="cuda")
    assert winners([gpu, row("s", 0.02, 2.0)], 1.0)[0][2] == "network, on different hardware"


def test_the_table_separates_one_problem_at_a_time():
    rows = [net(0.02, 4e-3), net(0.02, 1e-4, batch=32), *CLASSICAL]
    lines = classes_table(rows, 1.0).splitlines()[2:]
    ends = {(line.split("|")[1].strip(), line.split("|")[2].strip()): line for line in lines}
    assert ends["one at a time", "3.00 %"].endswith("| classical |")
    assert ends["any batch", "3.00 %"].endswith("| network |")
    assert "any batch" not in classes_table([net(0.02, 4e-3), *CLASSICAL], 1.0)
