"""python -m benchmarks.elasticity errors: discretisation errors of the data set `elasticity`.
python -m benchmarks.elasticity compare: trains operators on it, and compares them with elements.

`errors` solves a few samples of seed 0 by linear and quadratic elements on several meshes, with one
thread, and compares the von Mises stress at the 972 points with quadratic elements on the solver's
mesh refined twice. It writes results/elasticity_errors.csv: relative L2 errors with the weights of
the points, mean and largest, and the median processor seconds of a solve.

`compare` takes minutes on one core. It generates the data of the recipes, trains each of TRIALS
briefly on a part of the training samples, trains each recipe with the settings that had the lowest
error on held-out samples, and compares both runs with finite elements on coarser meshes at samples
that nothing was chosen by. It writes results/elasticity_search.csv and
results/elasticity_compare.csv and .md. It can be interrupted and repeated: data, trials, and the
epochs in a checkpoint are not computed again.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

import torch

from pdeops.calculus.norms import Lp, relative_error
from pdeops.compare import compare_points
from pdeops.compare.point_comparison import PointComparison
from pdeops.compare.tables import (
    grid_name,
    markdown_table,
    percent,
    read_csv,
    seconds_text,
    write_csv,
)
from pdeops.datasets.problems.elasticity import Elasticity
from pdeops.tasks import load_recipe, load_run

from .bench import RESULTS, machine
from .spacetime import trained
from .trainings import overrides, pdeops

ORDERS = {"linear": 1, "quadratic": 2}
FINER = 4  # the reference is the solver's mesh refined twice
RECIPES = ("pointlsm_elasticity", "transolver_elasticity")
FILES = {"train": (400, 0), "test": (60, 1)}  # samples and seed of the recipes' files
TRIALS = [{"optimizer.lr": lr} for lr in (1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2)]
BRIEF = {"data.samples": 80, "data.validation": 16, "training.epochs": 10, "seed": 0}
TRAINING = {"training.epochs": 20}


def errors(
    samples: int, problem: Elasticity | None = None, refinements: Sequence[int] = (1, 2)
) -> list[dict[str, object]]:
    """One row for each element and each refinement of the mesh of the points."""
    problem = problem or Elasticity()
    around, across = problem.inputs.around, problem.inputs.across
    reference = (FINER * problem.solver_cells[0], FINER * problem.solver_cells[1])
    meshes = [(name, (r * around, r * across)) for name in ORDERS for r in refinements]
    found: dict[tuple[str, tuple[int, int]], list[float]] = {mesh: [] for mesh in meshes}
    seconds: dict[tuple[str, tuple[int, int]], list[float]] = {mesh: [] for mesh in meshes}
    for i in range(samples):
        void = problem.void(0, i)
        norm = Lp(2.0, domain=problem.points(void))
        truth = problem.solve(void, reference).x[None, None]
        for name, cells in meshes:
            start = time.process_time()
            u = problem.solve(void, cells, ORDERS[name]).x[None, None]
            seconds[name, cells].append(time.process_time() - start)
            found[name, cells].append(relative_error(norm, u, truth).item())
    return [
        {
            "elements": name,
            "cells": grid_name(cells, "x"),
            "reference": grid_name(reference, "x"),
            "samples": samples,
            "error": f"{statistics.mean(found[name, cells]):.3e}",
            "error_max": f"{max(found[name, cells]):.3e}",
            "processor_seconds": f"{statistics.median(seconds[name, cells]):.3e}",
            "threads": 1,
            **machine(),
        }
        for name, cells in meshes
    ]


def table(rows: Sequence[dict[str, object]]) -> str:
    """The errors as Markdown."""
    header = ("elements", "cells", "error", "largest", "processor time")
    return markdown_table(
        header,
        [
            [
                str(row["elements"]),
                str(row["cells"]).replace("x", " × "),
                percent(float(str(row["error"]))),
                percent(float(str(row["error_max"]))),
                seconds_text(float(str(row["processor_seconds"]))),
            ]
            for row in rows
        ],
    )


def files(folder: Path) -> dict[str, str]:
    """The training and the test file of the recipes, generated if they are missing."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for role, (count, seed) in FILES.items():
        out = folder.absolute() / f"elasticity_{role}.h5"
        if not out.exists():
            arguments = ("--samples", str(count), "--seed", str(seed), "--out", str(out))
            pdeops("data", "generate", "elasticity", *arguments)
        found[f"data.{role}"] = f"'{out}'"
    return found


def tried(
    files: Mapping[str, str], common: Mapping[str, object], out: Path
) -> list[dict[str, str]]:
    """The rows of the CSV `out`, one for each trial of each recipe; missing ones are trained.

    All trials of a recipe take the same seconds, since only the rate varies, and have the same
    number of epochs.
    """
    rows = read_csv(out)
    for trial, recipe in product(TRIALS, RECIPES):
        settings = {**BRIEF, **common, **trial}
        key = {"recipe": recipe, **{name: str(value) for name, value in settings.items()}}
        if any(key.items() <= row.items() for row in rows):
            continue
        given, start = overrides({**settings, **files}), time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            report = pdeops("train", recipe, *given, "--out", f"{folder}/run")
        error, seconds = report["validation"]["relative_l2"], time.perf_counter() - start
        rows.append({**key, "validation_relative_l2": f"{error:.5f}", "seconds": f"{seconds:.0f}"})
        write_csv(out, rows)
    return rows


def chosen(rows: Sequence[Mapping[str, str]], recipe: str) -> dict[str, str]:
    """The settings of the trial with the lowest error on held-out samples."""
    mine = [row for row in rows if row["recipe"] == recipe]
    best = min(mine, key=lambda row: float(row["validation_relative_l2"]))
    return {name: best[name] for trial in TRIALS for name in trial}


def compare(
    data: Path, runs: Path, settings: Sequence[str], samples: int, folder: Path = RESULTS
) -> PointComparison:
    """The comparison of all recipes, trained where there is no finished run yet.

    Args:
        settings: key=value for every recipe, in the search and in the training.
        samples: number of test problems.
        folder: where the CSV and Markdown files are written.
    """
    given = files(data)
    common = dict(text.split("=", 1) for text in settings)
    rows = tried(given, common, folder / "elasticity_search.csv")
    loaded = {}
    for recipe in RECIPES:
        best = chosen(rows, recipe)
        pairs = {**TRAINING, **best, **common, **given}
        out = runs / "-".join([recipe, *best.values()])
        trained(load_recipe(recipe, [f"{k}={v}" for k, v in pairs.items()]), out, "cpu")
        run = load_run(out)
        loaded[run.recipe.model.name] = run
    comparison = compare_points(loaded, folder=runs / "report", num_samples=samples)
    comparison.to_csv(folder / "elasticity_compare.csv")
    text = comparison.to_markdown() + "\n"
    (folder / "elasticity_compare.md").write_text(text, encoding="utf-8")
    return comparison


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.elasticity")
    parser.add_argument("what", choices=("errors", "compare"))
    parser.add_argument("--samples", type=int, help="default: 8 for errors, 16 for compare")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the data files")
    parser.add_argument("--runs", type=Path, default=Path("runs/elasticity"))
    parser.add_argument("--set", action="append", default=[], help="key=value for every recipe")
    given = parser.parse_args()
    if given.what == "compare":
        torch.set_num_threads(1)
        found = compare(given.data, given.runs, given.set, given.samples or 16)
        print(found.to_markdown())
        return
    torch.set_num_threads(1)
    rows = errors(given.samples or 8)
    write_csv(RESULTS / "elasticity_errors.csv", rows)
    print(table(rows))


if __name__ == "__main__":
    main()
