"""python -m benchmarks.preconditioners: learned preconditioners beside classical ones, one table.

For each family of `systems.py` one system of an unseen seed, b white noise (projected on the range
of A where A is singular), from zero to |b - A x| <= 1e-8 |b| in float64. Set-up and solution are
timed apart, from A and its assembled matrix; medians of methods taken in turns, after two
iterations of each that compile what it needs. A method that takes long has one turn.

Beside the seconds stand two measures of work in products with A: what an iteration does by its
arithmetic (`work`, without transfers between levels), and what one application of M takes by the
clock (`M_over_A`).

Writes results/preconditioners<n>.csv and .md, for three axes results/preconditioners<n>_3d. All
rows of a family are of one run: those of the families that are measured replace what the file has
of these, and other families stay.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from pdeops.compare.phases import AMORTISED, Tally, break_even, break_even_text
from pdeops.linop import LinearOperator
from pdeops.solvers import SolveResult
from pdeops.solvers.result import relative_residual
from pdeops.tasks.preconditioner import training_seconds
from pdeops.tasks.shipped import shipped_weights

from .bench import RESULTS, machine
from .methods import BEST_CYCLE, CLASSICAL, CYCLES, Counted, Drawn, is_network, learned, variant
from .results_file import Row, read, write
from .systems import FAMILIES, Family

WARM = 731  # unknowns per axis at most of what compiles all loops, also those that threads share
TURNS, SLOW = 3, 2.0  # a method that took so many seconds has no further turn


def best_cycle(s: Drawn, small: Drawn) -> str:
    """The cycle that takes the least time for ten solves of one system, one turn each."""
    found = {}
    for name, arguments in CYCLES.items():
        method, tally = variant(*arguments), Tally()
        Tally().turn(method, small)
        tally.turn(method, s)
        assert tally.solves, tally.failure
        found[name] = (tally.failure is not None, tally.seconds(10))
    return min(found, key=lambda name: found[name])


def measure(
    family: Family, n: int, seed: int, turns: int, networks: Sequence[str], only: str = ""
) -> list[Row]:
    """A row for each method that fits and whose name holds `only`."""
    s = Drawn.of(family, n, seed)
    small = replace(Drawn.of(family, min(n, WARM), seed), max_iterations=2)
    methods = {**CLASSICAL, **{name: learned(name) for name in networks}}
    methods = {k: m for k, m in methods.items() if m.fits(s) and only in k}
    if only in "multigrid, best by search":
        name = best_cycle(s, small)
        methods[name + BEST_CYCLE] = variant(*CYCLES[name])
    for method in methods.values():
        Tally().turn(method, small)
    tallies = {name: Tally() for name in methods}
    solved: dict[str, tuple[Any, SolveResult]] = {}
    for _ in range(turns):
        for name, tally in tallies.items():
            slow = bool(tally.solves) and tally.setups[-1] + tally.solves[-1] > SLOW
            if not slow and tally.failure is None and (last := tally.turn(methods[name], s)):
                solved[name] = last
    product = clocked(lambda: s.A @ s.b)
    rows = []
    for name, tally in tallies.items():
        found = figures(s, methods[name], tally, *solved[name], product) if name in solved else {}
        rows.append(row(s, name, tally, found))
    return rows


def clocked(call: Callable[[], Any], turns: int = 5) -> float:
    """Median seconds of a call, after one that is not timed."""
    call()
    seconds = []
    for _ in range(turns):
        begin = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


def row(s: Drawn, name: str, tally: Tally, found: Row) -> Row:
    """As it is printed and written; only what converged has times to compare."""
    return {
        "family": s.family.name,
        "unknowns": " x ".join(map(str, s.A.grid.shape)),
        "method": name,
        **dict.fromkeys(COLUMNS, ""),
        **found,
        "note": "" if tally.failure is None else f"failed: {tally.failure}",
    }


def figures(
    s: Drawn, method: Counted, tally: Tally, M: Any, result: SolveResult, product: float
) -> Row:
    """The columns of a method that came to a result; `product` is the seconds of one with A."""
    work, applied = method.work(s, M), None
    if result.iterations > 0:
        r = s.b if isinstance(M, LinearOperator) else s.b[None, None]
        applied = clocked(lambda: M.apply(r) if isinstance(M, LinearOperator) else M(r), 3)
    return {
        "iterations": str(result.iterations) if result.converged else f"> {result.iterations}",
        "setup_s": f"{tally.setup:.4g}",
        "solve_s": f"{tally.solve:.4g}",
        **{f"s_at_{k}": f"{tally.seconds(k):.4g}" for k in AMORTISED},
        "work": "" if work is None else f"{work:.1f}",
        "M_over_A": "" if applied is None else f"{applied / product:.1f}",
        "residual": f"{relative_residual(s.A, result.x, s.b):.1e}",
        "turns": str(len(tally.solves)),
    }


COLUMNS = (
    "iterations",
    "setup_s",
    "solve_s",
    *(f"s_at_{k}" for k in AMORTISED),
    "work",
    "M_over_A",
    "residual",
    "turns",
)


def merged(older: Sequence[Row], found: Sequence[Row]) -> list[Row]:
    """Rows of a file after some families were measured again: these are replaced as a whole, the
    others stay; in the order of FAMILIES. A column that only some have is empty in the others."""
    again = {r["family"] for r in found}
    place = {name: i for i, name in enumerate(FAMILIES)}
    empty = dict.fromkeys((key for r in (*found, *older) for key in r), "")
    rows = [{**empty, **r} for r in older if r["family"] not in again]
    rows += [{**empty, **r} for r in found]
    return sorted(rows, key=lambda r: place.get(r["family"], len(place)))


def table(rows: Sequence[Row]) -> Iterator[str]:
    """The lines of a Markdown table, families one after the other."""
    shown = ["method", *COLUMNS[:-2]]
    for name in dict.fromkeys(r["family"] for r in rows):
        of = [r for r in rows if r["family"] == name]
        yield f"\n### {name}, {of[0]['unknowns']} unknowns\n"
        yield "| " + " | ".join(shown) + " |"
        yield "|" + "---|" * len(shown)
        for r in of:
            yield "| " + " | ".join(r[key] for key in shown) + " |"
        yield from repaid(of)


def repaid(rows: Sequence[Row]) -> Iterator[str]:
    """For each network among the rows of a family, after how many solves its training is repaid:
    seconds of the training over those that a solve takes less than by the best other method."""
    done = [r for r in rows if not r["note"]]
    others = [r for r in done if not is_network(r["method"])]
    for r in done:
        if r in others or not others:
            continue
        trained, said = trained_in(r["method"]), []
        for k in AMORTISED:
            seconds = {o["method"]: float(o[f"s_at_{k}"]) for o in others}
            best = min(seconds, key=seconds.__getitem__)
            after = break_even(trained, seconds[best] - float(r[f"s_at_{k}"]))
            said.append(f"{break_even_text(after)} ({k} per set-up, {best})")
        yield f"\n{r['method']} repays its training, in solves: {'; '.join(said)}."


def trained_in(network: str) -> float | None:
    """Seconds of its training; None where they are not known, or the run of older rows is gone."""
    try:
        return training_seconds(network)
    except ValueError:
        return None


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.preconditioners")
    parser.add_argument("--n", type=int, default=511, help="unknowns per axis")
    parser.add_argument("--ndim", type=int, default=2, choices=(2, 3))
    parser.add_argument(
        "--families", nargs="*", choices=[*FAMILIES], metavar="NAME", help="by default all"
    )
    parser.add_argument("--learned", nargs="*", default=shipped_weights(), metavar="NAME|RUN")
    parser.add_argument(
        "--only", default="", help="methods whose name holds this; nothing is written"
    )
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    a = parser.parse_args()
    fitting = [f.name for f in FAMILIES.values() if f.ndim == a.ndim]
    if foreign := set(a.families or ()) - set(fitting):
        parser.error(f"{', '.join(sorted(foreign))}: not of {a.ndim} axes; give --ndim")
    torch.set_num_threads(a.threads)
    stem = f"preconditioners{a.n}" + ("_3d" if a.ndim == 3 else "")
    rows = read(a.out / f"{stem}.csv")
    for name in a.families or fitting:
        found = measure(FAMILIES[name], a.n, a.seed, a.turns, a.learned, a.only)
        print("\n".join(table(found)), flush=True)
        if not a.only:
            found = [{**r, "threads": str(a.threads), **machine()} for r in found]
            rows = merged(rows, found)
            write(a.out / f"{stem}.csv", rows)
    if not a.only:
        lines = "\n".join(table(rows)).lstrip()
        (a.out / f"{stem}.md").write_text(lines + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
