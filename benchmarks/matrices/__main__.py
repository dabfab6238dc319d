"""python -m benchmarks.matrices: our default solver against the strongest others, on many matrices.

From a CSR matrix in memory to x with |b - A x| <= 1e-10 |b| in float64, on two threads; set-up
includes recognition, conversion, analysis and hierarchy. Each side has a process of its own per
matrix. `cold_s` is the first set-up and solution in it, without imports, whose seconds are
`import_s`; compiled code comes from the cache, which a first run fills. The other figures are
medians of warm turns, which alternate between the sides. An opponent that takes more than two
seconds has one turn only. The residual is the true one on the given matrix: a side that misses the
tolerance has failed. `s_at_k` is seconds per solve if k right-hand sides share a set-up; a side
that takes several right-hand sides together is measured with 10, and with 100 if they take less
than 20 s. `lead` says who takes less time for how many solves of one matrix.

Writes results/matrices.csv and .md; a system that is measured again replaces its rows.
"""

import argparse
import time
from pathlib import Path

from pdeops.compare.tables import read_csv, write_csv

from ..bench import RESULTS, machine
from ..opponents import LARGEST_3D, limit_threads
from .problems import SYSTEMS, System
from .race import LIMIT, SIDES, Rules, race
from .table import Row, page, rows, summary
from .worker import OURS


def measure(system: System, sides: tuple[str, ...], rules: Rules, size: int) -> list[Row]:
    """The rows of one system; a matrix that must be refused is offered to our side only."""
    given = system.given(size)
    b = system.right_hand_sides(given)
    records = race(given, b, (OURS,) if system.refused else sides, rules)
    return rows(system, given, records)


def merged(older: list[Row], found: list[Row]) -> list[Row]:
    """Rows of a file after some systems were measured again, in the order of SYSTEMS."""
    again = {r["matrix"] for r in found}
    place = {name: i for i, name in enumerate(SYSTEMS)}
    kept = [r for r in older if r["matrix"] not in again]
    return sorted([*kept, *found], key=lambda r: place.get(r["matrix"], len(place)))


def write(found: list[Row], folder: Path) -> None:
    write_csv(folder / "matrices.csv", found)
    text = "\n".join(page(found))
    (folder / "matrices.md").write_text(text + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.matrices",
        epilog=f"Systems: {', '.join(SYSTEMS)}. Sides: {', '.join(SIDES)}.",
    )
    parser.add_argument("--only", nargs="*", choices=SYSTEMS, metavar="NAME", default=[*SYSTEMS])
    parser.add_argument("--sides", nargs="*", choices=SIDES, metavar="SIDE", default=[*SIDES])
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, one warm turn; nothing is written"
    )
    parser.add_argument("--limit", type=float, default=LIMIT, help="processor seconds per turn")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--largest-3d", type=int, default=LARGEST_3D,
        help="direct methods are run on 3D matrices of up to this number of unknowns",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=RESULTS)
    a = parser.parse_args()
    limit_threads(a.threads)
    rules = Rules(limit=a.limit, threads=a.threads, largest_3d=a.largest_3d)
    if a.quick:
        rules = Rules(1, rules.slow, a.limit, a.threads, a.largest_3d)
    sides = tuple(dict.fromkeys([OURS, *a.sides]))
    everything: list[Row] = []
    for name in a.only:
        system, begin = SYSTEMS[name], time.perf_counter()
        if why := system.why_not():
            print(f"\n{name}: skipped: {why}", flush=True)
            continue
        found = measure(system, sides, rules, system.small if a.quick else system.size)
        print("\n".join(list(page(found))[3:]))
        print(f"\n{time.perf_counter() - begin:.0f} s", flush=True)
        conditions = {"dtype": "float64", "threads": str(a.threads), **machine()}
        found = [{**row, **conditions} for row in found]
        everything += found
        if not a.quick and sides == SIDES:
            write(merged(read_csv(a.out / "matrices.csv"), found), a.out)
    print(f"\n{summary(everything)}")


if __name__ == "__main__":
    main()
