"""python -m benchmarks.zoo [SET ...]: every model of the zoo against every solver, at a small size.

For each set of data it generates the samples, trains every model that fits them for `--seconds` of
processor time on one thread, two trainings at a time, and compares all runs with the classical
solvers and with surrogates without a network (`pdeops compare`: batch 1, 8 and 32, other grids,
other distributions of the inputs), in processor time of one thread; CHOLMOD and BoomerAMG are there
if the extra `bench` is installed. It writes results/zoo.csv and zoo.md, and `--table` prints what
docs/figures.md states. Finished trainings and data in `--folder` are used again; delete the folder
to measure anew.

The number of epochs is that of the budget, from the processor time of an epoch on part of the
samples; the schedules run their whole length. Settings are those of the recipes and were not
searched. Networks of neuraloperator need even sizes, so the sets on grids have 32 nodes per axis.
Left out: the published twins (PublishedMgNO, PublishedLSM, PublishedPointLSM), which have the sizes
of their papers; NeuralopSFNO, which needs a sphere; models of one solution (PINN, LPINN,
NeuralFieldStepper) and networks inside solvers, which have tables of their own.
"""

import argparse
import logging
import multiprocessing
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from pdeops.compare.any_runs import Options, compare_any
from pdeops.compare.comparison import Comparison
from pdeops.compare.tables import read_csv, write_csv
from pdeops.compare.timing import Clock
from pdeops.datasets import generate, problem_named
from pdeops.tasks import load_recipe, load_run, train

from .bench import RESULTS
from .opponents import limit_threads
from .trainings import per_epoch
from .zoo_table import summary

