"""Linear methods in two phases: what is timed, what is refused, and what repays a training."""

from itertools import count

import pytest
import torch

from pdeops.compare.linear_methods import (
    SPARSE_LU,
    LinearMethod,
    LinearSystem,
    Tally,
    conjugate,
    measure,
    report,
    to_markdown,
)
from pdeops.compare.timing import Clock, Stopwatch
from pdeops.domain import Grid
from pdeops.solvers import Diffusion, Multigrid, cg, deep_conjugate_direction
from pdeops.solvers.direct.sparse import factor


@pytest.fixture
def system(generator):
    A = Diffusion(1.0, Grid((14, 11)))
    b = torch.randn(A.grid.shape, generator=generator, dtype=torch.float64)
    return LinearSystem(A, b, 1e-8, 100)


@pytest.fixture
def squares():
    """A clock that shows 0, 1, 4, 9, ... seconds."""
    ticks = (float(i * i) for i in count())
    return Clock(lambda: next(ticks), lambda: 0.0, rest=0.0)


MULTIGRID = LinearMethod(lambda s: Multigrid(s.A))


def test_phases_are_timed_apart(system, squares):
    """0 to 1 and 4 to 9, then 16 to 25 and 36 to 49, then 64 to 81 and 100 to 121."""
    tally, watch = Tally(), Stopwatch(squares)
    for _ in range(3):
        tally.turn(MULTIGRID, system, watch)
    assert (tally.setups, tally.solves) == ([1, 9, 17], [5, 13, 21])
    assert (tally.setup, tally.solve) == (9, 13)
    assert [tally.seconds(k) for k in (1, 9, 90)] == pytest.approx([22, 14, 13.1])


def test_a_preconditioner_goes_to_cg_and_directions_to_their_method(system):
    M = Multigrid(system.A)
    found = Tally().turn(MULTIGRID, system)
    assert found is not None
    assert torch.equal(found.x, cg(system.A, system.b, M=M, rtol=1e-8).x)
    plain = cg(system.A, system.b, rtol=1e-8)
    assert conjugate(system, None).iterations == plain.iterations

    def propose(r):
        return M @ r

    steps = deep_conjugate_direction(system.A, system.b, propose, rtol=1e-8)
    assert torch.equal(conjugate(system, propose).x, steps.x)


def test_a_direct_solution_is_judged_when_the_clock_has_stopped(system):
    tally = Tally()
    found = tally.turn(SPARSE_LU, system)
    assert found is not None
    assert found.converged
    assert found.residual < 1e-13
    assert tally.iterations == [0]
    wrong = LinearMethod(lambda s: factor(s.A), lambda s, solve: 1.001 * solve(s.b))
    tally.turn(wrong, system)
    assert tally.failure == "|b - A x| = 1.0e-03 |b|"


@pytest.mark.parametrize("refusal", [ValueError, ImportError])
def test_a_refusal_is_noted_by_its_first_line_and_has_no_time(system, refusal):
    def refuse(*_):
        raise refusal("not today\nbut tomorrow")

    for method in (LinearMethod(refuse), LinearMethod(lambda s: None, refuse)):
        tally = Tally()
        assert tally.turn(method, system) is None
        assert (tally.failure, tally.setups, tally.solves) == ("not today", [], [])


def test_what_does_not_converge_says_why_and_what_it_took(system):
    tally = Tally()
    tally.turn(LinearMethod(lambda s: None), LinearSystem(system.A, system.b, 1e-8, 2))
    assert tally.failure is not None
    assert "max_iterations = 2" in tally.failure
    assert tally.iterations == [2]
    assert len(tally.solves) == 1


