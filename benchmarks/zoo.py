"""python -m benchmarks.zoo [SET ...]: every model of the zoo against every solver, at a small size.

For each set of data it generates the samples, trains every model that fits them for `--seconds` of
wall time each, and compares all runs with the classical solvers and with surrogates without a
network (`pdeops compare`, batch 1 and the best batch, other distributions of the inputs). It writes
benchmarks/results/zoo.csv, zoo_shifted.csv and zoo.md. It can be interrupted and repeated: data,
finished runs and compared sets are not computed again.

Sizes are chosen for two cores. The number of epochs is that of the budget, from
the seconds of an epoch on part of the samples; the schedules run their whole length. Networks of
neuraloperator need even sizes, so the sets with stored ends (33 nodes) have none; the published
twins have the sizes of their papers and are left out.
"""

import argparse
import logging
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from pdeops.compare.any_runs import Options, compare_any
from pdeops.compare.comparison import Comparison
from pdeops.compare.duel import Cost
from pdeops.compare.fronts import fronts
from pdeops.compare.tables import grid_name, read_csv, write_csv
from pdeops.datasets import generate, problem_named
from pdeops.tasks import load_recipe, load_run, train

from .bench import RESULTS, machine

log = logging.getLogger("pdeops")

Row = dict[str, str]
PART = 0.2  # of the samples, to measure the seconds of an epoch
CAP = 200  # epochs, at most
COMPARED = 8  # unseen samples


@dataclass(frozen=True)
class Entry:
    """A model of the zoo: a recipe and what is changed in it."""

    recipe: str
    settings: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class DataSet:
    """Samples of a problem and the models that are trained on them.

    Attributes:
        problem, kind, parameters: as in `problem_named`.
        shape: nodes per axis; () for points.
        samples: those of training and validation.
        models: name -> entry.
        settings: of all recipes.
    """

    problem: str
    kind: str
    shape: tuple[int, ...]
    samples: int
    models: Mapping[str, Entry]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)

    def generate(self, file: Path) -> None:
        """Write the training file unless it exists."""
        if not file.exists():
            problem = problem_named(self.problem, self.kind, **self.parameters)
            grid: Any = problem.grid(self.shape)
            generate(problem, grid, num_samples=self.samples, seed=0, out=file)


BOX = {
    "FNO": Entry("fno_quickstart"),
    "MgNO": Entry("mgno_quickstart"),
    "LSM": Entry("lsm_quickstart"),
    "Transolver": Entry("transolver_quickstart"),
}


def _step(model: str, **arguments: object) -> Entry:
    """A one-step model trained as `fno_navier_stokes_rollout` trains FNO."""
    given = {"name": model, **arguments}
    table = ", ".join(f"{key} = {_toml(value)}" for key, value in given.items())
    return Entry("fno_navier_stokes_rollout", {"model": f"{{{table}}}"})


