"""python -m benchmarks.peak_memory [NAME ...]: memory of two calls of each side of a bench.

Each side runs in fresh processes. The figures are peaks minus what there was before the first call,
so that they hold results, what the calls keep for gradients, and the state of an optimizer, which
the first step makes and every later one has; not weights and inputs. Two measures: resident memory,
the median of PROCESSES processes, which also has libraries and what the allocator keeps, and from
which the system may reclaim pages on a busy machine; and the memory of torch's tensors, which is
the same in every run. Resident memory after the first call alone is stated too.
"""

import argparse
import json
import multiprocessing
import resource
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from pdeops.compare.tables import write_csv

from .bench import RESULTS, Bench, machine
from .lsm import BENCHES as LSM

BENCHES = {bench.name: bench for bench in LSM}
CALLS, PROCESSES = 2, 3
SIDES: dict[str, Callable[[Bench], Callable[..., Tensor]]] = {
    "work": lambda bench: bench.work,
    "reference": lambda bench: bench.reference,
}


def peaks(name: str, side: str) -> list[float]:
    """Peaks of resident memory up to the end of each call minus that before them, in MiB."""
    bench = BENCHES[name]
    torch.set_num_threads(bench.threads)
    state = bench.setup()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = []
    for _ in range(CALLS):
        SIDES[side](bench)(state)
        found.append((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
    return found


def peak_of_tensors(name: str, side: str) -> float:
    """Peak of the memory of tensors that the calls allocate, in MiB."""
    bench = BENCHES[name]
    torch.set_num_threads(bench.threads)
    state = bench.setup()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        for _ in range(CALLS):
            SIDES[side](bench)(state)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        found.export_chrome_trace(str(file))
        events = json.loads(file.read_text(encoding="utf-8"))["traceEvents"]
    totals = [e["args"]["Total Allocated"] for e in events if e.get("name") == "[memory]"]
    return max(totals) / (1 << 20)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peak_memory")
    parser.add_argument("names", nargs="*", metavar="NAME", default=list(BENCHES))
    names = parser.parse_args().names
    for name in names:
        bench = BENCHES[name]
        found = {side: figures(name, side) for side in SIDES}
        labels = {"work": bench.work_name, "reference": bench.reference_name}
        rows = []
        for side in SIDES:
            row = {"bench": name, "side": side, "method": labels[side], "size": bench.size}
            for column, mib in found[side].items():
                row[f"{column}_mib"] = f"{mib:.0f}"
                row[f"{column}_of_reference"] = f"{mib / found['reference'][column]:.3f}"
            rows.append({**row, **machine()})
            print(*list(row.values())[:3], *list(row.values())[4:], flush=True)
        write_csv(RESULTS / f"{name}_memory.csv", rows)


def figures(name: str, side: str) -> dict[str, float]:
    """All figures of one side, each in fresh processes."""
    context = multiprocessing.get_context("spawn")

    def in_a_process(measure: Callable[[str, str], Any]) -> Any:
        with context.Pool(1) as pool:
            return pool.apply(measure, (name, side))

    resident = [in_a_process(peaks) for _ in range(PROCESSES)]
    first, last = (statistics.median(each[i] for each in resident) for i in (0, -1))
    tensors = in_a_process(peak_of_tensors)
    return {"resident": last, "resident_first_call": first, "tensors": tensors}


if __name__ == "__main__":
    main()