def test_methods_take_turns_on_the_system_of_each_turn(system):
    """After one untimed round; a method that does not fit a system is left out as a whole, one that
    fails has no further turn."""
    systems = [LinearSystem(system.A, k * system.b, 1e-8, 100) for k in range(1, 4)]
    seen, drawn = [], []

    def watched(name, fits=lambda s: True, failing=0):
        def setup(s):
            seen.append((name, systems.index(s)))
            if seen.count((name, 0)) == failing:
                raise ValueError("not today")
            return Multigrid(s.A)

        return LinearMethod(setup, fits=fits)

    def draw(turn):
        drawn.append(turn)
        return systems[turn]

    methods = {
        "a": watched("a"),
        "b": watched("b", fits=lambda s: s is not systems[1]),
        "c": watched("c", failing=2),
    }
    done = []
    tallies = measure(methods, draw, turns=3, progress=done.append, clock=Clock(rest=0.0))
    warm_up = [("a", 0), ("b", 0), ("c", 0)]
    assert seen == [*warm_up, ("a", 0), ("b", 0), ("c", 0), ("a", 1), ("a", 2)]
    assert (done, drawn) == ([1, 2, 3], [0, 1, 2]), "each system is drawn once"
    assert set(tallies) == {"a", "c"}
    assert [len(tallies[name].solves) for name in "ac"] == [3, 0]
    assert tallies["c"].failure == "not today"


def test_a_slow_method_has_no_further_turn(system):
    slow = Clock(wall=(float(3 * i) for i in count()).__next__, cpu=lambda: 0.0, rest=0.0)
    one = measure({"a": MULTIGRID}, lambda _: system, turns=5, slow=5.0, clock=slow)
    assert len(one["a"].solves) == 1, "3 s for each phase"
    all_of_them = measure({"a": MULTIGRID}, lambda _: system, turns=5, slow=6.0, clock=slow)
    assert len(all_of_them["a"].solves) == 5


def test_the_warm_up_may_be_another_system(system):
    """Where a method may fail without consequence."""
    small = LinearSystem(system.A, system.b, 1e-8, 1)
    seen = []
    method = LinearMethod(lambda s: seen.append(s.max_iterations))
    tallies = measure({"a": method}, lambda _: system, turns=2, warm_up=small)
    assert seen == [1, 100, 100]
    assert tallies["a"].failure is None


def tally(setup, solve, iterations=(1,)):
    return Tally(iterations=list(iterations), setups=[setup], solves=[solve])


def test_a_training_is_repaid_by_what_a_solve_saves():
    """50 s over 1.625, 0.5 and 0.3875 s for 1, 10 and 100 solves per set-up."""
    ours, other = tally(0.25, 1.0), tally(1.5, 1.375)
    entry = report({"net": ours, "ic0": other}, "net", 50.0)["ic0"]
    assert entry["break_even"] == {"1": 31, "10": 100, "100": 130}
    slower = report({"net": other, "ic0": ours}, "net", 50.0)["ic0"]
    assert slower["break_even"] == dict.fromkeys(("1", "10", "100"), "never")
    unknown = report({"net": ours, "ic0": other}, "net", None)["ic0"]
    assert unknown["break_even"] == dict.fromkeys(("1", "10", "100"))
    assert report({"net": other, "ic0": ours}, "net", None)["ic0"]["break_even"]["1"] == "never"


def test_the_report_has_means_and_medians_and_the_reason_of_a_failure():
    broken = Tally(failure="not today")
    ours = Tally([3, 4, 8], setups=[1.0, 2.0, 9.0], solves=[5.0, 4.0, 7.0])
    entries = report({"net": ours, "none": broken}, "net", 1.0)
    assert entries["net"] == {
        "iterations": 5,
        "products": 5,
        "most_iterations": 8,
        "setup_seconds": 2.0,
        "solve_seconds": 5.0,
        "seconds_at_1": 7.0,
        "seconds_at_10": 5.2,
        "seconds_at_100": 5.02,
    }
    assert entries["none"] == {"failed": "not today", "break_even": {}}


def test_the_report_as_a_table():
    entries = report(
        {"net": tally(0.25, 1.0), "ic0": tally(1.5, 1.375, [9]), "none": Tally(failure="|r| > 1")},
        *("net", 50_000.0),
    )
    lines = to_markdown(entries).splitlines()
    head = "| method | iterations | max | products | set-up | solve | 1 per set-up |"
    assert lines[0].startswith(head)
    assert lines[2] == "| net | 1.0 | 1 | 1 | 250 | 1e+03 | 1.25e+03 | 1.02e+03 | 1e+03 |  |  |  |"
    assert lines[3].endswith("| 30,770 | 100,000 | 129,033 |")
    assert lines[4].startswith("| none | failed: \\|r\\| > 1 |")
    assert len({line.replace("\\|", "").count("|") for line in lines}) == 1