Row = dict[str, str]
PART = 0.1  # of the samples, to measure the seconds of an epoch
COMPARED = 8  # unseen samples
FINISHED = "finished"  # a file with the processor seconds of the training


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
        solvers: further classical solvers, as in `pdeops compare --solver`.
    """

    problem: str
    kind: str
    shape: tuple[int, ...]
    samples: int
    models: Mapping[str, Entry]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    solvers: Sequence[str] = ()

    def generate(self, file: Path) -> None:
        """Write the training file unless it exists."""
        if not file.exists():
            problem = problem_named(self.problem, self.kind, **self.parameters)
            grid: Any = problem.grid(self.shape)
            generate(problem, grid, num_samples=self.samples, seed=0, out=file)


def _with(
    recipe: str, model: str, further: Mapping[str, object] | None = None, **arguments: Any
) -> Entry:
    """A recipe with another model, and with further settings."""
    given = {"name": model, **arguments}
    table = ", ".join(f"{key} = {_toml(value)}" for key, value in given.items())
    return Entry(recipe, {"model": f"{{{table}}}", **(further or {})})


def _toml(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


SPECTRAL: dict[str, Any] = {"n_modes": [12, 12], "hidden_channels": 16}
U_SHAPED: dict[str, Any] = {
    "hidden_channels": 16,
    "uno_out_channels": [16, 24, 24, 24, 16],
    "uno_n_modes": [[12, 12], [8, 8], [8, 8], [8, 8], [12, 12]],
    "uno_scalings": [[1.0, 1.0], [0.5, 0.5], [1.0, 1.0], [1.0, 1.0], [2.0, 2.0]],
    "lifting_channels": 64,
    "projection_channels": 64,
}
PADDED: dict[str, Any] = {"domain_padding": 0.0625}  # the fields of a box are not periodic
BOX = {
    "FNO": Entry("fno_quickstart"),
    "MgNO": Entry("mgno_quickstart"),
    "LSM": Entry("lsm_quickstart"),
    "Transolver": Entry("transolver_quickstart"),
    "NeuralopFNO": _with("fno_quickstart", "NeuralopFNO", **SPECTRAL, **PADDED),
    "NeuralopTFNO": _with("fno_quickstart", "NeuralopTFNO", **SPECTRAL, **PADDED),
    "NeuralopUNO": _with("fno_quickstart", "NeuralopUNO", **U_SHAPED, **PADDED),
}
SLICED: dict[str, Any] = {"hidden_channels": 32, "n_layers": 2, "num_slices": 16, "num_heads": 4}
SOLVERS = ("benchmarks.opponents:cholmod", "benchmarks.opponents:boomeramg_cg")
STEP = "fno_navier_stokes_rollout"  # the recipe of a model of one step
SLOWER: dict[str, object] = {"optimizer.lr": 1e-3}  # the rate of the other recipes of these models
ALL_FRAMES = {"data.window": "{n_in = 1, n_out = 10}", "data.validation": 4}
SETS = {
    "darcy": DataSet("darcy", "piecewise", (32, 32), 300, BOX, solvers=SOLVERS),
    "poisson": DataSet("poisson", "gaussian", (32, 32), 300, BOX, solvers=SOLVERS),
    "navier_stokes": DataSet(
        *("navier_stokes", "fno_1e-3", (32, 32), 48),
        {
            "FNO": Entry(STEP),
            "MgNO": Entry("mgno_navier_stokes_rollout"),
            "LSM": _with(STEP, "LSM", SLOWER, hidden_channels=16),
            "Transolver": _with(STEP, "Transolver", SLOWER, **SLICED),
            "SpatiotemporalFNO": Entry("stfno_ns1e-3", ALL_FRAMES),
            "NeuralopFNO": _with(STEP, "NeuralopFNO", **SPECTRAL),
            "NeuralopTFNO": _with(STEP, "NeuralopTFNO", **SPECTRAL),
            "NeuralopUNO": _with(STEP, "NeuralopUNO", **U_SHAPED),
        },
        {"t_end": 10.0, "num_frames": 10, "dt": 0.05, "refinement": 2, "num_waves": 16},
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


def settings_of(name: str, model: str, folder: Path) -> dict[str, object]:
    """What is changed in the recipe of a model on a set whose data are in the folder."""
    data = {"data.train": f"'{folder / name}.h5'", "data.validation": SETS[name].samples // 10}
    return {**data, **SETS[name].models[model].settings}


def trained(name: str, model: str, folder: Path, seconds: float) -> Path:
    """The folder of the finished run of a model on a set, trained now if it is missing."""
    plan, entry = SETS[name], SETS[name].models[model]
    out = folder / f"{name}_{model}_{seconds:g}s"
    if (out / FINISHED).exists():
        return out
    shutil.rmtree(out, ignore_errors=True)  # of an interrupted training
    settings = settings_of(name, model, folder)
    part = max(round(PART * plan.samples), 6)
    short = {**settings, "data.samples": part, "data.validation": max(part // 10, 2)}

    def spent(epochs: int) -> float:
        with tempfile.TemporaryDirectory() as scratch:
            start = time.process_time()
            _train(entry.recipe, {**short, "training.epochs": epochs}, Path(scratch) / "run")
            return time.process_time() - start

    spent(1)  # compiles
    rate = per_epoch(spent) * plan.samples / part
    epochs = max(round(seconds / rate), 1)
    print(f"{name}: {model}, {rate:.3g} s per epoch, {epochs} epochs", file=sys.stderr, flush=True)
    start = time.process_time()
    _train(entry.recipe, {**settings, "training.epochs": epochs}, out)
    used = time.process_time() - start
    print(f"{name}: {model} took {used:.3g} s of a processor", file=sys.stderr, flush=True)
    (out / FINISHED).write_text(f"{used:.3g}\n", encoding="utf-8")
    return out


def _train(recipe: str, settings: Mapping[str, object], out: Path) -> None:
    given = [f"{key}={value}" for key, value in settings.items()]
    report = train(load_recipe(recipe, given), out=out, device="cpu")
    if report["reason"] == "interrupted":
        raise KeyboardInterrupt


def all_trained(name: str, folder: Path, seconds: float, workers: int) -> dict[str, Path]:
    """The folders of the runs of all models of a set, several trainings at a time."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, spawn, initializer=_alone) as pool:
        jobs = {m: pool.submit(trained, name, m, folder, seconds) for m in SETS[name].models}
        return {model: job.result() for model, job in jobs.items()}


def _alone() -> None:
    """One thread, and errors alone in the log, which names the missing test files otherwise."""
    torch.set_num_threads(1)
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr)