def _toml(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


MODES = {"n_modes": [12, 12], "hidden_channels": 16}
SETS = {
    "darcy": DataSet("darcy", "piecewise", (33, 33), 300, BOX),
    "poisson": DataSet(
        "poisson", "gaussian", (33, 33), 300, BOX, settings={"data.symmetries": "false"}
    ),
    "navier_stokes": DataSet(
        *("navier_stokes", "fno_1e-3", (32, 32), 48),
        {
            "FNO": Entry("fno_navier_stokes_rollout"),
            "MgNO": Entry("mgno_navier_stokes_rollout"),
            "LSM": _step("LSM", hidden_channels=16),
            "Transolver": _step("Transolver", hidden_channels=32, n_layers=4, num_slices=16),
            "NeuralopFNO": _step("NeuralopFNO", **MODES),
            "NeuralopTFNO": _step("NeuralopTFNO", **MODES),
            "NeuralopUNO": _step("NeuralopUNO", hidden_channels=16),
        },
        {"t_end": 20.0, "num_frames": 20, "dt": 0.05, "refinement": 2, "num_waves": 16},
    ),
    "elasticity": DataSet(
        *("elasticity", "void", (), 300),
        {
            "PointLSM": Entry("pointlsm_elasticity"),
            "Transolver": Entry("transolver_elasticity"),
        },
        {"around": 48, "across": 4},
    ),
}


def trained(name: str, model: str, folder: Path, seconds: float) -> Path:
    """The folder of the finished run of a model on a set, trained now if it is missing."""
    plan, entry, out = SETS[name], SETS[name].models[model], folder / f"{name}_{model}"
    if (out / "finished").exists():
        return out
    if out.exists():
        shutil.rmtree(out)  # of an interrupted training
    file = folder / f"{name}.h5"
    settings = {"data.train": f"'{file}'", "data.validation": plan.samples // 10}
    settings |= {**plan.settings, **entry.settings}
    part = max(round(PART * plan.samples), 10)
    probe = {**settings, "data.samples": part, "data.validation": max(part // 5, 2)}
    with tempfile.TemporaryDirectory() as scratch:
        _train(entry.recipe, {**probe, "training.epochs": 3}, Path(scratch) / "probe")
        each = [float(r["seconds"]) for r in read_csv(Path(scratch) / "probe" / "metrics.csv")]
    per_epoch = (each[-1] - each[0]) / (len(each) - 1) * plan.samples / part
    epochs = min(CAP, max(2, int(seconds / per_epoch)))
    print(f"{name}: {model} for {epochs} epochs", file=sys.stderr, flush=True)
    _train(entry.recipe, {**settings, "training.epochs": epochs}, out)
    (out / "finished").touch()
    return out


def _train(recipe: str, settings: Mapping[str, object], out: Path) -> None:
    given = [f"{key}={value}" for key, value in settings.items()]
    report = train(load_recipe(recipe, given), out=out, device="cpu")
    if report["reason"] == "interrupted":
        raise KeyboardInterrupt


def rows_of(name: str, study: Comparison, epochs: Mapping[str, int]) -> list[Row]:
    """A line for each row of a study, with the opponent of an operator's row."""
    best = {id(row) for line in fronts(study.rows).values() for row in line}
    duels = {id(d.operator): d for n in study.operators for d in study.duels(n)}
    found = []
    for row in study.rows:
        cost, duel = study.costs.get(row.method, Cost(0.0, 0.0)), duels.get(id(row))
        versus = duel.opponent if duel else None
        interval = duel.interval if duel else None
        found.append(
            {
                "set": name,
                "method": row.method,
                "kind": row.kind,
                "grid": grid_name(row.grid, "x"),
                "label": row.label,
                "batch": str(row.batch),
                "epochs": str(epochs.get(row.method, "")),
                "training_seconds": _figure(cost.training_seconds),
                "data_seconds": _figure(cost.data_seconds),
                "error": f"{row.error:.4e}",
                "error_std": f"{row.error_std:.1e}",
                "seconds_q1": f"{row.seconds_low:.3e}",
                "seconds": f"{row.seconds:.3e}",
                "seconds_q3": f"{row.seconds_high:.3e}",
                "front": "yes" if id(row) in best else "no",
                "opponent": versus.label if versus else "",
                "ratio_of_seconds": _figure(duel.ratio if duel else None),
                "ratio_low": _figure(interval[0] if interval else None),
                "ratio_high": _figure(interval[1] if interval else None),
                "decided": "" if versus is None or duel is None else str(duel.decided),
                "pays_after": "" if duel is None else duel.break_even_text,
                "threads": str(row.threads),
                "dtype": row.dtype,
                "load_spread": _figure(study.load_spread),
                **machine(),
            }
        )
    return found


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def compare(name: str, folder: Path, seconds: float) -> tuple[list[Row], list[Row], str]:
    """Train the missing models of a set and compare all of them: the rows, those of the other
    distributions, and the report."""
    plan = SETS[name]
    folder.mkdir(parents=True, exist_ok=True)
    plan.generate(folder / f"{name}.h5")
    runs = {m: load_run(trained(name, m, folder, seconds), device="cpu") for m in plan.models}
    options = Options(num_samples=COMPARED, shifted=True)
    study = compare_any(runs, folder / f"report_{name}", options)
    epochs = {m: run.recipe.training.epochs for m, run in runs.items()}
    shifted = [
        {
            "set": name,
            "shift": s.shift,
            "change": s.change,
            "method": s.method,
            "kind": s.kind,
            "for": s.opponent_of or "",
            "error": f"{s.error:.4e}",
            "shifted_error": f"{s.shifted_error:.4e}",
        }
        for s in study.shifted
    ]
    return rows_of(name, study, epochs), shifted, f"# {name}\n\n{study.to_markdown()}\n"


def zoo(names: Sequence[str], folder: Path, out: Path, seconds: float) -> list[Row]:
    """Fill zoo.csv, zoo_shifted.csv and zoo.md in `out`; returns the rows."""
    rows, shifted = read_csv(out / "zoo.csv"), read_csv(out / "zoo_shifted.csv")
    for name in names:
        if any(row["set"] == name for row in rows):
            continue
        found, changed, report = compare(name, folder, seconds)
        rows, shifted = [*rows, *found], [*shifted, *changed]
        write_csv(out / "zoo.csv", rows)
        write_csv(out / "zoo_shifted.csv", shifted)
        with (out / "zoo.md").open("a", encoding="utf-8") as file:
            file.write(report + "\n")
        print(report, flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.zoo")
    parser.add_argument("names", nargs="*", metavar="SET", help=", ".join(SETS))
    parser.add_argument("--seconds", type=float, default=40, help="of each training")
    parser.add_argument("--folder", type=Path, default=Path("runs/zoo"), help="of data and runs")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    given = parser.parse_args()
    unknown = [name for name in given.names if name not in SETS]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; choose from {', '.join(SETS)}")
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    torch.manual_seed(0)
    zoo(given.names or list(SETS), given.folder, given.out, given.seconds)


if __name__ == "__main__":
    main()
