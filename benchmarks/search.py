"""python -m benchmarks.search TRAIN TEST: search over the same hyperparameters for every model.

Each of RECIPES is trained once with each of TRIALS. All have the same seed, epochs and held-out
training samples, on which the error is measured. A recipe needs a test file; it is not
evaluated here. A trial that is already in the CSV is not run again.
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

from pdeops.compare.tables import read_csv, write_csv
from pdeops.compare.timing import Stopwatch

from .bench import RESULTS
from .trainings import overrides, pdeops

RECIPES = ("mgno_darcy16", "fno_darcy16")
RATES = (1e-3, 2e-3, 4e-3)
TRIALS = [
    {"optimizer.lr": lr, "optimizer.weight_decay": decay, "model.dropout": dropout}
    for decay, dropout, rates in (
        (1e-2, 0.0, RATES),
        (5e-2, 0.0, RATES[:1]),  # decay alone changed nothing, so the other rates were left out
        (5e-2, 0.03, RATES),
    )
    for lr in rates
]
COMMON = {"data.validation": 100, "training.batch_size": 16, "training.epochs": 50, "seed": 0}


def validation_error(recipe: str, settings: dict[str, object]) -> float:
    """Relative L2 on the held-out samples at the best epoch of one training."""
    with tempfile.TemporaryDirectory() as folder:
        report = pdeops("train", recipe, *overrides(settings), "--out", f"{folder}/run")
    return report["validation"]["relative_l2"]


def search(
    train: str,
    test: str,
    out: Path,
    recipes: Sequence[str] = RECIPES,
    *,
    trials: Sequence[Mapping[str, object]] = TRIALS,
    common: Mapping[str, object] = COMMON,
) -> list[dict[str, str]]:
    """The rows of the CSV `out`, one for each trial of each recipe; missing ones are trained."""
    rows = read_csv(out)
    for trial, recipe in product(trials, recipes):
        settings = {**common, **trial}
        key = {"recipe": recipe, **{name: str(value) for name, value in settings.items()}}
        if any(key.items() <= row.items() for row in rows):
            continue
        watch, files = Stopwatch(), {"data.train": train, "data.test": test}
        error = watch(validation_error, recipe, {**settings, **files})
        seconds = watch.timing().wall.median
        rows.append({**key, "validation_relative_l2": f"{error:.5f}", "seconds": f"{seconds:.0f}"})
        write_csv(out, rows)
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search")
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("--out", type=Path, default=RESULTS / "search16.csv")
    arguments = parser.parse_args()
    search(arguments.train, arguments.test, arguments.out)


if __name__ == "__main__":
    main()
