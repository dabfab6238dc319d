"""A bench: results are compared before times are, sides take turns, rows name conditions."""

import csv
import getpass
import platform
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.__main__ import BENCHES
from benchmarks.bench import RESULTS, Bench, run, write
from pdeops.compare.timing import Clock

SLOW, QUICK = 40, 1


def passes(calls, side, times):
    def call(x):
        calls.append(side)
        for _ in range(times):
            y = x @ x
        return y

    return call


@pytest.fixture
def bench():
    calls = []
    made = Bench(
        name="squares",
        size="200 x 200",
        dtype="float32",
        setup=lambda: torch.eye(200),
        work=passes(calls, "work", QUICK),
        reference=passes(calls, "reference", SLOW),
        work_name="one product",
        reference_name="forty products",
        tolerance=1e-6,
        repeats=5,
    )
    return made, calls


def test_sides_take_turns(bench):
    made, calls = bench
    run(made)
    assert calls == ["work", "reference"] * (1 + made.repeats)


def test_ratio_is_how_many_times_faster_ours_is(bench):
    outcome = run(bench[0])
    assert outcome.ratio > 2  # forty times the arithmetic, on a noisy machine
    assert outcome.work.wall.q1 <= outcome.work.wall.median <= outcome.work.wall.q3


def test_both_ratios_are_of_medians(bench):
    """A clock that moves in calls alone: 1, 2, 9 s of wall-clock time for ours, 10, 80, 20 for the
    reference, after one call of each that is not timed; processor time is a quarter of it."""
    now = 0.0

    def lasting(*seconds):
        left = iter(seconds)

        def call(x):
            nonlocal now
            now += next(left)
            return x

        return call

    sides = {"work": lasting(50, 1, 2, 9), "reference": lasting(0, 10, 80, 20)}
    made = replace(bench[0], **sides, repeats=3)
    outcome = run(made, Clock(lambda: now, lambda: now / 4, rest=0.0))
    assert (outcome.ratio, outcome.work.wall.median) == (10, 2)
    assert outcome.cpu_ratio == 10
    assert outcome.reference.cpu.median == 5


def test_different_results_have_no_times(bench):
    wrong = replace(bench[0], work=lambda x: 1.001 * x)
    with pytest.raises(RuntimeError, match=r"differ by 1\.0e-03, more than 1e-06"):
        run(wrong)
    run(replace(wrong, tolerance=None))  # two models of one size need not agree


def test_nan_is_a_difference(bench):
    with pytest.raises(RuntimeError, match="differ"):
        run(replace(bench[0], work=lambda x: x * float("nan")))


def test_rows_name_their_conditions(bench, tmp_path):
    path = write(bench[0], run(bench[0]), tmp_path)
    with path.open() as file:
        ours, theirs = csv.DictReader(file)
    assert path.name == "squares.csv"
    assert (ours["side"], theirs["side"]) == ("work", "reference")
    assert float(ours["times_faster"]) == pytest.approx(
        float(theirs["median_s"]) / float(ours["median_s"]), rel=0.02
    )
    assert {"threads", "dtype", "allocator", "cpu", "torch"} <= set(ours)
    text = path.read_text()
    for personal in (platform.node(), str(Path.home()), f"/{getpass.getuser()}/"):
        assert not personal or personal not in text


def test_every_bench_has_a_name_of_its_own():
    assert all(name == bench.name for name, bench in BENCHES.items())
    files = {p.stem for p in RESULTS.glob("*.csv")}
    studies = {
        "checkouts",
        "classical",
        "cost",
        "cold_start",
        "matrices",
        "refinement",
        "refinement_sphere",
        "relax_sor",
        "residual_floor",
        "search_darcy16",
        "superiority",
    }  # of commands of their own
    studies |= {f for f in files if f.endswith("_memory")}  # of benchmarks.peak_memory
    studies |= {f"study_{kind}128" for kind in ("rough", "multiscale")}
    studies |= {
        f for f in files if f.startswith(("preconditioners", "generalisation", "spacetime"))
    }
    studies |= {
        "certificates",
        "curriculum",
        "lsm_ablation",
        "lsm_models",
        "lsm_resolution",
    }
    prefixes = (
        "amg_tuning",
        "deepxde",
        "elasticity",
        "expectation",
        "factor_ceiling",
        "gaussian_process",
        "graph_losses",
        "graph_preconditioner",
        "implicit_steps",
        "insr_",
        "lagrangian",
        "learned_aggregation",
        "rollouts",
    )
    prefixes += ("scaling", "trained_", "winner", "zoo")
    studies |= {f for f in files if f.startswith(prefixes)}
    assert files - studies <= set(BENCHES), "a result without its bench"


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.csv")), ids=lambda path: path.stem)
def test_results_are_tables(path):
    with path.open(newline="") as file:
        lines = list(csv.reader(file))
    assert len({len(line) for line in lines}) == 1, "a row with more or fewer columns"
