"""python -m benchmarks.generalisation: growth of the iterations of a learned preconditioner on
finer grids.

Field i, of an unseen seed, belongs to family i modulo their number. Each is solved on all grids,
from zero to |b - A x| <= 1e-8 |b| with b white noise, by CG with the learned M and with classical
multigrid. Where the coefficient is a function, it is the same function on each grid. One thread.

Writes results/generalisation_<name>.csv: mean and largest number of iterations by family, grid and
method, and both relative to the coarsest grid.
"""

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from pdeops.compare.tables import write_csv
from pdeops.solvers import Multigrid, cg
from pdeops.tasks.preconditioner import load_correction
from pdeops.tasks.shipped import shipped_weights

from .bench import RESULTS, machine
from .systems import FAMILIES

KINDS = (
    "Darcy 12/3",
    "Darcy 1e2",
    "Darcy 1e4",
    "white noise 1e4",
    "anisotropy 100",
    "boxes 30 %",
    "cells 5 %",
    "cells 20 %",
)
SIZES = (63, 1023)
RTOL, MOST, ALL = 1e-8, 3000, "all"
Counts = dict[tuple[str, str, int], list[int]]  # by family, method and unknowns per axis


def count(network: Any, kinds: Sequence[str], sizes: Sequence[int], fields: int) -> Counts:
    """Iterations on each field; a solve that does not converge counts as MOST."""
    found: Counts = {}
    for index in range(fields):
        kind = kinds[index % len(kinds)]
        for n in sizes:
            A = FAMILIES[kind](n, index)
            generator = torch.Generator().manual_seed(index)
            b = A.project(torch.randn(A.grid.shape, generator=generator, dtype=torch.float64))
            for method, M in (("learned", network.on(A)), ("multigrid", Multigrid(A))):
                result = cg(A, b, M=M, rtol=RTOL, max_iterations=MOST)
                iterations = result.iterations if result.converged else MOST
                for name in (kind, ALL):
                    found.setdefault((name, method, n), []).append(iterations)
        print(f"\r{index + 1} of {fields} fields", end="", flush=True)
    print()
    return found


def rows(found: Counts) -> list[dict[str, str]]:
    """Mean and largest number of iterations, and their ratios to those on the coarsest grid."""
    coarsest = min(n for _, _, n in found)
    lines = []
    for (kind, method, n), counts in sorted(found.items(), key=lambda entry: entry[0][:2]):
        start = found[kind, method, coarsest]
        mean, worst = statistics.mean(counts), max(counts)
        lines.append(
            {
                "family": kind,
                "method": method,
                "unknowns": f"{n} x {n}",
                "fields": str(len(counts)),
                "mean": f"{mean:.2f}",
                "worst": str(worst),
                "mean_growth": f"{mean / statistics.mean(start):.2f}",
                "worst_growth": f"{worst / max(start):.2f}",
            }
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generalisation")
    parser.add_argument("name", help=f"run folder, or one of {', '.join(shipped_weights())}")
    parser.add_argument("--fields", type=int, default=100)
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    parser.add_argument("--families", nargs="*", choices=[*FAMILIES], default=KINDS, metavar="NAME")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    network = load_correction(arguments.name)
    found = rows(count(network, arguments.families, arguments.sizes, arguments.fields))
    for row in found:
        print("  ".join(row.values()))
    stem = f"generalisation_{Path(arguments.name).name}"
    write_csv(arguments.out / f"{stem}.csv", [{**row, **machine()} for row in found])


if __name__ == "__main__":
    main()
