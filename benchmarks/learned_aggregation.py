"""python -m benchmarks.learned_aggregation: smoothed aggregation, learned and classical.

For each kind of `datasets/systems/matrices.py` and each size one matrix of an unseen seed, from the
CSR matrix in memory to x with |b - A x| <= 1e-8 |b|; turns, clock and warm-up are those of
`benchmarks.graph_preconditioner`.

All methods are M of conjugate gradients. `untrained` and `chebyshev` have the hierarchy of the
learned M, with Jacobi and with a polynomial of degree 2 as smoother; the latter takes as many
products as the learned M and shows what training adds. `learned S` and `learned P` have only the
smoothers, or only the prolongations, of the learned M; the other part is that of `chebyshev`.
`Gauss-Seidel` is the smoothed aggregation of `AlgebraicMultigrid`, `amg` its default, Ruge and
Stüben's.

Writes results/learned_aggregation.csv and .md; a kind and size measured again replaces its rows.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from pdeops.compare.linear_methods import AMORTISED, measure
from pdeops.compare.tables import markdown_table, read_csv, write_csv
from pdeops.compare.timing import Clock
from pdeops.datasets.systems.matrices import KINDS
from pdeops.solvers import AlgebraicMultigrid, SmoothedAggregation
from pdeops.solvers.multigrid.aggregation import (
    AggregationCycle,
    Values,
    chebyshev,
    jacobi,
    unknowns_per_node,
)
from pdeops.solvers.preconditioners import CLASSICAL
from pdeops.tasks.preconditioner import load_correction

from .bench import RESULTS, machine
from .graph_preconditioner import SLOW, SMALL, TURNS, Drawn, Row, merged, preconditioned, row
from .opponents import limit_threads

LARGE = 300_000  # unknowns from which only cycles of multigrid are measured
SHOWN = (
    "method", "iterations", "products", "setup_s", "solve_s", *(f"s_at_{k}" for k in AMORTISED),
    "to_untrained", "to_chebyshev", "note",
)  # fmt: skip
SUMMARY = ("untrained", "chebyshev", "learned", "Gauss-Seidel", "amg")


def builders(model: Any, large: bool) -> dict[str, Callable[[Any], Any]]:
    """The preconditioners, by name."""

    def cycle(values: Values) -> Callable[[Any], Any]:
        return lambda A: AggregationCycle(A, values, theta=model.theta)

    def gauss_seidel(A: Any) -> Any:
        block = unknowns_per_node(A.to_csr())
        return AlgebraicMultigrid(A, kind="smoothed_aggregation", block=block)

    found: dict[str, Callable[[Any], Any]] = {
        "untrained": cycle(jacobi),
        "chebyshev": cycle(chebyshev),
        "learned": model.on,
        "Gauss-Seidel": gauss_seidel,
        "amg": CLASSICAL["amg"],
    }
    if large:
        return found
    return found | {
        "learned S": cycle(lambda level: (model.values(level)[0], jacobi(level)[1])),
        "learned P": cycle(lambda level: (chebyshev(level)[0], model.values(level)[1])),
        "ic0": CLASSICAL["ic0"],
        "PyAMG SA": SmoothedAggregation,
    }


def measured(kind: str, size: int, model: Any, turns: int) -> list[Row]:
    """The rows of one matrix."""
    s, small = Drawn.of(kind, size), Drawn.of(kind, SMALL)
    table = {k: preconditioned(build) for k, build in builders(model, size > LARGE).items()}
    clock = Clock(wall=time.process_time)
    tallies = measure(table, lambda _: s, turns=turns, warm_up=small, slow=SLOW, clock=clock)
    rows = [row(kind, s, name, tally) for name, tally in tallies.items()]
    counts = {r["method"]: int(r["iterations"] or 0) for r in rows}
    kept = ("kind", "unknowns", "entries", *SHOWN)
    return [{k: (r | ratios(r, counts)).get(k, "") for k in kept} for r in rows]


def ratios(r: Row, counts: dict[str, int]) -> Row:
    """The iterations of a method relative to those of the two classical cycles."""
    return {
        f"to_{name}": f"{int(r['iterations']) / counts[name]:.2f}"
        for name in ("untrained", "chebyshev")
        if r["iterations"] and counts[name]
    }


def page(rows: Sequence[Row]) -> Iterator[str]:
    """A summary, and a table for each matrix."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for r in rows:
        groups.setdefault((r["kind"], r["unknowns"]), []).append(r)
    header = ["kind", "unknowns", "learned / untrained", "learned / chebyshev"]
    header += [f"{name}: iterations, set-up + solve in s" for name in SUMMARY]
    body = [summary(*key, {r["method"]: r for r in of}) for key, of in groups.items()]
    yield from markdown_table(header, body).split("\n")
    for (kind, unknowns), of in groups.items():
        yield f"\n### {kind}, {int(unknowns):,} unknowns\n"
        yield from markdown_table(SHOWN, [[r[k] for k in SHOWN] for r in of]).split("\n")


def summary(kind: str, unknowns: str, of: dict[str, Row]) -> list[str]:
    """Iterations and seconds of one matrix."""
    learned = of["learned"]
    parts = (of[name] for name in SUMMARY)
    cells = [r["note"] or f"{r['iterations']}, {r['setup_s']} + {r['solve_s']}" for r in parts]
    return [kind, f"{int(unknowns):,}", learned["to_untrained"], learned["to_chebyshev"], *cells]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learned_aggregation")
    parser.add_argument("--kinds", nargs="*", choices=[*KINDS], metavar="KIND", default=[*KINDS])
    parser.add_argument("--sizes", nargs="*", type=int, default=[1000, 10_000, 100_000])
    parser.add_argument("--learned", default="learned_aggregation", metavar="NAME|RUN")
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    limit_threads(a.threads)
    model = load_correction(a.learned)
    file = a.out / "learned_aggregation.csv"
    for size in a.sizes:
        for kind in a.kinds:
            found = measured(kind, size, model, a.turns)
            print("\n".join(page(found)), flush=True)
            found = [{**r, "threads": str(a.threads), **machine()} for r in found]
            rows = merged(read_csv(file), found)
            write_csv(file, rows)
            file.with_suffix(".md").write_text("\n".join(page(rows)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
