"""Studies of trajectories: known errors and correlation times, starts, stability, duels."""

import math
from dataclasses import replace

import pytest
import torch

from pdeops.calculus.fourier import resample
from pdeops.compare.duel import Cost, opponent_of
from pdeops.compare.rollout_candidates import RolloutRow, keeps_correlation
from pdeops.compare.rollout_comparison import RolloutComparison
from pdeops.compare.rollout_plots import error_seconds
from pdeops.compare.rollout_study import rollout_study, solve_truth
from pdeops.compare.timing import Clock
from pdeops.datasets import problem_named
from pdeops.solvers.evolution.etdrk4 import ETDRK4
from pdeops.solvers.evolution.evolve import evolve

FAST = Clock(rest=0.0)
TIMES = (0.0, 0.05, 0.1, 0.15)
SEED = 5


@pytest.fixture(scope="module")
def problem():
    return problem_named("burgers", "thin", num_waves=4, t_end=0.15, num_frames=3, scale=50.0)


@pytest.fixture(scope="module")
def grid(problem):
    return problem.grid((16,))


@pytest.fixture(scope="module")
def truth(problem, grid):
    return solve_truth(problem, grid, TIMES, n_in=1, seed=SEED, num_samples=2)


@pytest.fixture(scope="module")
def study(problem, grid, truth):
    """Rollouts that know the truth of a given first frame, with a known error."""

    def knows(change):
        def rollout(frames, num_frames):
            first = [int((truth.given.float() - f).flatten(1).norm(dim=1).argmin()) for f in frames]
            return change(truth.frames[first, :num_frames].float())

        return rollout

    decay = torch.tensor([1.0, 0.5, -1.0])[:, None, None]
    rollouts = {
        "larger": knows(lambda u: 1.1 * u),
        "lost": knows(lambda u: decay * u),
        "broken": knows(lambda u: u / 0),
    }
    return rollout_study(
        rollouts, problem, grid, TIMES, seed=SEED, num_samples=2, repeats=1, clock=FAST,
        scales=(0.5, 1.0), steppers={"ETDRK4": ETDRK4}, batch_sizes=(1, 2),
        truth=truth, training_seconds={"larger": 10.0}, data_seconds={"larger": 5.0},
    )  # fmt: skip


def rows(study, method):
    return [r for r in study.rows if r.method == method]


def test_known_errors_and_correlation_times(study):
    for row in rows(study, "larger"):
        assert row.error == pytest.approx(0.1, rel=1e-5)
        assert row.correlation_time == pytest.approx(0.15)
        assert row.censored == 2
    for row in rows(study, "lost"):  # correlation 1, 1, -1: it crosses 0.8 a tenth after t = 0.1
        assert row.error == pytest.approx(2.0, rel=1e-5)
        assert row.correlation_time == pytest.approx(0.105)
        assert row.censored == 0
    for row in rows(study, "broken"):
        assert row.error == math.inf
        assert row.correlation_time == pytest.approx(0.2 * 0.05)


def test_a_stepper_is_evolve_from_the_truncated_series(study, problem, grid, truth):
    row = next(r for r in rows(study, "ETDRK4") if r.grid == (8,) and r.batch == 1)
    coarse = grid.with_shape((8,))
    start = resample(truth.start, truth.fine, (8,))
    result = evolve(problem.equation_on(coarse), start, TIMES[1:], dt=row.dt)
    last = resample(result.u[:, -1], coarse, (16,))
    errors = (last - truth.frames[:, -1]).norm(dim=-1) / truth.frames[:, -1].norm(dim=-1)
    assert row.error == pytest.approx(errors.mean().item(), rel=1e-4)
    assert row.error > 1.3 * min(r.error for r in rows(study, "ETDRK4"))


def test_the_truth_starts_from_the_samples_of_the_seed(problem, grid, truth):
    for i in range(2):
        sample = problem.sample_input(grid, SEED, i)
        torch.testing.assert_close(truth.given[i, 0], sample, rtol=1e-6, atol=1e-6)
    later = solve_truth(problem, grid, TIMES, n_in=2, seed=SEED, num_samples=1)
    torch.testing.assert_close(later.given[0, 1], truth.frames[0, 0])
    torch.testing.assert_close(later.frames[0], truth.frames[0, 1:])
    assert later.times == pytest.approx((0.05, 0.1))
    shared = later.start[..., ::4]
    torch.testing.assert_close(shared[0], truth.frames[0, 0])


def test_the_truth_starts_after_the_warm_up():
    """Frames 0.01 apart from t = 0.2 on, as in the data; steps of one frame can be compared."""
    parameters = {"num_waves": 4, "t_start": 0.2, "t_end": 0.23, "num_frames": 3}
    problem = problem_named("navier_stokes", "mcwilliams_dense", **parameters)
    grid = problem.grid((16, 16))
    times = [t - problem.t_start for t in problem.times]
    truth = solve_truth(problem, grid, times, n_in=2, seed=SEED, num_samples=1)
    stored = problem.solved_sample(problem.spec(grid, SEED, 1), 0).fields["vorticity"]
    frames = torch.cat([truth.given, truth.frames], 1)[0, :, 0]
    torch.testing.assert_close(frames, stored.to(frames), rtol=1e-5, atol=1e-5)
    assert 4 * truth.steps < 0.01


