"""A solver of the user's with parameters: what is learnt, failures, and the state in a file."""

import json
import math
from dataclasses import dataclass

import numpy as np
import pytest

from pdeops.solvers import Tuned

PARAMETERS = {"theta": [0.0, 0.25], "smoother": ["jacobi", "sor"]}


@dataclass
class Result:
    x: float
    work: float
    converged: bool = True
    reason: str = ""


def solve(size, theta, smoother):
    """Cheap with theta = 0.25 for a large problem, with 0 for a small one; jacobi costs more."""
    fits = (theta == 0.25) == (size > 0.5)
    return Result(2 * size, (10 if fits else 30) + 5 * (smoother == "jacobi"))


def work(result):
    return result.work


def sizes(count, seed=0):
    return np.random.default_rng(seed).random(count).tolist()


def tuned(of=solve, contextual=True, **options):
    features = (lambda size: [size > 0.5]) if contextual else None
    return Tuned(of, PARAMETERS, cost=work, features=features, **options)


def test_learns_which_values_suit_which_problem():
    solver = tuned()
    results = [solver(size) for size in sizes(60)]
    assert [r.x for r in results] == [2 * size for size in sizes(60)]
    late = [c.cost for c in solver.choices[30:]]
    # 10 with the best values for each problem, 20 with the best fixed ones.
    assert np.mean(late) < 13
    assert {tuple(c.values) for c in solver.choices} == {("theta", "smoother")}


def test_without_features_it_learns_the_best_fixed_values():
    solver = tuned(contextual=False)
    for _ in range(300):
        solver(0.9)
    last = [dict(c.values) for c in solver.choices[-50:]]
    assert last.count({"theta": 0.25, "smoother": "sor"}) > 35


def test_seconds_are_the_default_cost():
    def spins(n):
        return sum(i * i for i in range(n))

    solver = Tuned(spins, [{"n": 10}, {"n": 300_000}], features=lambda: [])
    for _ in range(12):
        solver()
    assert [c.values["n"] for c in solver.choices[-6:]] == [10] * 6


def breaks(kind):
    def broken(size, theta, smoother):
        if theta == 0.25:
            if kind is not Result:
                raise kind("breakdown")
            return Result(math.nan, 1.0, converged=False, reason="diverged")
        return solve(size, theta, smoother)

    return broken


@pytest.mark.parametrize("kind", [Result, MemoryError])
@pytest.mark.parametrize("contextual", [True, False])
def test_a_failure_is_a_cost_and_the_answer_is_right(kind, contextual):
    solver = tuned(breaks(kind), contextual)
    problems = [0.9] * 100
    assert [solver(size).x for size in problems] == [1.8] * 100
    failed = [c for c in solver.choices if c.failure]
    assert failed
    assert all(c.cost >= 60 for c in failed[1:])  # twice the largest of the others
    assert "diverged" in failed[0].failure or "breakdown" in failed[0].failure
    late = [bool(c.failure) for c in solver.choices[-30:]]
    assert sum(late) <= (2 if contextual else 9)


def test_a_cost_that_is_not_finite_is_a_failure():
    solver = Tuned(solve, PARAMETERS, cost=lambda r: math.nan if r.work > 20 else r.work)
    assert all(solver(size).work <= 20 for size in sizes(20))
    assert any("its cost is nan" in c.failure for c in solver.choices)


def test_the_fallback_replaces_the_other_values():
    solver = tuned(breaks(ValueError), fallback=lambda size: Result(7.0, 0.0))
    assert {solver(0.9).x for _ in range(40)} == {1.8, 7.0}


def test_values_are_taken_in_turn_until_some_succeed():
    """With a fallback whose cost is not known, a failure has nothing to be compared with."""

    def only_last(size, theta, smoother):
        if (theta, smoother) != (0.25, "sor"):
            raise ValueError("breakdown")
        return Result(size, 40.0)

    solver = tuned(only_last, fallback=lambda size: Result(7.0, 0.0))
    assert [solver(0.9).x for _ in range(4)] == [7.0, 7.0, 7.0, 0.9]
    for _ in range(20):
        solver(0.9)
    assert not any(c.failure for c in solver.choices[-10:])
    assert {c.cost for c in solver.choices[4:] if c.failure} == {80.0}


def test_an_error_with_all_values_is_raised():
    def wrong(size, theta, smoother):
        raise KeyError(f"{theta}, {smoother}")

    solver = tuned(wrong)
    with pytest.raises(KeyError, match=r"0\.0, jacobi"):
        solver(0.9)
    assert solver.choices[0].failure


