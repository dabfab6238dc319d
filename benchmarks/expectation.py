"""python -m benchmarks.expectation table|coverage --data FOLDER: `pdeops expect` on rough flow.

Rough Darcy flow, permeabilities {2, 12} and {1, 1000}; E[Q] of the mean pressure and of the flux
through the right side. An FNO, trained on 400 samples of 65² nodes, is the control variate; its
opponents at the same standard error are plain Monte Carlo, the best coarser grid as a control
variate, and multilevel Monte Carlo on the same finest grid. One thread.

    table     nodes 257²; the standard error is that of 400 solves. Columns: evaluations, seconds
              for that standard error (pilot included), and their ratio to those of Monte Carlo.
    coverage  operator and multilevel Monte Carlo on 129² nodes; the standard error is that of 30
              solves. 200 repetitions with a seed each. `error / claimed` is the root mean square of
              the errors over that of the standard errors; `covered` the part of the 95 % intervals
              that contain the truth, which multilevel Monte Carlo gives to a twentieth of the
              standard error.

Writes results/expectation.csv and results/expectation_coverage.csv; rows that the files hold
already are not measured again. The training data and runs are kept in FOLDER.
"""

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
import torch

from pdeops.datasets import Darcy
from pdeops.expectation import Estimate, expect
from pdeops.expectation.quantities import quantity_named
from pdeops.expectation.study import METHODS
from pdeops.tasks import load_run
from pdeops.tasks.supervised import Run

from .bench import RESULTS, add_missing
from .trainings import overrides, pdeops

CONTRASTS = {"{2, 12}": (2.0, 12.0), "{1, 1000}": (1.0, 1000.0)}
QUANTITIES = ("mean", "flux_right")
TRAINED, SAMPLES = 65, 400
FINE, SOLVES = 257, 400
COVERED, FEWER, REPETITIONS = 129, 30, 200
TRUTH = 20.0
SETTINGS = {"model.hidden_channels": 16, "model.n_modes": "[12,12]", "training.epochs": 60}
TABLE, COVERAGE = RESULTS / "expectation.csv", RESULTS / "expectation_coverage.csv"


def trained(folder: Path, contrast: str) -> Run:
    """The operator for a contrast; its data and its run are made where they are missing."""
    low, high = CONTRASTS[contrast]
    name = f"rough_{low:g}_{high:g}"
    data, runs = folder / f"{name}.h5", folder / name
    if not data.is_file():
        kind = ["--kind", "rough", "--set", f"low={low}", "--set", f"high={high}"]
        grid = ["--resolution", TRAINED, "--samples", SAMPLES]
        pdeops("data", "generate", "darcy", *kind, *map(str, grid), "--out", data)
    if not (found := sorted(runs.glob("**/checkpoints/best.pt"))):
        given = overrides({"data.train": data, "data.test": data, **SETTINGS})
        pdeops("train", "fno_quickstart", *given, "--out", runs, threads=2)
        found = sorted(runs.glob("**/checkpoints/best.pt"))
    return load_run(found[-1].parents[1])


@dataclass(frozen=True)
class Case:
    """One contrast, one quantity."""

    contrast: str
    quantity: str
    run: Run

    def deviation(self, count: int = 60) -> float:
        """Standard deviation of the quantity, from solves on the training grid."""
        low, high = CONTRASTS[self.contrast]
        problem, quantity = Darcy("rough", low=low, high=high), quantity_named(self.quantity)
        grid = problem.grid((TRAINED, TRAINED))
        inputs = [problem.sample_input(grid, 10**6, i) for i in range(count)]
        values = [quantity(problem, x, problem.solve(x, grid).x, grid) for x in inputs]
        return float(np.std(values, ddof=1))


def table(case: Case) -> list[dict[str, object]]:
    """All methods at the standard error of `SOLVES` solves."""
    wanted = case.deviation() / math.sqrt(SOLVES)
    study = expect(case.run, case.quantity, wanted, resolution=FINE, seed=1, methods=METHODS)
    plain = study.estimates["monte-carlo"]
    rows: list[dict[str, object]] = []
    for name in METHODS:
        e, pair = study.estimates.get(name), study.pairs.get(name)
        rows.append(
            {
                "method": name if e is None else e.method,
                "mean": e and f"{e.mean:.6g}",
                "standard error": e and f"{e.standard_error:.2e}",
                "evaluations": e and ", ".join(f"{n} {by}" for by, n in e.counts.items()),
                "seconds": e and f"{e.seconds_at(wanted):.2f}",
                "of Monte Carlo": e and f"{e.seconds_at(wanted) / plain.seconds_at(wanted):.3f}",
                "correlation": pair and f"{pair.correlation:.4f}",
                "cost": pair and f"{pair.cheap_cost / pair.cost:.3f}",
                "predicted": pair and f"{pair.relative_cost:.3f}",
            }
        )
    return rows


def coverage(case: Case) -> list[dict[str, object]]:
    """The estimates of 200 seeds against the truth."""
    wanted = case.deviation() / math.sqrt(FEWER)

    def estimates(seed: int, error: float, methods: tuple[str, ...]) -> dict[str, Estimate]:
        got = expect(
            case.run, case.quantity, error, resolution=COVERED, seed=seed, pilot=20, methods=methods
        )
        return got.estimates

    truth = estimates(1, wanted / TRUTH, ("multilevel",))["multilevel"].mean
    found: dict[str, list[Estimate]] = {}
    for seed in range(2, REPETITIONS + 2):
        for name, estimate in estimates(seed, wanted, ("operator", "multilevel")).items():
            found.setdefault(name, []).append(estimate)
    rows: list[dict[str, object]] = []
    for name, of_seeds in found.items():
        errors = [e.mean - truth for e in of_seeds]
        claimed = math.sqrt(fmean(e.standard_error**2 for e in of_seeds))
        inside = fmean(e.interval[0] <= truth <= e.interval[1] for e in of_seeds)
        rows.append(
            {
                "method": name,
                "repetitions": len(of_seeds),
                "bias / claimed": f"{fmean(errors) / claimed:.3f}",
                "error / claimed": f"{math.sqrt(fmean(e**2 for e in errors)) / claimed:.3f}",
                "covered": f"{inside:.3f}",
            }
        )
    return rows


def cases(
    measure: Callable[[Case], list[dict[str, object]]], folder: Path
) -> Iterator[tuple[dict[str, str], Callable[[], list[dict[str, object]]]]]:
    """Each contrast and quantity, for `add_missing`."""
    for contrast in CONTRASTS:
        for quantity in QUANTITIES:
            key = {"contrast": contrast, "quantity": quantity}
            yield key, lambda key=key: measure(Case(**key, run=trained(folder, key["contrast"])))


def main() -> None:
    """Measure the rows that the files lack."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.expectation")
    parser.add_argument("parts", nargs="+", choices=("table", "coverage"))
    parser.add_argument("--data", type=Path, required=True, help="folder of data and runs")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for part in given.parts:
        measure, file = (table, TABLE) if part == "table" else (coverage, COVERAGE)
        add_missing(file, cases(measure, given.data))


if __name__ == "__main__":
    main()
