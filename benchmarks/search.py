"""python -m benchmarks.search TRAIN TEST: MgNO and FNO, each at its best of an equal search.

For each of RECIPES it calls `pdeops.tasks.search.search` with the same number of trials and the
same seconds of training per trial; learning rate, width and depth vary around those of the recipe.
The error is that on held-out training samples; a recipe needs a test file, which is not used. It
writes the trials of all searches to results/search_darcy16.csv. It can be interrupted and repeated:
finished trials are not run again.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from pdeops.compare.tables import write_csv
from pdeops.tasks.search import SearchReport, search

from .bench import RESULTS, machine

RECIPES = ("mgno_darcy16", "fno_darcy16")


def searches(
    settings: Sequence[str], folder: Path, *, trials: int, seconds: float
) -> dict[str, SearchReport]:
    """Recipe -> its search, the same for all; the later ones are left out after an interrupt.

    Args:
        settings: key=value for every recipe.
        folder: where each search has a folder.
    """
    found: dict[str, SearchReport] = {}
    for recipe in RECIPES:
        found[recipe] = search(
            recipe,
            trials=trials,
            seconds=seconds,
            overrides=settings,
            out=folder / recipe,
            device="cpu",
            progress=lambda row: print(row, file=sys.stderr, flush=True),
        )
        if found[recipe].interrupted:
            break
    return found


def lines(found: dict[str, SearchReport], seconds: float) -> list[dict[str, str]]:
    """One line for each trial of each search."""
    return [
        {"recipe": recipe, **row, "seconds_planned": f"{seconds:g}", **machine()}
        for recipe, report in found.items()
        for row in report.rows
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search")
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("--trials", type=int, default=8, help="of each model")
    parser.add_argument("--seconds", type=float, default=30, help="of training of each trial")
    parser.add_argument("--set", action="append", default=[], help="key=value for every recipe")
    parser.add_argument("--folder", type=Path, default=Path("runs/search16"), help="of the runs")
    parser.add_argument("--out", type=Path, default=RESULTS / "search_darcy16.csv")
    given = parser.parse_args()
    torch.set_num_threads(1)
    files = [f"data.train='{given.train}'", f"data.test='{given.test}'"]
    plan = {"trials": given.trials, "seconds": given.seconds}
    found = searches([*files, *given.set], given.folder, **plan)
    write_csv(given.out, lines(found, given.seconds))
    for recipe, report in found.items():
        print(f"## {recipe}\n\n{report.to_markdown()}\n")


if __name__ == "__main__":
    main()
