"""A planted unfair opponent is named, with the one that the operator should have met."""

from dataclasses import replace

import pytest

from pdeops.compare.duel import Cost
from pdeops.compare.fairness import asked_row
from pdeops.compare.methods import method_name
from pdeops.compare.timing import Quartiles
from tests.compare.rows import CLASSICAL, comparison, fit, net, row

SPSOLVE = [
    row("sparse direct", 0.0005, 80e-3, tolerance=None),
    row("sparse direct", 0.008, 5e-3, grid=(17, 17), tolerance=None),
    row("sparse direct", 1e-4, 0.7, grid=(65, 65), tolerance=None),
]


def verdict(*operators, spsolve=SPSOLVE, **given):
    study = comparison(*operators, classical=[*CLASSICAL, *spsolve], **given)
    return study.verdict.splitlines()


def test_spsolve_at_full_resolution_is_unfair_to_an_operator_of_two_percent():
    """The operator is 20 times as fast as spsolve, but takes twice the seconds of multigrid."""
    _, unfair = verdict(net(0.02, 4e-3), against=["sparse direct"])
    assert "net on 33×33, batch 1 (2.00 % in 4.00 ms) takes 0.05× the seconds of" in unfair
    assert "sparse direct on 33×33 (0.0500 % in 80.0 ms), the opponent asked for" in unfair
    assert "This opponent is unfair: solver on 33×33 to 1e-04 has equal or better error" in unfair
    assert "(1.00 %) in 2.00 ms, for which the opponent asked for takes 40× the seconds" in unfair
    assert unfair.endswith(
        "compared with solver on 33×33 to 1e-04 the operator takes 2× the seconds."
    )


def test_the_cheapest_solve_of_equal_error_is_fair():
    """The control: nothing else reaches the operator's error in fewer seconds."""
    _, fair = verdict(net(0.0006, 4e-3), against=["sparse direct"])
    assert fair.endswith("the cheapest classical row of equal or better error: it is fair.")
    assert "unfair" not in fair
    assert len(verdict(net(0.02, 4e-3))) == 1, "nobody asked"


def test_a_machine_that_varies_calls_nobody_unfair():
    unsteady = Quartiles(1e-3, 2e-3, 4e-3)
    timed = [replace(r, calls=(r.seconds,) * 9) for r in (*CLASSICAL, *SPSOLVE)]
    given = {"classical": timed, "against": ["sparse direct"]}
    assert "unfair" in comparison(net(0.02, 4e-3), **given).verdict
    text = comparison(net(0.02, 4e-3), load=unsteady, **given).verdict.splitlines()[1]
    assert "is undecided on this machine" in text
    assert "unfair" not in text


def test_a_less_accurate_solve_is_unfair_to_the_operator():
    _, text = verdict(net(2e-4, 35e-3), against=["sparse direct"])
    assert "(0.0200 % in 35.0 ms) takes 0.44× the seconds of sparse direct on 33×33" in text
    assert "unfair, because it is less accurate than the operator: compared with sparse" in text
    assert text.endswith("on 65×65 (0.0100 % in 700 ms) the operator takes 0.05× the seconds.")


def test_an_operator_that_no_solver_reaches_has_no_fair_opponent():
    (_, text) = verdict(net(1e-6, 4e-3), against=["sparse direct"])
    assert text.endswith("no classical row measured reaches the operator's error.")


def test_the_row_meant_is_that_at_full_resolution_to_the_smallest_tolerance():
    loose, tight = (row("cg", 0.01, 1e-3, tolerance=t) for t in (1e-2, 1e-8))
    rows = [*SPSOLVE, loose, tight]
    assert asked_row("sparse direct", rows, (33, 33)) is SPSOLVE[0]
    assert asked_row("cg", rows, (33, 33)) is tight
    assert asked_row("cg", rows, (65, 65)) is None
    (_, text) = verdict(net(0.02, 4e-3), spsolve=SPSOLVE[1:], against=["sparse direct"])
    assert "was not measured at full resolution" in text


def test_names_of_scipy_and_misspelt_ones():
    names = ["multigrid-CG", "sparse direct"]
    assert method_name("spsolve", names) == "sparse direct"
    assert method_name("multigrid-CG", names) == "multigrid-CG"
    with pytest.raises(ValueError, match="Did you mean 'multigrid-CG'"):
        method_name("multigrid-cg", names)


def test_a_surrogate_of_equal_error_is_named_with_its_cost():
    """Break-even compares the costs of both: (90 + 10) - (20 + 10) = 70 s, 3e-4 s a solve."""
    study = comparison(net(0.02, 1e-4), fit(0.015, 4e-4))
    study.costs["POD"] = Cost(20.0, 10.0)
    line = study.verdict.splitlines()[1]
    assert "fitted to the same training samples in 20.0 s, POD on 33×33, batch 1 has 1.50 %" in line
    study.trained_on.update(net="24 of seed 0", other="8 of seed 2")
    assert "fitted to the largest of the training sets in 20.0 s, POD" in study.verdict
    assert "takes 0.25× its seconds" in line
    assert "after 233,334 solves" in line
    (duel,) = study.duels("net", kind="reduced")
    assert duel.break_even == 233_334
    study.costs["POD"] = Cost(200.0, 10.0)
    assert study.duels("net", kind="reduced")[0].break_even == 0
    worse = comparison(net(0.02, 1e-4), fit(0.03, 4e-4), fit(0.001, 4e-4, batch=8))
    assert "no surrogate reaches the 2.00 % of net" in worse.verdict
    assert "the most accurate is POD with 3.00 % in 400 µs" in worse.verdict


def test_different_precision_and_hardware_are_stated():
    double = [replace(r, dtype="float32") for r in CLASSICAL]
    assert "differ" not in comparison(net(0.05, 1e-3), classical=double).verdict
    plain = comparison(net(0.05, 1e-3)).verdict
    assert plain.endswith("; both differ in precision (float32 and float64).")
    gpu = replace(net(0.05, 1e-5), device="cuda")
    assert "in hardware (cuda and cpu)" in comparison(gpu).verdict
    other = replace(net(0.05, 1e-3, name="other"), dtype="bfloat16")
    lines = comparison(gpu, other).verdict.splitlines()
    assert len(lines) == 3
    assert "net on cuda in float32, other on cpu in bfloat16" in lines[2]
    assert "are not compared with each other" in lines[2]