def compare(name: str, folder: Path, seconds: float, workers: int) -> tuple[list[Row], str]:
    """Train the missing models of a set and compare all of them: the rows and the report."""
    folder.mkdir(parents=True, exist_ok=True)
    SETS[name].generate(folder / f"{name}.h5")
    places = all_trained(name, folder, seconds, workers)
    runs = {model: load_run(place, device="cpu") for model, place in places.items()}
    solvers = SETS[name].solvers if find_spec("polysolve") else ()
    options = Options(num_samples=COMPARED, shifted=True, solver=solvers)
    clock = Clock(wall=time.process_time, rest=0.0)  # of one thread, whatever else runs
    study = compare_any(runs, folder / f"report_{name}", options, _show, clock)
    text = study.to_markdown().replace("wall-clock", "processor time of one thread")
    rows_of_csv = re.compile(r"### All rows\n.*?(?=### Conditions)", re.DOTALL)
    return lines(name, study, places), f"# {name}\n\n{rows_of_csv.sub('', text)}\n"


def lines(name: str, study: Comparison, places: Mapping[str, Path]) -> list[Row]:
    """The lines of a study with the set, and of a run its epochs and the processor time of its
    training."""
    found = []
    for line in study.lines():
        run = places.get(str(line["method"]))
        epochs = None if run is None else load_recipe(run / "recipe.toml").training.epochs
        used = None if run is None else (run / FINISHED).read_text(encoding="utf-8").strip()
        more = {"set": name, "epochs": epochs, "training_processor_seconds": used}
        kept = {k: v for k, v in line.items() if not k.startswith("device of ")}
        found.append({k: _cell(v) for k, v in {**more, **kept}.items()})
    return found


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)


def _show(done: int, total: int) -> None:
    if done % 100 == 0:
        print(f"{done} of {total} calls", file=sys.stderr, flush=True)


def zoo(names: Sequence[str], folder: Path, out: Path, seconds: float, workers: int) -> None:
    """Write the rows of the sets to zoo.csv and their reports to zoo.md in `out`; those of other
    sets stay."""
    for name in names:
        # A process of its own, whose libraries have one thread from their start.
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=_alone) as p:
            rows, report = p.submit(compare, name, folder, seconds, workers).result()
        write_csv(out / "zoo.csv", placed(read_csv(out / "zoo.csv"), rows))
        file = out / "zoo.md"
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        file.write_text(with_section(text, report), encoding="utf-8")
        print(report.partition("###")[0], flush=True)


def placed(rows: Sequence[Row], new: Sequence[Row]) -> list[Row]:
    """The rows with those of the sets of `new` replaced, in the order of SETS; columns that a set
    does not have are empty."""
    changed = {row["set"] for row in new}
    kept = [row for row in rows if row["set"] not in changed]
    columns = dict.fromkeys(column for row in (*kept, *new) for column in row)
    whole = [{column: row.get(column, "") for column in columns} for row in (*kept, *new)]
    return sorted(whole, key=lambda row: list(SETS).index(row["set"]))


def with_section(text: str, section: str) -> str:
    """Markdown with the section of its heading replaced or added, in the order of SETS."""
    sections = {part.partition("\n")[0]: part for part in re.split(r"^# ", text, flags=re.M)[1:]}
    sections[section.partition("\n")[0].removeprefix("# ")] = section.removeprefix("# ")
    return "\n".join(f"# {sections[n].strip()}\n" for n in SETS if n in sections)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.zoo")
    parser.add_argument("names", nargs="*", metavar="SET", help=", ".join(SETS))
    parser.add_argument("--seconds", type=float, default=15, help="processor time of a training")
    parser.add_argument("--workers", type=int, default=min(os.cpu_count() or 1, 2))
    parser.add_argument("--folder", type=Path, default=Path("runs/zoo"), help="of data and runs")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--table", action="store_true", help="print the table of --out and stop")
    given = parser.parse_args()
    if given.table:
        print(summary(read_csv(given.out / "zoo.csv")))
        return
    unknown = [name for name in given.names if name not in SETS]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; choose from {', '.join(SETS)}")
    limit_threads(1)  # of the processes below
    zoo(given.names or list(SETS), given.folder.absolute(), given.out, given.seconds, given.workers)


if __name__ == "__main__":
    main()