def test_steps_are_longer_than_the_reference_and_unstable_ones_are_named(study, truth):
    for row in rows(study, "ETDRK4"):
        assert row.dt >= 4 * truth.steps
    text = " ".join(study.notes)
    assert "twice as long" in text
    assert "Unstable: ETDRK4 on 16 with dt" in text


def test_the_report_has_both_duels(study, tmp_path):
    by_error, by_time = study.verdict.splitlines()[:2]
    assert "10 % error at t = 0.15" in by_error.replace("10.0", "10")
    assert "a correlation time of ≥ 0.15" in by_time
    markdown = study.to_markdown()
    assert "By correlation time:" in markdown
    assert "larger: training 10.0 s, data 5.00 s" in markdown
    assert len(study.to_dict()["duels_by_correlation"]) == 6
    study.to_csv(tmp_path / "compare.csv")
    header = (tmp_path / "compare.csv").read_text().splitlines()[0]
    assert "correlation_time" in header


def row(kind, error, seconds, time, batch=1, censored=0):
    return RolloutRow(
        method=kind, kind=kind, grid=(16,), tolerance=None, batch=batch, error=error,
        error_std=0.0, error_max=error, seconds=seconds, seconds_low=seconds, seconds_high=seconds,
        setup_seconds=None, iterations=None, converged=True, threads=1, dtype="float32", dt=0.1,
        correlation_time=time, censored=censored,
    )  # fmt: skip


def test_the_figure_has_every_kind(tmp_path, drawn):
    kinds = ("operator", "classical", "reduced")
    found = RolloutComparison(
        rows=[row(kind, 0.1 * i, float(i), 5.0) for i, kind in enumerate(kinds, start=1)],
        costs={}, problem="p", grid=(16,), reference=(64,), num_samples=1, seed=0, times=(6.0,),
    )  # fmt: skip
    error_seconds(found, tmp_path / "a.png")
    left, right = drawn[0].axes
    names = [line.get_label() for line in left.get_lines()]
    assert sorted(names) == ["classical on 16", "operator", "reduced, without a network"]
    points = {tuple(line.get_xydata()[0]) for line in right.get_lines()}
    assert points == {(1.0, 5.0), (2.0, 5.0), (3.0, 5.0)}


def test_opponents_by_error_and_by_correlation_time_differ():
    operator = row("operator", 0.2, 1.0, 5.0, batch=8)
    crude, good = row("classical", 0.5, 2.0, 6.0), row("classical", 0.1, 3.0, 4.0)
    assert opponent_of(operator, [crude, good]) is good
    assert opponent_of(operator, [crude, good], keeps_correlation) is crude


def test_a_larger_batch_is_no_opponent_of_a_smaller_one():
    batched, single = row("classical", 0.1, 1e-3, 5.0, batch=8), row("classical", 0.1, 2.0, 5.0)
    for batch, expected in ((1, single), (4, single), (8, batched), (32, batched)):
        assert (
            opponent_of(row("operator", 0.2, 1.0, 5.0, batch=batch), [batched, single]) is expected
        )


def test_break_even_by_correlation_time_counts_data_and_training():
    found = RolloutComparison(
        rows=[row("operator", 0.2, 1.0, 5.0), row("classical", 0.5, 3.0, 6.0)],
        costs={"operator": Cost(60.0, 40.0)}, problem="p", grid=(16,), reference=(64,),
        num_samples=1, seed=0, times=(1.0,),
    )  # fmt: skip
    (duel,) = found.duels_by_correlation("operator")
    assert duel.break_even == 50
    assert found.duels("operator")[0].opponent is None
    assert "pays for its data and training after 50" in found.verdict


def test_the_floor_is_the_best_run_on_the_test_grid():
    coarse = replace(row("classical", 0.01, 1.0, 5.0), grid=(8,))
    found = RolloutComparison(
        rows=[row("classical", 0.5, 1.0, 5.0), row("classical", 0.1, 2.0, 5.0), coarse],
        costs={}, problem="p", grid=(16,), reference=(64,), num_samples=1, seed=0, times=(1.0,),
    )  # fmt: skip
    assert found.to_dict()["floor"] == 0.1
    assert "10.0 % error" in found.floor_sentence


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"times": (0.1, 0.2)}, "times from 0 on"),
        ({"n_in": 4}, "more of them than given frames"),
        ({"scales": (2.0,)}, "scales up to 1"),
        ({"num_samples": 0}, "at least one sample"),
    ],
)
def test_arguments_out_of_range(problem, grid, change, message):
    options = {"times": TIMES, "seed": 1, **change}
    times = options.pop("times")
    with pytest.raises(ValueError, match=message):
        rollout_study({}, problem, grid, times, **options)
