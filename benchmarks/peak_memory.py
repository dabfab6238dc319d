"""python -m benchmarks.peak_memory [NAME ...]: memory of one call of each side of a bench.

Each side runs once in a fresh process; the figure is the peak of resident memory minus that before
the call, so that it holds results and what the call keeps for gradients, not weights and inputs.
"""

import argparse
import multiprocessing
import resource
from collections.abc import Callable

import torch
from torch import Tensor

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


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peak_memory")
    parser.add_argument("names", nargs="*", metavar="NAME", default=list(BENCHES))
    names = parser.parse_args().names
    context = multiprocessing.get_context("spawn")
    for name in names:
        bench, found = BENCHES[name], {}
        for side in SIDES:
            with context.Pool(1) as pool:
                found[side] = pool.apply(peak, (name, side))
        labels = {"work": bench.work_name, "reference": bench.reference_name}
        rows = [
            {
                "bench": name,
                "side": side,
                "method": labels[side],
                "size": bench.size,
                "peak_mib": f"{mib:.0f}",
                "of_reference": f"{mib / found['reference']:.3f}",
                **machine(),
            }
            for side, mib in found.items()
        ]
        for row in rows:
            print(
                *(row[key] for key in ("bench", "method", "peak_mib", "of_reference")), flush=True
            )
        write_csv(RESULTS / f"{name}_memory.csv", rows)


if __name__ == "__main__":
    main()
