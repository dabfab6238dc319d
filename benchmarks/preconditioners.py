"""python -m benchmarks.preconditioners: learned and classical preconditioners in one table.

For each family of `systems.py` one system of an unseen seed, b white noise (projected on the range
of A where A is singular), from zero to |b - A x| <= 1e-8 |b| in float64. Set-up and solution are
timed separately, from A and its assembled matrix; medians of methods taken by turns, after two
iterations of each that compile what it needs. A slow method has only one turn.

Two columns measure work in products with A: `work` counts the operations of an iteration (without
transfers between levels), `M_over_A` is the measured time of one application of M.

Writes results/preconditioners<n>.csv and .md, for three axes results/preconditioners<n>_3d. All
rows of a family come from one run: a family that is measured again replaces its rows in the file,
the others stay.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from pdeops.compare.break_even import break_even, break_even_text
from pdeops.compare.linear_methods import AMORTISED, Tally
from pdeops.compare.linear_methods import measure as measure_methods
from pdeops.compare.tables import markdown_table, read_csv, write_csv
from pdeops.compare.timing import time_calls
from pdeops.linop import LinearOperator
from pdeops.solvers.result import relative_residual
from pdeops.tasks.running import training_seconds
from pdeops.tasks.shipped import shipped_weights

from .bench import RESULTS, machine
from .lead import Total, lead
from .methods import (
    BEST_CYCLE,
    CLASSICAL,
    CYCLES,
    OTHERS,
    Counted,
    Drawn,
    is_network,
    learned,
    variant,
)
from .opponents import limit_threads
from .systems import FAMILIES, Family

Row = dict[str, str]

WARM = 731  # largest number of unknowns per axis in the warm-up; it compiles the threaded loops too
TURNS, SLOW = 3, 2.0  # number of turns; a method that takes SLOW seconds has no further turn


def best_cycle(s: Drawn, small: Drawn) -> str:
    """The cycle that takes the least time for ten solves of one system, one turn each."""
    methods = {name: variant(*arguments) for name, arguments in CYCLES.items()}
    tallies = measure_methods(methods, lambda _: s, turns=1, warm_up=small)
    failed = {name for name, tally in tallies.items() if tally.failure is not None}
    return min(tallies, key=lambda name: (name in failed, tallies[name].seconds(10)))


def measure(
    family: Family, n: int, seed: int, turns: int, networks: Sequence[str], only: str = ""
) -> list[Row]:
    """A row for each method that fits and whose name contains `only`."""
    s = Drawn.of(family, n, seed)
    small = replace(Drawn.of(family, min(n, WARM), seed), max_iterations=2)
    methods = {**CLASSICAL, **{name: learned(name) for name in networks}}
    methods = {k: m for k, m in methods.items() if m.fits(s) and only in k}
    if only in "multigrid, best by search":
        name = best_cycle(s, small)
        methods[name + BEST_CYCLE] = variant(*CYCLES[name])
    tallies = measure_methods(methods, lambda _: s, turns=turns, warm_up=small, slow=SLOW)
    product = time_calls({"A": lambda: s.A @ s.b}, repeats=5)["A"].wall.median
    return [row(s, name, tally, methods[name], product) for name, tally in tallies.items()]


def row(s: Drawn, name: str, tally: Tally, method: Counted, product: float) -> Row:
    """The row of a method as it is written; without figures where it gave no result."""
    return {
        "family": s.family.name,
        "unknowns": " x ".join(map(str, s.A.grid.shape)),
        "method": name,
        **dict.fromkeys(COLUMNS, ""),
        **({} if tally.result is None else figures(s, tally, method, product)),
        "note": "" if tally.failure is None else f"failed: {tally.failure}",
    }


def figures(s: Drawn, tally: Tally, method: Counted, product: float) -> Row:
    """The columns of a method that gave a result; `product` is the seconds of a product with A."""
    M, result = tally.M, tally.result
    assert result is not None
    work, applied = method.work(s, M), None
    if result.iterations > 0 and method.applies:
        applied = seconds_of_application(M, s.b)
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


def seconds_of_application(M: Any, b: torch.Tensor) -> float:
    """Median seconds of M r."""
    linear = isinstance(M, LinearOperator)
    r, apply = (b, M.apply) if linear else (b[None, None], M)
    return time_calls({"M": lambda: apply(r)}, repeats=3)["M"].wall.median


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
    """Rows of a file after some families were measured again, in the order of FAMILIES.

    The rows of these families are replaced as a whole, the others stay. A column that only some
    rows have is empty in the others.
    """
    again = {r["family"] for r in found}
    place = {name: i for i, name in enumerate(FAMILIES)}
    empty = dict.fromkeys((key for r in (*found, *older) for key in r), "")
    rows = [{**empty, **r} for r in older if r["family"] not in again]
    rows += [{**empty, **r} for r in found]
    return sorted(rows, key=lambda r: place.get(r["family"], len(place)))


def table(rows: Sequence[Row]) -> Iterator[str]:
    """The lines of a Markdown page: a heading and a table for each family."""
    shown = ["method", *COLUMNS[:-2]]
    for name in dict.fromkeys(r["family"] for r in rows):
        of = [r for r in rows if r["family"] == name]
        yield f"\n### {name}, {of[0]['unknowns']} unknowns\n"
        yield from markdown_table(shown, [[r[key] for key in shown] for r in of]).splitlines()
        yield from repaid(of)
        yield from ends(of)


def repaid(rows: Sequence[Row]) -> Iterator[str]:
    """A sentence for each network among the rows of a family: the number of solves after which its
    training is repaid, compared with the best of the other methods."""
    done = [r for r in rows if not r["note"]]
    others = [r for r in done if not is_network(r["method"])]
    for r in done:
        if r in others or not others:
            continue
        trained, texts = training_time(r["method"]), []
        for k in AMORTISED:
            seconds = {o["method"]: float(o[f"s_at_{k}"]) for o in others}
            best = min(seconds, key=seconds.__getitem__)
            after = break_even(trained, seconds[best] - float(r[f"s_at_{k}"]))
            texts.append(f"{break_even_text(after)} ({k} per set-up, {best})")
        yield f"\n{r['method']} repays its training, in solves: {'; '.join(texts)}."


def ends(rows: Sequence[Row]) -> Iterator[str]:
    """A sentence that says for which numbers of solves per matrix the best of our methods (for one
    solve) takes less time than each method by others."""
    done = {r["method"]: r for r in rows if not r["note"]}
    ours = [r for name, r in done.items() if name in CLASSICAL and name not in OTHERS]
    others = {name: done[name] for name in OTHERS if name in done}
    if not ours or not others:
        return
    best = min(ours, key=lambda r: float(r["s_at_1"]))
    texts = [f"{name}: {lead(total(best), total(row))}" for name, row in others.items()]
    yield f"\nWho leads, {best['method']} (ours) or the other: {'. '.join(texts)}."


def total(row: Row) -> Total:
    """Number of solves -> seconds, with the set-up."""
    return lambda solves: float(row["setup_s"]) + solves * float(row["solve_s"])


def training_time(network: str) -> float | None:
    """Seconds of a network's training; None if unknown or if its run no longer exists."""
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
        "--only", default="", help="only methods whose name contains this; nothing is written"
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
    limit_threads(a.threads)
    stem = f"preconditioners{a.n}" + ("_3d" if a.ndim == 3 else "")
    rows = read_csv(a.out / f"{stem}.csv")
    for name in a.families or fitting:
        found = measure(FAMILIES[name], a.n, a.seed, a.turns, a.learned, a.only)
        print("\n".join(table(found)), flush=True)
        if not a.only:
            found = [{**r, "threads": str(a.threads), **machine()} for r in found]
            rows = merged(rows, found)
            write_csv(a.out / f"{stem}.csv", rows)
    if not a.only:
        lines = "\n".join(table(rows)).lstrip()
        (a.out / f"{stem}.md").write_text(lines + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
