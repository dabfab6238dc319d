"""A bench: two ways to compute the same tensor, timed alternately, and the rows of its CSV file."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from pdeops.compare.machine import describe_machine
from pdeops.compare.tables import read_csv, write_csv
from pdeops.compare.timing import Clock, Timing, time_calls

from .opponents import limit_threads

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Bench:
    """Two ways to compute the same tensor.

    Attributes:
        name: name of the bench and of its CSV file.
        size: the size of the problem, in words.
        dtype: precision of the computation.
        setup: builds what both sides receive; not timed.
        work: our side.
        reference: the other side, a peer or the plain twin.
        work_name, reference_name: what the two sides are, in words.
        tolerance: largest accepted relative difference of the two results. None if the two sides
            are different models, whose results cannot agree.
        repeats: number of timed calls of each side, alternately, after an untimed one.
        threads: torch's threads, for both sides.
    """

    name: str
    size: str
    dtype: str
    setup: Callable[[], Any]
    work: Callable[[Any], Tensor]
    reference: Callable[[Any], Tensor]
    work_name: str
    reference_name: str
    tolerance: float | None
    repeats: int = 9
    threads: int = 1


@dataclass(frozen=True)
class Outcome:
    """Both timings and the relative difference of the two results."""

    work: Timing
    reference: Timing
    difference: float

    @property
    def ratio(self) -> float:
        """How many times faster our side is, by medians of wall-clock time."""
        return self.reference.wall.median / self.work.wall.median

    @property
    def cpu_ratio(self) -> float:
        """How many times faster our side is, by medians of processor time."""
        return self.reference.cpu.median / self.work.cpu.median


def run(bench: Bench, clock: Clock | None = None) -> Outcome:
    """Compare the results of both sides, then time them alternately.

    Raises:
        RuntimeError: the results of the two sides differ by more than the tolerance.
    """
    torch.set_num_threads(bench.threads)
    limit_threads(bench.threads)
    state = bench.setup()
    ours, theirs = bench.work(state), bench.reference(state)  # compiles, fills caches
    difference = ((ours - theirs).norm() / theirs.norm()).item()
    if bench.tolerance is not None and not difference <= bench.tolerance:
        raise RuntimeError(
            f"{bench.name}: the two sides differ by {difference:.1e}, more than "
            f"{bench.tolerance:.0e}; their times cannot be compared."
        )
    timings = time_calls(
        {"work": partial(bench.work, state), "reference": partial(bench.reference, state)},
        repeats=bench.repeats,
        warm_up=0,
        clock=clock,
    )
    return Outcome(timings["work"], timings["reference"], difference)


def write(bench: Bench, outcome: Outcome, folder: Path = RESULTS) -> Path:
    """Write one row per side to folder/<name>.csv, with the description of the machine."""
    rows = []
    for side, label in (("work", bench.work_name), ("reference", bench.reference_name)):
        timing: Timing = getattr(outcome, side)
        rows.append(
            {
                "bench": bench.name,
                "side": side,
                "method": label,
                "size": bench.size,
                "dtype": bench.dtype,
                "threads": bench.threads,
                "repeats": bench.repeats,
                "q1_s": f"{timing.wall.q1:.3e}",
                "median_s": f"{timing.wall.median:.3e}",
                "q3_s": f"{timing.wall.q3:.3e}",
                "processor_s": f"{timing.cpu.median:.3e}",
                "times_faster": f"{outcome.ratio:.2f}" if side == "work" else "1.00",
                "times_faster_processor": f"{outcome.cpu_ratio:.2f}" if side == "work" else "1.00",
                "difference": f"{outcome.difference:.1e}",
                **machine(),
            }
        )
    return write_csv(folder / f"{bench.name}.csv", rows)


def machine() -> dict[str, str]:
    """The description of the machine for the last columns of a row, without the threads, which a
    bench sets itself."""
    return {key: value for key, value in describe_machine().items() if key != "threads"}


Cells = Mapping[str, object]


def add_missing(
    file: Path, cases: Iterable[tuple[Mapping[str, str], Callable[[], Sequence[Cells]]]]
) -> None:
    """Measure the cases that a CSV file lacks, and write each to it when it is measured.

    Args:
        cases: the cells that name a case, which are the first of its rows, and a function that
            measures it: the other cells of each row. The description of the machine is added.
    """
    rows: list[dict[str, object]] = [dict(row) for row in read_csv(file)]
    for key, measure in cases:
        if any(key.items() <= row.items() for row in rows):
            continue
        measured = [{**key, **cells} for cells in measure()]
        for row in measured:
            print(*row.values(), sep=" | ", flush=True)
        rows += [{**row, **machine()} for row in measured]
        write_csv(file, rows)


def over_seeds(error_of: Callable[[int], float], seeds: Iterable[int]) -> list[dict[str, str]]:
    """Cells of one row: median and largest error over the seeds, and the mean processor time of
    one."""
    start = time.process_time()
    errors = [error_of(seed) for seed in seeds]
    seconds = (time.process_time() - start) / len(errors)
    cells = {
        "median_error": f"{median(errors):.1e}",
        "largest_error": f"{max(errors):.1e}",
        "seconds": f"{seconds:.2f}",
    }
    return [cells]
