"""python -m benchmarks.study rough --minutes 60 --seeds 0 1: trains and compares several models.

It generates missing data files, trains every recipe of the study with every seed, one
after the other, evaluates on the test file, and writes a CSV and a Markdown table. The command can
be interrupted and repeated: samples in a file, rows in the CSV and epochs in a checkpoint are not
computed again.

Equal budgets are equal processor time, not equal epochs: a few epochs on a part of the samples give
the seconds per epoch of each recipe, and from these the number of epochs, so that every schedule
runs its whole length within the budget. The table has both, and the time of one training step with
two threads, measured by turns when all recipes are trained.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pdeops.compare.tables import markdown_table, read_csv, write_csv

from .bench import RESULTS
from .trainings import overrides, pdeops, per_epoch, spent_by_command

Row = dict[str, str]

STEP_THREADS = 2
STEP = f"step_seconds_{STEP_THREADS}_threads"  # the column; `threads` are those of the training
HEADER = [
    *("recipe", "model", "parameters", f"step, {STEP_THREADS} threads"),
    *("epochs", "seconds", "seeds", "rel. L2", "rel. H1"),
]


@dataclass(frozen=True)
class Study:
    """A kind of Darcy data, and the recipes that are compared on it.

    Attributes:
        kind: the kind of `pdeops data generate darcy`.
        recipes: files or shipped recipes; the study sets their data, seed and epochs.
        resolution: nodes per axis with the boundary; even, for neuraloperator.
        training, validation, test: numbers of samples; the first two are from one file, seed 0.
    """

    kind: str
    recipes: tuple[str, ...]
    resolution: int = 128
    training: int = 1000
    validation: int = 100
    test: int = 200

    def file(self, role: str, folder: Path) -> Path:
        """The path of the samples of a role in a folder of data."""
        return folder / f"{self.kind}{self.resolution}_{role}.h5"

    def generate(self, folder: Path) -> None:
        """Write the missing samples of the two files."""
        folder.mkdir(parents=True, exist_ok=True)
        roles = {"train": (self.training + self.validation, 0), "test": (self.test, 1)}
        for role, (samples, seed) in roles.items():
            out = self.file(role, folder)
            if not out.exists():
                arguments = {
                    "--kind": self.kind,
                    "--samples": samples,
                    "--resolution": self.resolution,
                    "--seed": seed,
                    "--out": out,
                }
                flat = [str(part) for pair in arguments.items() for part in pair]
                pdeops("data", "generate", "darcy", *flat)

    def settings(self, folder: Path) -> dict[str, object]:
        """The settings that the study overrides in each recipe."""
        return {
            "data.train": f"'{self.file('train', folder)}'",
            "data.test": f"'{self.file('test', folder)}'",
            "data.validation": self.validation,
        }


STUDIES = {
    kind: Study(kind, tuple(f"{model}_{kind}128" for model in ("mgno", "fno", "tfno", "uno")))
    for kind in ("rough", "multiscale")
}
PROBE_SHARE = 0.1  # of the samples, in the trainings from which a rate is measured


def seconds_per_epoch(
    plan: Study, recipe: str, settings: Mapping[str, object], threads: int
) -> float:
    """Processor seconds of one epoch with its validation, from trainings on a share of the
    samples."""
    samples = plan.training + plan.validation
    few = max(round(PROBE_SHARE * samples), 4)
    held_out = max(round(few * plan.validation / samples), 1)
    short = {**settings, "data.samples": few, "data.validation": held_out}
    return per_epoch(spent_by_command(recipe, short, threads)) * samples / few


def train(recipe: str, folder: Path, settings: Mapping[str, object], threads: int) -> None:
    """Train into the folder, or continue an earlier attempt."""
    if (folder / "checkpoints" / "last.pt").exists():
        pdeops("train", "--resume", folder, threads=threads)
        return
    if folder.exists():
        shutil.rmtree(folder)  # killed before its first checkpoint: nothing to continue
    pdeops("train", recipe, *overrides(settings), "--out", folder, threads=threads)


def result(folder: Path, test: Path) -> dict[str, str]:
    """The figures of a finished run."""
    from pdeops.nn.parameters import num_parameters
    from pdeops.tasks import load_run

    run = load_run(folder)
    seconds = float(read_csv(folder / "metrics.csv")[-1]["seconds"])
    errors = pdeops("evaluate", folder, "--data", test)
    return {
        "model": run.recipe.model.name,
        "parameters": str(num_parameters(run.operator)),
        "epochs": str(run.recipe.training.epochs),
        "training_seconds": f"{seconds:.0f}",
        "relative_l2": f"{errors['relative_l2']:.5f}",
        "relative_h1": f"{errors['relative_h1']:.5f}",
    }


def study(
    plan: Study,
    *,
    minutes: float,
    seeds: Sequence[int],
    threads: int,
    data: Path,
    runs: Path,
    out: Path,
    settings: Mapping[str, object] | None = None,
) -> list[Row]:
    """Fill the CSV `out` and a Markdown table of the same name; returns the rows.

    Rows, runs and measured rates of different budgets, thread counts and settings are separate. A
    rate is measured once and stored with the runs, so that all seeds have the same epochs.
    """
    given = dict(settings or {})
    rows = [{**row, STEP: row.get(STEP, "")} for row in read_csv(out)]
    for seed in seeds:
        for recipe in plan.recipes:
            budget = {
                "kind": plan.kind,
                "recipe": recipe,
                "minutes": f"{minutes:g}",
                "threads": str(threads),
                "settings": as_text(given),
            }
            key = {**budget, "seed": str(seed)}
            if any(key.items() <= row.items() for row in rows):
                continue
            plan.generate(data)
            name = "-".join(filter(None, budget.values())).replace("/", "_")
            folder = runs / f"{name}-seed{seed}"
            chosen = {**plan.settings(data), **given, "seed": seed}
            note = runs / f"{name}.seconds_per_epoch"
            if not note.exists():
                runs.mkdir(parents=True, exist_ok=True)
                note.write_text(f"{seconds_per_epoch(plan, recipe, chosen, threads):.4g}\n")
            rate = float(note.read_text())
            epochs = max(int(60 * minutes / rate), 1)
            train(recipe, folder, {**chosen, "training.epochs": epochs}, threads)
            figures = result(folder, plan.file("test", data))
            rows.append({**key, "seconds_per_epoch": f"{rate:g}", **figures, STEP: ""})
            save(out, rows)
            print(rows[-1], file=sys.stderr, flush=True)
    time_steps(plan, rows, given)
    save(out, rows)
    return rows


def as_text(settings: Mapping[str, object]) -> str:
    """Settings as the column `settings` holds them."""
    return " ".join(f"{k}={v}" for k, v in settings.items())


def save(out: Path, rows: Sequence[Row]) -> None:
    """Write the rows as CSV, and the Markdown table of the same name."""
    write_csv(out, rows)
    out.with_suffix(".md").write_text(table(rows), encoding="utf-8")


def time_steps(plan: Study, rows: Sequence[Row], settings: Mapping[str, object]) -> None:
    """Add the seconds of a training step to the rows with these settings that have none; all
    recipes are timed by turns."""
    from pdeops.domain import Grid
    from pdeops.tasks import load_recipe

    from .steps import step_seconds

    mine = {"kind": plan.kind, "settings": as_text(settings), STEP: ""}
    empty = [row for row in rows if mine.items() <= row.items()]
    names = list(dict.fromkeys(row["recipe"] for row in empty))
    recipes = [load_recipe(name, [f"{k}={v}" for k, v in settings.items()]) for name in names]
    grid = Grid((plan.resolution, plan.resolution))
    seconds = dict(zip(names, step_seconds(recipes, grid, threads=STEP_THREADS), strict=True))
    for row in empty:
        row[STEP] = f"{seconds[row['recipe']]:.3e}"


def table(rows: Sequence[Row]) -> str:
    """Markdown: one table for each kind, budget, thread count and settings; means over seeds."""
    groups: dict[tuple[str, ...], dict[str, list[Row]]] = {}
    for row in rows:
        conditions = tuple(row[name] for name in ("kind", "minutes", "threads", "settings"))
        groups.setdefault(conditions, {}).setdefault(row["recipe"], []).append(row)
    lines = []
    for (kind, minutes, threads, settings), recipes in groups.items():
        lines += [
            f"## {kind}: {minutes} processor minutes for each training, {threads} thread(s)"
            + (f", {settings}" if settings else ""),
            "",
        ]
        cells = []
        for recipe, found in recipes.items():
            first = found[0]
            seconds = statistics.mean(float(row["training_seconds"]) for row in found)
            errors = ([float(row[f"relative_{n}"]) for row in found] for n in ("l2", "h1"))
            cells.append(
                [
                    recipe,
                    first["model"],
                    f"{int(first['parameters']):,}",
                    milliseconds(first[STEP]),
                    first["epochs"],
                    f"{seconds:.0f}",
                    str(len(found)),
                    *map(mean_and_range, errors),
                ]
            )
        lines += [markdown_table(HEADER, cells), ""]
    return "\n".join(lines)


def milliseconds(seconds: str) -> str:
    """The time of a step in ms; "-" if it was not measured."""
    return f"{1e3 * float(seconds):.0f} ms" if seconds else "-"


def mean_and_range(values: Sequence[float]) -> str:
    """The mean in percent, and the range where there is more than one value."""
    text = f"{100 * statistics.mean(values):.3f} %"
    if len(values) > 1:
        text += f" ({100 * min(values):.3f} to {100 * max(values):.3f})"
    return text


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.study")
    parser.add_argument("kind", choices=STUDIES)
    parser.add_argument("--minutes", type=float, required=True, help="processor time per training")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the data files")
    parser.add_argument("--runs", type=Path, default=Path("runs/study"), help="folder of the runs")
    parser.add_argument("--out", type=Path, help="CSV file; a Markdown table gets its name, as .md")
    parser.add_argument("--set", action="append", default=[], help="key=value for every recipe")
    given = parser.parse_args()
    try:
        study(
            STUDIES[given.kind],
            minutes=given.minutes,
            seeds=given.seeds,
            threads=given.threads,
            data=given.data,
            runs=given.runs,
            out=given.out or RESULTS / f"study_{given.kind}128.csv",
            settings=dict(pair.split("=", 1) for pair in given.set),
        )
    except KeyboardInterrupt:
        sys.exit("Interrupted; the same command continues from here.")
    except subprocess.CalledProcessError as error:
        sys.exit(
            f"{' '.join(error.cmd)}\nended with status {error.returncode}; finished work is kept."
        )


if __name__ == "__main__":
    main()