@pytest.mark.parametrize("contextual", [True, False])
def test_a_state_continues_exactly(contextual, tmp_path):
    problems = sizes(60)
    whole = tuned(contextual=contextual)
    for size in problems:
        whole(size)
    parts = []
    for start in range(0, 60, 20):
        solver = tuned(contextual=contextual)
        if start:
            solver.load(tmp_path / "state.json")
        for size in problems[start : start + 20]:
            solver(size)
        parts += solver.choices
        solver.save(tmp_path / "state.json")
    assert parts == whole.choices
    if contextual:
        assert np.array_equal(solver._tuner._fit(), whole._tuner._fit())
    assert len({c.text for c in parts}) > 1
    other = tuned(contextual=contextual, seed=1)
    for size in problems:
        other(size)
    # LinUCB draws nothing; Tsallis-INF depends on the seed.
    assert (other.choices == whole.choices) == contextual


def saved(tmp_path, **options):
    solver = tuned(**options)
    for size in sizes(5):
        solver(size)
    solver.save(tmp_path / "state.json")
    return json.loads((tmp_path / "state.json").read_text())


def changed(state, *path, to):
    inner = state
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = to
    return json.dumps(state)


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        (lambda s: "not JSON", "not the state of a tuner"),
        (lambda s: json.dumps(s)[:-40], "not the state of a tuner"),
        (lambda s: "[1, 2]", "its format is not 'pdeops tuner'"),
        (lambda s: changed(s, "format", to="another"), "its format is not 'pdeops tuner'"),
        (lambda s: changed(s, "version", to=2), "state of version 2; this pdeops reads version 1"),
        (lambda s: changed(s, "learnt", "total", to=math.nan), "it holds NaN"),
        (lambda s: changed(s, "largest", to=math.inf), "it holds Infinity"),
        (lambda s: changed(s, "largest", to=-1.0), "damaged.*largest -1"),
        (lambda s: changed(s, "count", to=-1), "damaged.*count -1"),
        (lambda s: changed(s, "count", to="many"), "damaged"),
        (lambda s: changed(s, "learnt", "gram", to=[[1.0]]), "damaged.*gram must hold finite"),
        (lambda s: changed(s, "learnt", "count", to=-5), "damaged.*must not be negative"),
        (lambda s: changed(s, "learnt", "moment", to="x"), "damaged.*holds no numbers"),
        (lambda s: changed(s, "learnt", to={}), "damaged.*expected"),
        (lambda s: changed(s, "num_features", to=7), "damaged"),
        (lambda s: changed(s, "arms", 0, "theta", to=0.5), r"another tuner: its arms\[0\] is"),
        (lambda s: json.dumps({**s, "arms": s["arms"][:3]}), "it has 3 arms, here there are 4"),
        (lambda s: changed(s, "arms", to=None), "another tuner: its arms is None"),
        (lambda s: changed(s, "seed", to=5), "another tuner: its seed is 5, here it is 0"),
        (lambda s: changed(s, "contextual", to=False), "another tuner: its contextual is False"),
        (lambda s: changed(s, "cost", to="seconds"), "another tuner: its cost is 'seconds'"),
    ],
)
def test_a_state_that_is_not_ours_is_refused(damage, word, tmp_path):
    state = saved(tmp_path)
    (tmp_path / "state.json").write_text(damage(state))
    solver = tuned()
    with pytest.raises(ValueError, match=word):
        solver.load(tmp_path / "state.json")
    solver(0.3)
    assert solver.count == 1  # as if nothing had been loaded


def test_a_missing_state_and_a_write_that_fails(tmp_path):
    with pytest.raises(ValueError, match=r"none\.json cannot be read"):
        tuned().load(tmp_path / "none.json")
    saved(tmp_path)
    before = (tmp_path / "state.json").read_bytes()
    solver = tuned().load(tmp_path / "state.json")
    solver.largest = math.nan
    with pytest.raises(ValueError, match="JSON"):
        solver.save(tmp_path / "state.json")
    assert (tmp_path / "state.json").read_bytes() == before
    assert [f.name for f in tmp_path.iterdir()] == ["state.json"]


@pytest.mark.parametrize(
    "parameters", [{}, {"theta": []}, {"theta": [1, 1]}, [], {"a": range(9), "b": range(9)}]
)
def test_arms_that_are_none_equal_or_too_many(parameters):
    parameters = [] if parameters == {} else parameters
    with pytest.raises(ValueError, match="1 to 64 different arms"):
        Tuned(solve, parameters)


def test_values_must_be_a_list():
    with pytest.raises(ValueError, match="a list of values of cycle; got 'VW'"):
        Tuned(solve, {"cycle": "VW"})


def test_features_must_be_finite_and_as_many_as_before():
    solver = Tuned(solve, PARAMETERS, cost=work, features=lambda size: [size] * (1 + (size > 0.5)))
    solver(0.1)
    with pytest.raises(ValueError, match="chooses by 1 finite features"):
        solver(0.9)
