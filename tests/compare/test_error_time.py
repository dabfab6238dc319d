"""The error-time study: errors against a finer reference, seconds per solve, calls interleaved."""

import math

import pytest
import torch

from pdeops.compare import error_time
from pdeops.compare.error_time import study
from pdeops.compare.methods import ClassicalMethod
from pdeops.compare.timing import Clock
from pdeops.domain import Grid

GRID = Grid((33, 33))
TOLERANCES = (1e-2, 1e-8)


def method(iterative=True, max_nodes=None, set_up=None, name="solver"):
    return ClassicalMethod(
        name,
        lambda problem, x, grid, rtol: problem.solve(x, grid, rtol),
        set_up,
        iterative,
        max_nodes,
    )


def run(operator, problem, clock, grid=GRID, **options):
    options = {"num_samples": 3, "repeats": 2, "classical": [method()]} | options
    options["clock"] = Clock(clock, clock, rest=0.0)
    return study(operator, problem, grid, seed=5, tolerances=TOLERANCES, **options)


def rows(comparison, **wanted):
    return [r for r in comparison.rows if all(getattr(r, name) == v for name, v in wanted.items())]


def test_errors_are_those_against_the_reference(problem, clock, make_operator):
    comparison = run(make_operator(0.02), problem, clock)
    assert comparison.reference == (257, 257)  # 4 times finer than 65, the finest grid
    reference = 1 + problem.error(Grid((257, 257))) + 1e-10
    for row in rows(comparison, kind="classical"):
        expected = (1 + problem.error(Grid(row.grid)) + row.tolerance) / reference - 1
        assert row.error == pytest.approx(expected, rel=1e-9)
        assert row.error_max == pytest.approx(expected, rel=1e-9)
        assert row.error_std == pytest.approx(0, abs=1e-12)
    for row in rows(comparison, kind="operator"):
        assert row.error == pytest.approx(1.02 / reference - 1, rel=1e-4)
    assert comparison.floor.tolerance == 1e-8
    assert comparison.floor.grid == GRID.shape


def test_against_the_same_grid_the_classical_solver_would_be_exact(
    problem, clock, make_operator, monkeypatch
):
    """The mistake that the finer reference is there to avoid."""
    options = {"classical_scales": (1.0,), "operator_scales": (1.0,)}
    honest = run(make_operator(0.02), problem, clock, **options)
    assert honest.reference == (129, 129)
    assert honest.floor.error > 0.9 * problem.error(GRID) / 1.01
    monkeypatch.setattr(error_time, "REFERENCE_FACTOR", 1)
    assert run(make_operator(0.02), problem, clock, **options).floor.error < 2e-8


def test_predictions_that_are_not_finite_lose_to_every_solver(problem, clock, make_operator):
    comparison = run(make_operator(math.nan), problem, clock)
    assert {r.error for r in rows(comparison, kind="operator")} == {math.inf}
    assert all(d.opponent is not None for d in comparison.duels("operator"))


def test_seconds_are_per_solve(problem, clock, make_operator):
    comparison = run(make_operator(0.02, start=1e-3, each=1e-4), problem, clock)
    for batch in (1, 8, 32):
        for row in rows(comparison, kind="operator", batch=batch):
            assert row.seconds == pytest.approx(1e-3 / batch + 1e-4)
            assert row.dtype == "float32"
    for row in rows(comparison, kind="classical"):
        assert row.seconds == pytest.approx(problem.seconds(Grid(row.grid), row.tolerance))
        assert (row.iterations, row.dtype, row.setup_seconds) == (7, "float64", None)


def test_the_median_forgives_an_outlier(problem, clock, make_operator):
    calls = []

    def hiccup(problem, x, grid, rtol):
        calls.append(grid)
        clock.advance(100.0 if len(calls) == 3 else 1.0)
        return problem.solve(x, grid, rtol)

    comparison = run(
        make_operator(0.02),
        problem,
        clock,
        classical=[ClassicalMethod("hiccup", hiccup, iterative=False)],
        classical_scales=(1.0,),
        num_samples=5,
    )
    (row,) = rows(comparison, method="hiccup")
    assert row.seconds < 1.1 < row.seconds_high + 1
    assert row.tolerance is None


def test_set_up_is_measured_apart_and_not_added_twice(problem, clock, make_operator):
    slow = method(set_up=lambda problem, x, grid: clock.advance(1e-7))
    for row in rows(run(make_operator(0.02), problem, clock, classical=[slow]), kind="classical"):
        assert row.setup_seconds == pytest.approx(1e-7)
        assert row.seconds == pytest.approx(problem.seconds(Grid(row.grid), row.tolerance))


def test_calls_are_interleaved_after_one_uncounted_round(problem, clock, make_operator):
    turns = []
    operator = make_operator(0.02)

    def watched(x):
        turns.append("operator")
        return operator(x)

    def solve(problem, x, grid, rtol):
        turns.append("classical")
        return problem.solve(x, grid, rtol)

    run(
        *(watched, problem, clock),
        classical=[ClassicalMethod("solver", solve, iterative=False)],
        classical_scales=(1.0,),
        operator_scales=(1.0,),
        batch_sizes=(1,),
        num_samples=4,
    )
    assert turns == ["operator"] + 5 * ["operator", "classical"]  # the first asks whether it fits


def test_every_sample_is_solved_at_every_batch_size(problem, clock, make_operator):
    """Each problem has its own amplitude, so a mix-up of samples would show as an error."""
    comparison = run(make_operator(0.0), problem, clock, num_samples=11, repeats=1)
    error = problem.error(Grid((257, 257)))
    for row in rows(comparison, kind="operator"):
        assert row.error_max == pytest.approx(error / (1 + error), rel=1e-3)


