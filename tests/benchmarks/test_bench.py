"""The harness: both sides in turns, results compared before times are, nothing personal written."""

import csv
import getpass
import platform
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks import results_file
from benchmarks.__main__ import BENCHES
from benchmarks.bench import RESULTS, Bench, Timing, run, write

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
    assert outcome.work.q1 <= outcome.work.median <= outcome.work.q3


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


def test_rows_come_back_from_a_file(tmp_path):
    file = tmp_path / "new" / "rows.csv"
    assert results_file.read(file) == []
    results_file.write(file, [{"method": "ω, scaled", "runs": 3}, {"method": "", "runs": 4}])
    assert results_file.read(file) == [
        {"method": "ω, scaled", "runs": "3"},
        {"method": "", "runs": "4"},
    ]


def test_timing_is_by_quartiles():
    timing = Timing.of([4.0, 1.0, 2.0, 3.0, 5.0], [1.0, 1.0, 9.0])
    assert (timing.q1, timing.median, timing.q3, timing.cpu) == (2.0, 3.0, 4.0, 1.0)


def test_every_bench_has_a_name_of_its_own():
    assert all(name == bench.name for name, bench in BENCHES.items())
    files = {p.stem for p in RESULTS.glob("*.csv")}
    studies = {"classical", "cost", "relax_sor", "search16"}  # of commands of their own
    studies |= {f"study_{kind}128" for kind in ("rough", "multiscale")}
    studies |= {f for f in files if f.startswith(("preconditioners", "generalisation"))}
    assert files - studies <= set(BENCHES), "a result without its bench"


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.csv")), ids=lambda path: path.stem)
def test_results_are_tables(path):
    with path.open(newline="") as file:
        lines = list(csv.reader(file))
    assert len({len(line) for line in lines}) == 1, "a row with more or fewer columns"
