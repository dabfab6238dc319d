"""python -m benchmarks.graph_preconditioner: preconditioners of sparse matrices, kinds x methods.

For each kind of `datasets/systems/matrices.py` and each size one matrix of an unseen seed; b is
white noise. From the CSR matrix in memory to x with |b - A x| <= 1e-8 |b| in float64: set-up
includes conversion, scaling, the network and hierarchies. Seconds are processor seconds over all
threads, medians of turns that alternate between the methods, after an untimed warm-up on a small
matrix of the same kind; a method that takes more than two seconds has one turn.

The learned M is `--learned`. `chebyshev` (degree 8 in D⁻¹A) and `fsai` are untrained and consist of
products, too: they show what training adds. `PyAMG tuned` is the best of six settings for one solve
of this matrix, chosen by their seconds, which are not counted; up to 30,000 unknowns.

Writes results/graph_preconditioner.csv and .md; a kind and size measured again replaces its rows.
The sentences at the top of the .md, one for each kind, are in docs/solve.md. `--page` writes it
from the .csv, and measures nothing.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pdeops.compare.linear_methods import (
    AMORTISED,
    LinearMethod,
    LinearSystem,
    Tally,
    measure,
    tuned_pyamg,
)
from pdeops.compare.tables import markdown_table, read_csv, write_csv
from pdeops.compare.timing import Clock
from pdeops.datasets.systems.matrices import KINDS
from pdeops.solvers import Matrix, RugeStueben, SmoothedAggregation, cg
from pdeops.solvers.choice.system import System
from pdeops.solvers.direct.sparse import factor
from pdeops.solvers.preconditioners import CLASSICAL
from pdeops.tasks.preconditioner import load_correction

from .bench import RESULTS, machine
from .opponents import OPPONENTS, Given, limit_threads

Row = dict[str, str]

SEED, RTOL, SLOW, TURNS, SMALL, TUNED = 2**40, 1e-8, 2.0, 3, 300, 30_000
SHOWN = (
    "method", "iterations", "products", "setup_s", "solve_s", *(f"s_at_{k}" for k in AMORTISED),
    "iterations_to_ic0", "seconds_to_best", "note",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Drawn(LinearSystem):
    """A system and the matrix as a user holds it."""

    given: Given

    @classmethod
    def of(cls, kind: str, size: int) -> "Drawn":
        random = np.random.default_rng((SEED, size))
        csr = KINDS[kind](size, random)
        b = random.standard_normal(csr.shape[0])
        ndim = 3 if "3d" in kind or kind == "tetrahedra" else 2
        A = Matrix(csr, symmetric=True, positive_definite=True)
        return cls(A, torch.from_numpy(b), RTOL, 5000, Given(csr, RTOL, ndim))


def preconditioned(build: Callable[[Any], Any]) -> LinearMethod[Drawn]:
    """CG with M = build(A), A made from the CSR matrix in the set-up."""

    def set_up(s: Drawn) -> Any:
        A = System.of(s.given.A).matrix
        return A, build(A)

    def solve(s: Drawn, both: Any) -> Any:
        A, M = both
        return cg(A, s.b, M=M, rtol=s.rtol, max_iterations=s.max_iterations)

    return LinearMethod(set_up, solve)


def opponent(name: str) -> LinearMethod[Drawn]:
    """A solver by others (`opponents.py`), with its own conjugate gradients."""

    def set_up(s: Drawn) -> Any:
        return OPPONENTS[name].start(s.given)

    def solve(s: Drawn, run: Any) -> torch.Tensor:
        return torch.from_numpy(np.asarray(run(s.b.numpy()).x))

    return LinearMethod(set_up, solve, lambda s: not OPPONENTS[name].why_not(s.given, 30_000))


def methods(learned: Sequence[str]) -> dict[str, LinearMethod[Drawn]]:
    """The table of methods, by name."""
    networks = {name: load_correction(name) for name in learned}
    found = {name: preconditioned(network.on) for name, network in networks.items()}
    names = ("jacobi", "ic0", "chebyshev", "fsai", "amg")
    found |= {name: preconditioned(CLASSICAL[name]) for name in names}
    found["PyAMG RS"] = preconditioned(RugeStueben)
    found["PyAMG SA"] = preconditioned(SmoothedAggregation)
    if find_spec("polysolve") is not None:
        found |= {name: opponent(name) for name in ("CHOLMOD", "BoomerAMG+CG")}
    lu = LinearMethod(lambda s: factor(s.A), lambda s, inverse: inverse(s.b))
    return found | {"sparse LU": lu}


def measured(kind: str, size: int, learned: Sequence[str], turns: int) -> list[Row]:
    """The rows of one matrix."""
    s, small = Drawn.of(kind, size), Drawn.of(kind, SMALL)
    table = methods(learned)
    if size <= TUNED and (best := tuned_pyamg(s, preconditioned)) is not None:
        table["PyAMG tuned"] = best
    clock = Clock(wall=time.process_time)
    tallies = measure(table, lambda _: s, turns=turns, warm_up=small, slow=SLOW, clock=clock)
    rows = [row(kind, s, name, tally) for name, tally in tallies.items()]
    return compared(rows)


def row(kind: str, s: Drawn, name: str, tally: Tally) -> Row:
    """The row of a method; without figures where it failed."""
    head = {
        "kind": kind,
        "unknowns": str(s.A.shape[0]),
        "entries": str(s.given.A.nnz),
        "method": name,
    }
    empty = dict.fromkeys(SHOWN[1:], "")
    if tally.failure is not None:
        return {**head, **empty, "note": f"failed: {tally.failure}"}
    M = tally.M[1] if isinstance(tally.M, tuple) else None
    inside = getattr(M, "products", None)
    count = tally.iterations[-1]
    return {
        **head,
        **empty,
        "iterations": str(count) if count else "",
        "products": "" if inside is None else f"{count * (1 + inside):.0f}",
        "setup_s": f"{tally.setup:.3g}",
        "solve_s": f"{tally.solve:.3g}",
        **{f"s_at_{k}": f"{tally.seconds(k):.3g}" for k in AMORTISED},
    }


def compared(rows: list[Row]) -> list[Row]:
    """The rows with iterations relative to IC(0) and seconds of one solve relative to the best."""
    done = {r["method"]: r for r in rows if not r["note"]}
    best = min(float(r["s_at_1"]) for r in done.values())
    reference = done.get("ic0", {}).get("iterations")
    for r in done.values():
        r["seconds_to_best"] = f"{float(r['s_at_1']) / best:.2f}"
        if reference and r["products"]:
            r["iterations_to_ic0"] = f"{int(r['iterations']) / int(reference):.2f}"
    return rows


def page(rows: Sequence[Row]) -> Iterator[str]:
    """A summary of what to take, and a table for each matrix."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for r in rows:
        groups.setdefault((r["kind"], r["unknowns"]), []).append(r)
    for kind in dict.fromkeys(kind for kind, _ in groups):
        yield advice(kind, [r for r in rows if r["kind"] == kind])
    yield ""
    header = ["kind", "unknowns", *(f"least seconds, {k} solves" for k in AMORTISED)]
    header += ["least without factor or hierarchy"]
    yield from markdown_table(header, [summary(*key, of) for key, of in groups.items()]).split("\n")
    for (kind, unknowns), of in groups.items():
        yield f"\n### {kind}, {int(unknowns):,} unknowns\n"
        yield from markdown_table(SHOWN, [[r[k] for k in SHOWN] for r in of]).split("\n")