def test_several_operators_with_their_own_costs(problem, clock, make_operator):
    operators = {"good": make_operator(0.001), "bad": make_operator(0.1)}
    comparison = run(operators, problem, clock, training_seconds={"good": 50.0}, data_seconds=3.0)
    assert comparison.operators == ["good", "bad"]
    assert comparison.costs["good"].total == 53.0
    assert comparison.costs["bad"].unknown == ["training"]
    assert len(comparison.verdict.splitlines()) == 2


def test_threads_are_one_for_classical_and_put_back(problem, clock, make_operator):
    torch.set_num_threads(2)
    try:
        problem.calls.clear()
        comparison = run(make_operator(0.02), problem, clock, num_samples=1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    timed = [threads for shape, _, threads in problem.calls if shape != (257, 257)]
    assert set(timed) == {1}
    assert {r.threads for r in rows(comparison, kind="operator")} == {2}
    assert {r.threads for r in rows(comparison, kind="classical")} == {1}


def test_an_operator_that_is_faster_on_one_thread_has_one(problem, clock, make_operator):
    inner = make_operator(0.02)

    def spinning(x):
        clock.advance(1.0 if torch.get_num_threads() > 1 else 0.0)
        return inner(x)

    torch.set_num_threads(2)
    try:
        comparison = run(spinning, problem, clock, num_samples=1)
    finally:
        torch.set_num_threads(1)
    assert {r.threads for r in rows(comparison, kind="operator")} == {1}
    assert max(r.seconds for r in rows(comparison, kind="operator")) < 1


def test_coarse_grids_stop_at_nine_nodes(problem, clock, make_operator):
    grids = {r.grid for r in run(make_operator(0.02), problem, clock).rows}
    assert grids == {(9, 9), (17, 17), (33, 33), (65, 65)}


def test_grids_that_do_not_nest_are_interpolated(problem, clock, make_operator):
    comparison = run(
        make_operator(0.02), problem, clock, grid=Grid((28, 28)), classical_scales=(1 / 2, 1.0)
    )
    coarse = rows(comparison, kind="classical", grid=(15, 15), tolerance=1e-8)
    reference = 1 + problem.error(Grid(comparison.reference))
    expected = (1 + problem.error(Grid((15, 15)))) / reference - 1
    assert coarse[0].error == pytest.approx(expected, rel=1e-6)


def test_a_grid_that_the_operator_refuses_is_named(problem, clock, make_operator):
    inner = make_operator(0.02)

    def picky(x):
        if x.shape[-1] < 33:
            raise ValueError("more modes than nodes")
        return inner(x)

    comparison = run({"FNO": picky}, problem, clock)
    assert not rows(comparison, kind="operator", grid=(17, 17))
    assert any("FNO on 17×17" in n and "more modes than nodes" in n for n in comparison.notes)
    with pytest.raises(ValueError, match="more modes"):
        run({"FNO": picky}, problem, clock, grid=Grid((17, 17)))


def test_methods_too_slow_for_a_grid_are_named(problem, clock, make_operator):
    comparison = run(make_operator(0.02), problem, clock, classical=[method(max_nodes=1200)])
    assert max(r.grid for r in rows(comparison, kind="classical")) == (33, 33)
    assert any("solver on 65×65" in n for n in comparison.notes)


def test_a_reference_that_is_too_large_leaves_the_finer_grids_out(
    problem, clock, make_operator, monkeypatch
):
    monkeypatch.setattr(error_time, "MAX_REFERENCE_NODES", 20_000)
    comparison = run(make_operator(0.02), problem, clock)
    assert comparison.reference == (129, 129)
    assert max(r.grid for r in comparison.rows) == (33, 33)
    assert any("2 times finer" in n for n in comparison.notes)


def test_a_missed_tolerance_is_shown(problem, clock, make_operator):
    def misses(problem, x, grid, rtol):
        result = problem.solve(x, grid, rtol)
        result.converged = rtol > 1e-6
        return result

    comparison = run(
        make_operator(0.02), problem, clock, classical=[ClassicalMethod("solver", misses)]
    )
    assert {r.converged for r in rows(comparison, tolerance=1e-8)} == {False}
    assert {r.converged for r in rows(comparison, tolerance=1e-2)} == {True}
    assert "1e-08 (missed)" in comparison.to_markdown()


def test_progress_counts_every_timed_call(problem, clock, make_operator):
    seen = []
    run(
        make_operator(0.02), problem, clock, progress=lambda done, total: seen.append((done, total))
    )
    assert [done for done, _ in seen] == list(range(1, seen[-1][1] + 1))


def test_without_an_equation_there_is_no_reference(clock, make_operator):
    with pytest.raises(ValueError, match="pdeops data generate"):
        run(make_operator(0.02), None, clock)


def test_a_reference_that_does_not_converge_is_refused(problem, clock, make_operator):
    problem.converges = False
    with pytest.raises(ValueError, match="did not reach 1e-10: stagnated"):
        run(make_operator(0.02), problem, clock)


def test_a_prediction_of_the_wrong_shape_is_refused(problem, clock):
    with pytest.raises(ValueError, match="shape"):
        run(lambda x: x.expand(-1, 2, -1, -1), problem, clock)


@pytest.mark.parametrize("wrong", [{"num_samples": 0}, {"repeats": 0}, {"batch_sizes": (0, 1)}])
def test_counts_must_be_positive(problem, clock, make_operator, wrong):
    with pytest.raises(ValueError, match="at least one"):
        run(make_operator(0.02), problem, clock, **wrong)
