"""What a benchmark is, how it is timed, and what is written down."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import results_file

RESULTS = Path(__file__).parent / "results"
# Seconds before each timed call: threads that the other side's libraries have had (of torch, of
# numpy's products) keep a core busy for some 10 ms before they sleep, at the next call's expense.
PAUSE = 0.05


@dataclass(frozen=True)
class Bench:
    """Two ways to the same tensor.

    Attributes:
        name: also that of the CSV file.
        size: of the problem, in words.
        dtype: of the computation.
        setup: builds what both sides receive; not timed.
        work: ours.
        reference: the peer, or the plain twin.
        work_name, reference_name: what the two sides are, in words.
        tolerance: largest relative difference of the two results; more is an error. None where the
            two sides are different models, whose results cannot agree.
        repeats: timed calls of each side, taken in turns after one that is not timed.
        threads: of torch, both sides.
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
class Timing:
    """Seconds of one side: quartiles by the clock on the wall, and median processor time.

    Processor time sums over threads; where it is far below the wall's, others had the machine.
    """

    q1: float
    median: float
    q3: float
    cpu: float

    @classmethod
    def of(cls, wall: Sequence[float], cpu: Sequence[float]) -> "Timing":
        return cls(*statistics.quantiles(wall, n=4, method="inclusive"), statistics.median(cpu))

    def __str__(self) -> str:
        q1, median, q3, cpu = (1e3 * t for t in (self.q1, self.median, self.q3, self.cpu))
        return f"{median:9.2f} ms ({q1:.2f} to {q3:.2f}), processor {cpu:.2f} ms"


@dataclass(frozen=True)
class Outcome:
    """Both timings and the relative difference of the two results."""

    work: Timing
    reference: Timing
    difference: float

    @property
    def ratio(self) -> float:
        """How many times faster our side is, by medians of wall-clock time."""
        return self.reference.median / self.work.median

    @property
    def cpu_ratio(self) -> float:
        """The same by processor time."""
        return self.reference.cpu / self.work.cpu


def run(bench: Bench) -> Outcome:
    """Time both sides in turns, so that a busy machine slows both.

    Raises:
        RuntimeError: the two sides do not give the same result.
    """
    torch.set_num_threads(bench.threads)
    state = bench.setup()
    ours, theirs = bench.work(state), bench.reference(state)  # compiles, fills caches
    difference = ((ours - theirs).norm() / theirs.norm()).item()
    if bench.tolerance is not None and not difference <= bench.tolerance:
        raise RuntimeError(
            f"{bench.name}: the two sides differ by {difference:.1e}, more than "
            f"{bench.tolerance:.0e}; their times cannot be compared."
        )
    wall: dict[str, list[float]] = {"work": [], "reference": []}
    cpu: dict[str, list[float]] = {"work": [], "reference": []}
    for _ in range(bench.repeats):
        for side in wall:
            rest = time.perf_counter() + PAUSE
            while time.perf_counter() < rest:
                pass  # awake: a core that has slept starts slowly
            start, start_cpu = time.perf_counter(), time.process_time()
            getattr(bench, side)(state)
            wall[side].append(time.perf_counter() - start)
            cpu[side].append(time.process_time() - start_cpu)
    work, reference = (Timing.of(wall[side], cpu[side]) for side in wall)
    return Outcome(work, reference, difference)


def machine() -> dict[str, str]:
    """Processor, cores, versions and allocator settings; no names of hosts, users or folders."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = (line.split(":", 1) for line in info.read_text().splitlines() if ":" in line)
        cpu = next((v.strip() for k, v in lines if k.strip() == "model name"), cpu)
    packages = ("torch", "numpy", "scipy", "numba")
    return {
        "cpu": cpu,
        "cores": str(os.cpu_count()),
        "system": platform.system(),
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
        "allocator": os.environ.get("GLIBC_TUNABLES", "default"),
    }


def write(bench: Bench, outcome: Outcome, folder: Path = RESULTS) -> Path:
    """One row per side in folder/<name>.csv, with the machine's description."""
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
                "q1_s": f"{timing.q1:.3e}",
                "median_s": f"{timing.median:.3e}",
                "q3_s": f"{timing.q3:.3e}",
                "processor_s": f"{timing.cpu:.3e}",
                "times_faster": f"{outcome.ratio:.2f}" if side == "work" else "1.00",
                "times_faster_processor": f"{outcome.cpu_ratio:.2f}" if side == "work" else "1.00",
                "difference": f"{outcome.difference:.1e}",
                **machine(),
            }
        )
    path = folder / f"{bench.name}.csv"
    results_file.write(path, rows)
    return path
