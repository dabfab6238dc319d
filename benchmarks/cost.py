"""Cost and memory of multigrid-CG over the number of unknowns.

-div(a grad u) = 1 on the unit square, u = 0 on its sides, float64, to 1e-10 or to what round-off
allows, 10 ε (|A||x| + |b|): a = 1, and blobs of 3 and 12. Each size in a process of its own, so
that its peak of memory is its own: fields beyond a and b, on top of what a solve of 31² unknowns
has loaded. Times are medians, set-up included.

python -m benchmarks.cost: print, and write results/cost.csv.
"""

import math
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

from pdeops.solvers import Diffusion, Multigrid, cg

from . import results_file
from .bench import RESULTS, machine
from .solvers import Darcy, darcy

SIZES = (127, 255, 511, 1023, 2047, 4095)
KINDS = {"a = 1": (1.0, 1.0), "a in {3, 12}": (3.0, 12.0)}
LARGE_ENOUGH = 1023  # below, the memory of a solve is lost in that of the process


def one(kind: str, n: int) -> None:
    """Print the seconds of a solve and its peak of memory in fields."""
    torch.set_num_threads(1)
    solve(system(kind, 31))
    problem = system(kind, n)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is to be that of the solve
    before = memory("VmRSS")
    solve(problem)
    fields = (memory("VmHWM") - before) / (8 * n * n)
    seconds = []
    while len(seconds) < 2 or sum(seconds) < 1.0:
        start = time.perf_counter()
        solve(problem)
        seconds.append(time.perf_counter() - start)
    print(statistics.median(seconds), fields)


def system(kind: str, n: int) -> Darcy:
    """a at all nodes, b at the unknowns."""
    k, f, grid = darcy(n + 2, *KINDS[kind])
    return Darcy(k, f[1:-1, 1:-1].contiguous(), grid)


def solve(problem: Darcy) -> None:
    """Couplings, hierarchy and solution."""
    A = Diffusion(problem.k, problem.grid)
    largest = 8 * A.bounds[1] / min(A.grid.spacing) ** 2  # |A|, which bounds what round-off allows
    result = cg(A, problem.f, M=Multigrid(A), rtol=1e-10, A_norm=largest)
    assert result.converged, result


def memory(entry: str) -> int:
    """Bytes that this process holds now (VmRSS), or held at most (VmHWM)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(entry):
            return 1024 * int(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {entry}; memory is measured on Linux.")


def slope(seconds: dict[int, float]) -> float:
    """Of log(seconds) over log(unknowns), least squares."""
    x = [2 * math.log(n) for n in seconds]
    y = [math.log(s) for s in seconds.values()]
    return statistics.linear_regression(x, y).slope


def main(folder: Path = RESULTS) -> None:
    rows = []
    for kind in KINDS:
        seconds: dict[int, float] = {}
        for n in SIZES:
            command = [sys.executable, "-m", "benchmarks.cost", kind, str(n)]
            out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            seconds[n], fields = map(float, out.split())
            row = {
                "problem": kind,
                "unknowns": f"{n} x {n}",
                "median_s": f"{seconds[n]:.3e}",
                "ns_per_unknown": f"{1e9 * seconds[n] / n**2:.0f}",
                "peak_fields": f"{fields:.1f}" if n >= LARGE_ENOUGH else "",
                "slope_to_here": f"{slope(seconds):.3f}" if len(seconds) > 1 else "",
            }
            print("  ".join(row.values()), flush=True)
            rows.append({**row, "threads": 1, **machine()})
    results_file.write(folder / "cost.csv", rows)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        one(sys.argv[1], int(sys.argv[2]))
    else:
        main()