LIGHT = ("jacobi", "ic0", "chebyshev", "fsai")


def summary(kind: str, unknowns: str, rows: Sequence[Row]) -> list[str]:
    """The methods of least seconds for 1, 10 and 100 solves of one matrix."""
    done = [r for r in rows if not r["note"]]
    light = [r for r in done if is_light(r)]
    cells = [least(done, k) for k in AMORTISED]
    return [kind, unknowns, *cells, least(light, 1)]


def least(rows: Sequence[Row], solves: int) -> str:
    best = fastest(rows, solves)
    return f"{best['method']} {best[f's_at_{solves}']}"


def fastest(rows: Sequence[Row], solves: int = 1) -> Row:
    """The row of least seconds per solve."""
    return min(rows, key=lambda r: float(r[f"s_at_{solves}"]))


def is_light(row: Row) -> bool:
    """Whether the method needs neither a factorisation nor a hierarchy."""
    return row["method"] in LIGHT or bool(row["products"])


def advice(kind: str, rows: Sequence[Row]) -> str:
    """What to take for one solve: the fastest method at each size, the size from which on it is a
    factorisation or a hierarchy, and the fastest of the others at the largest size."""
    by_size: dict[int, list[Row]] = {}
    for r in rows:
        if not r["note"]:
            by_size.setdefault(int(r["unknowns"]), []).append(r)
    best = {size: fastest(by_size[size]) for size in sorted(by_size)}
    text = ", ".join(f"`{r['method']}` at {size:,}" for size, r in best.items())
    start = None
    for size, r in reversed(best.items()):
        if is_light(r):
            break
        start = size
    lead = "from no measured size on" if start is None else f"from {start:,} unknowns on"
    largest = max(by_size)
    light = fastest([r for r in by_size[largest] if is_light(r)])
    ratios = [
        f"{float(light['s_at_1']) / float(r['s_at_1']):.2f} of `{r['method']}`"
        for r in by_size[largest]
        if r["method"] in ("ic0", "jacobi") and r is not light
    ]
    return (
        f"- **{kind}**: take {text}. A factorisation or a hierarchy is the fastest {lead}; without "
        f"both, take `{light['method']}` at {largest:,} ({', '.join(ratios)})."
    )


def merged(older: Sequence[Row], found: Sequence[Row]) -> list[Row]:
    """Rows of a file after some matrices were measured again, by kind and size."""
    again = {(r["kind"], r["unknowns"]) for r in found}
    kept = [r for r in older if (r["kind"], r["unknowns"]) not in again]
    place: Mapping[str, int] = {kind: i for i, kind in enumerate(KINDS)}
    return sorted([*kept, *found], key=lambda r: (place[r["kind"]], int(r["unknowns"])))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.graph_preconditioner")
    parser.add_argument("--kinds", nargs="*", choices=[*KINDS], metavar="KIND", default=[*KINDS])
    parser.add_argument("--sizes", nargs="*", type=int, default=[1000, 10_000, 100_000])
    parser.add_argument("--learned", nargs="*", default=["graph_inverse"], metavar="NAME|RUN")
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--page", action="store_true", help="only write the .md from the .csv")
    a = parser.parse_args()
    if a.page:
        a.sizes = []
    torch.set_num_threads(a.threads)
    limit_threads(a.threads)
    file = a.out / "graph_preconditioner.csv"
    for size in a.sizes:
        for kind in a.kinds:
            found = measured(kind, size, a.learned, a.turns)
            print("\n".join(page(found)), flush=True)
            found = [{**r, "threads": str(a.threads), **machine()} for r in found]
            rows = merged(read_csv(file), found)
            write_csv(file, rows)
    rows = read_csv(file)
    file.with_suffix(".md").write_text("\n".join(page(rows)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
