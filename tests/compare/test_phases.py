"""Two phases by the clock: what counts, what is refused, and what a set-up is worth when shared."""

from itertools import count

import pytest
import torch

from pdeops.compare.phases import (
    NEVER,
    Method,
    System,
    Tally,
    break_even,
    break_even_text,
    conjugate,
    direct,
)
from pdeops.domain import Grid
from pdeops.solvers import Diffusion, Multigrid, cg, deep_conjugate_direction
from pdeops.solvers.direct.sparse import factor


@pytest.fixture
def system(generator):
    A = Diffusion(1.0, Grid((14, 11)))
    b = torch.randn(A.grid.shape, generator=generator, dtype=torch.float64)
    return System(A, b, 1e-8, 100)


@pytest.fixture
def clock(monkeypatch):
    """A clock that shows 0, 1, 4, 9, ... seconds."""
    ticks = (float(i * i) for i in count())
    monkeypatch.setattr("pdeops.compare.phases.time.perf_counter", lambda: next(ticks))


MULTIGRID = Method(lambda s: Multigrid(s.A))
SPARSE_LU = Method(lambda s: factor(s.A), direct)


def test_phases_are_timed_apart(system, clock):
    """0 to 1 and 4 to 9, then 16 to 25 and 36 to 49, then 64 to 81 and 100 to 121."""
    tally = Tally()
    for _ in range(3):
        tally.turn(MULTIGRID, system)
    assert (tally.setups, tally.solves) == ([1, 9, 17], [5, 13, 21])
    assert (tally.setup, tally.solve) == (9, 13)
    assert [tally.seconds(k) for k in (1, 9, 90)] == pytest.approx([22, 14, 13.1])


def test_a_preconditioner_goes_to_cg_and_directions_to_their_method(system):
    M = Multigrid(system.A)
    found = Tally().turn(MULTIGRID, system)
    assert found is not None
    assert torch.equal(found[1].x, cg(system.A, system.b, M=M, rtol=1e-8).x)
    plain = cg(system.A, system.b, rtol=1e-8)
    assert conjugate(system, None).iterations == plain.iterations

    def propose(r):
        return M @ r

    steps = deep_conjugate_direction(system.A, system.b, propose, rtol=1e-8)
    assert torch.equal(conjugate(system, propose).x, steps.x)


def test_a_direct_solution_is_judged_when_the_clock_has_stopped(system, monkeypatch):
    tally = Tally()
    found = tally.turn(SPARSE_LU, system)
    assert found is not None
    assert found[1].converged
    assert found[1].residual < 1e-13
    assert tally.iterations == [0]
    wrong = Method(lambda s: factor(s.A), lambda s, solve: 1.001 * solve(s.b))
    tally.turn(wrong, system)
    assert tally.failure == "direct: |b - A x| = 1.0e-03 |b|"


@pytest.mark.parametrize("refusal", [ValueError, ImportError])
def test_a_refusal_is_noted_by_its_first_line_and_has_no_time(system, refusal):
    def refuse(*_):
        raise refusal("not today\nbut tomorrow")

    for method in (Method(refuse), Method(lambda s: None, refuse)):
        tally = Tally()
        assert tally.turn(method, system) is None
        assert (tally.failure, tally.setups, tally.solves) == ("not today", [], [])


def test_what_does_not_converge_says_why_and_what_it_took(system):
    tally = Tally()
    tally.turn(Method(lambda s: None), System(system.A, system.b, 1e-8, 2))
    assert tally.failure is not None
    assert "max_iterations = 2" in tally.failure
    assert tally.iterations == [2]
    assert len(tally.solves) == 1


def test_a_training_is_repaid_by_what_each_solve_saves():
    assert break_even(50.0, 0.5) == 100
    assert break_even(50.0, 0.0) == break_even(None, -1.0) == NEVER
    assert break_even(None, 0.5) is None
    texts = [break_even_text(value) for value in (99.7, NEVER, None)]
    assert texts == ["100", "never", "unknown"]
