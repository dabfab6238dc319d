"""Cost, iterations and memory of multigrid-CG over the number of unknowns.

-div(a grad u) = 1 on a rectangle, u = 0 on its sides, float64, to 1e-10 or to what round-off
allows, 10 ε (|A||x| + |b|); iterations to 1e-8. One process per size, so that the peak of memory is
that of one solve: in fields, without a, b and the memory that a solve of 31² unknowns loads. Times
are medians, set-up included, on one thread: a second thread would help large systems only and
flatten the slope.

python -m benchmarks.cost: print, and write results/cost.csv.
"""

import math
import statistics
import subprocess
import sys
from pathlib import Path

import torch

from pdeops.compare.tables import write_csv
from pdeops.compare.timing import Stopwatch, interleave
from pdeops.domain import Grid
from pdeops.solvers import Diffusion, Multigrid, cg

from .bench import RESULTS, machine
from .solvers import Darcy, darcy

SIZES = (127, 255, 511, 1023, 2047, 4095)
KINDS = {  # two values of a, in blobs, and the ratio of the sides
    "a = 1": (1.0, 1.0, 1.0),
    "a in {3, 12}": (3.0, 12.0, 1.0),
    "a in {1, 1e4}": (1.0, 1e4, 1.0),
    "a = 1, spacings 1 : 1000^½": (1.0, 1.0, 1000**0.5),
}
LARGE_ENOUGH = 1023  # below, the memory of a solve is small compared with that of the process


def one(kind: str, n: int) -> None:
    """Print the seconds of a solve, its peak memory in fields, and its iterations to 1e-8."""
    torch.set_num_threads(1)
    solve(system(kind, 31))
    problem = system(kind, n)
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak of memory before the solve
    before = memory("VmRSS")
    solve(problem)
    fields = (memory("VmHWM") - before) / (8 * n * n)

    def side(watch: Stopwatch, turn: int) -> bool:
        watch(solve, problem)
        return turn == 0 or sum(watch.wall["call"]) < 1.0

    watch = interleave({"solve": side}, repeats=None)["solve"]
    print(watch.timing().wall.median, fields, solve(problem, 1e-8))


def system(kind: str, n: int) -> Darcy:
    """A system with a at all nodes and b at the unknowns."""
    low, high, ratio = KINDS[kind]
    k, f, grid = darcy(n + 2, low, high)
    return Darcy(k, f[1:-1, 1:-1].contiguous(), Grid(grid.shape, (ratio, 1.0)))


def solve(problem: Darcy, rtol: float = 1e-10) -> int:
    """Compute couplings, hierarchy and solution; returns the number of iterations."""
    A = Diffusion(problem.k, problem.grid)
    largest = 8 * A.bounds[1] / min(A.grid.spacing) ** 2  # |A|, which bounds what round-off allows
    result = cg(A, problem.f, M=Multigrid(A), rtol=rtol, A_norm=largest)
    assert result.converged, result
    return result.iterations


def memory(entry: str) -> int:
    """Bytes of resident memory of this process, now (VmRSS) or at most (VmHWM)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(entry):
            return 1024 * int(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {entry}; memory is measured on Linux.")


def slope(seconds: dict[int, float]) -> float:
    """The slope of log(seconds) over log(unknowns), by least squares."""
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
            seconds[n], fields, iterations = map(float, out.split())
            row = {
                "problem": kind,
                "unknowns": f"{n} x {n}",
                "median_s": f"{seconds[n]:.3e}",
                "ns_per_unknown": f"{1e9 * seconds[n] / n**2:.0f}",
                "iterations_1e-8": f"{iterations:.0f}",
                "peak_fields": f"{fields:.1f}" if n >= LARGE_ENOUGH else "",
                "slope_to_here": f"{slope(seconds):.3f}" if len(seconds) > 1 else "",
            }
            print("  ".join(row.values()), flush=True)
            rows.append({**row, "threads": 1, **machine()})
    write_csv(folder / "cost.csv", rows)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        one(sys.argv[1], int(sys.argv[2]))
    else:
        main()
