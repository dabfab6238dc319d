"""python -m benchmarks.peak_memory [NAME ...]: memory of one call of each side of a bench.

Each side runs once in a fresh process. The figures are peaks minus what there was before the call,
so that they hold results and what the call keeps for gradients, not weights and inputs: of resident
memory, which also has libraries and what the allocator keeps, and from which the system may reclaim
pages on a busy machine; and of the memory of torch's tensors, which is the same in every run.
"""

import argparse
import json
import multiprocessing
import resource
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
SIDES: dict[str, Callable[[Bench], Callable[..., Tensor]]] = {
    "work": lambda bench: bench.work,
    "reference": lambda bench: bench.reference,
}


def peak(name: str, side: str) -> float:
    """Peak of resident memory during one call minus that before it, in MiB."""
    bench = BENCHES[name]
    torch.set_num_threads(bench.threads)
    state = bench.setup()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    SIDES[side](bench)(state)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def peak_of_tensors(name: str, side: str) -> float:
    """Peak of the memory of tensors that one call allocates, in MiB."""
    bench = BENCHES[name]
    torch.set_num_threads(bench.threads)
    state = bench.setup()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
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
    context = multiprocessing.get_context("spawn")
    for name in names:
        bench = BENCHES[name]
        found: dict[Any, float] = {}
        for side in SIDES:
            for measure in (peak, peak_of_tensors):
                with context.Pool(1) as pool:
                    found[side, measure] = pool.apply(measure, (name, side))
        labels = {"work": bench.work_name, "reference": bench.reference_name}
        rows = []
        for side in SIDES:
            row = {"bench": name, "side": side, "method": labels[side], "size": bench.size}
            for measure, column in ((peak, "resident"), (peak_of_tensors, "tensors")):
                mib = found[side, measure]
                row[f"{column}_mib"] = f"{mib:.0f}"
                row[f"{column}_of_reference"] = f"{mib / found['reference', measure]:.3f}"
            rows.append({**row, **machine()})
            print(*list(row.values())[:3], *list(row.values())[4:], flush=True)
        write_csv(RESULTS / f"{name}_memory.csv", rows)


if __name__ == "__main__":
    main()
