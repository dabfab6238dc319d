"""python -m benchmarks.rollouts --size small: one-step FNO and MgNO, plain and pushforward.

Navier-Stokes with viscosity 1e-4 (FNO's V1e-4 distribution). Every training has the same processor
time, from which the number of epochs follows; the pushforward trick computes two steps per sample
and so has about half the epochs. The command can be interrupted and repeated: files, rows of the
CSV and epochs in a checkpoint are not computed again.

The table has, for each model and objective, the mean and the range over the seeds of the relative
L2 error over all times and at the last time, and of the mean correlation time (until the
correlation with the truth falls below 0.8 or 0.95); with any trajectory that stays above, it is a
lower bound. Published errors follow, with the differences in the data and the budget.
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pdeops.compare.machine import describe_machine
from pdeops.compare.tables import markdown_table, read_csv, write_csv

from .bench import RESULTS
from .study import train
from .trainings import overrides, pdeops, per_epoch, spent_by_command

Row = dict[str, str]

MODELS = ("fno", "mgno")
OBJECTIVES: dict[str, dict[str, object]] = {
    "plain": {"rollout.steps": 1, "rollout.noise": 0.0},
    "pushforward": {"rollout.steps": 2, "rollout.pushforward": 1, "rollout.noise": 0.0},
}
PROBE = (1, 2)  # epochs of the two short trainings from which a rate is measured
HEADER = ("model", "objective", "parameters", "epochs", "seeds", "rel. L2, mean over times",
          "rel. L2 at the end", "correlation > 0.8 for", "> 0.95 for", "blown up")  # fmt: skip
PUBLISHED = """\
Published errors on V1e-4 up to t = 30: FNO 15.6 % and the FNO over (x, y, t) 19.2 % from 1000
trajectories, 8.3 % and 8.2 % from 10 000 (Li et al. 2021, Table 1). They are given 10 frames, not
one, so their errors are over t = 11 to 30; they train for 500 epochs, with 32 channels. Of MgNO
there is no published error on V1e-4; on V1e-5 with 1000 trajectories it is 10.8 % from 10 frames to
10 (FNO 15.6 %), and 1.6 % over 10 steps from the first frame (He et al. 2024). None of them gives a
correlation time. Errors here are given one frame and are means over t = 1, 2, .. of the relative
error of each frame.
"""


@dataclass(frozen=True)
class Size:
    """Everything that the cost depends on.

    Attributes:
        nodes: nodes per axis.
        training, validation, test: numbers of trajectories.
        t_end: horizon; one frame per unit of time.
        minutes: processor minutes of each training.
        seeds: number of seeds.
        refinement: the solver's grid relative to the stored one.
        batch_size: of the trainings; small batches suit few minutes.
        fno: modes per axis and hidden channels.
        mgno: hidden channels.
    """

    nodes: int
    training: int
    validation: int
    test: int
    t_end: int
    minutes: float
    seeds: int = 3
    refinement: int = 4
    batch_size: int = 16
    fno: tuple[int, int] = (12, 16)
    mgno: int = 16

    def settings(self, model: str) -> dict[str, object]:
        """The settings of a model, and of its training, of this size."""
        common: dict[str, object] = {"training.batch_size": self.batch_size}
        if model == "fno":
            modes, width = self.fno
            return {**common, "model.n_modes": [modes, modes], "model.hidden_channels": width}
        return {**common, "model.hidden_channels": self.mgno}

    def generate(self, folder: Path) -> tuple[Path, Path]:
        """Write the missing files; returns the training and the test file."""
        folder.mkdir(parents=True, exist_ok=True)
        files = []
        for role, number, seed in (
            ("train", self.training + self.validation, 0),
            ("test", self.test, 1),
        ):
            file = folder / f"navier_stokes1e-4_{self.nodes}_t{self.t_end}_{role}{number}.h5"
            files.append(file)
            if not file.exists():
                waves = min(32, self.nodes // 2, (self.nodes * self.refinement - 1) // 2)
                settings = {
                    "t_end": self.t_end,
                    "num_frames": self.t_end,
                    "refinement": self.refinement,
                    "num_waves": waves,
                }
                pdeops(
                    *("data", "generate", "navier_stokes", "--kind", "fno_1e-4"),
                    *overrides(settings),
                    *("--resolution", str(self.nodes), "--samples", str(number)),
                    *("--seed", str(seed), "--out", file),
                )
        return files[0], files[1]


SIZES = {
    "tiny": Size(32, 40, 4, 8, 15, minutes=0.25, refinement=2),
    "desk": Size(64, 24, 4, 8, 30, minutes=0.3, refinement=1, batch_size=4),
    "small": Size(64, 100, 10, 16, 20, minutes=10.0),
    "full": Size(64, 1000, 100, 200, 30, minutes=600.0, fno=(24, 32), mgno=24),
}


def result(folder: Path) -> Row:
    """The figures of a finished run on its test file."""
    from pdeops.nn.parameters import num_parameters
    from pdeops.tasks import load_run

    run = load_run(folder)
    report: dict[str, Any] = pdeops("evaluate", folder)
    loose, strict = (report["correlation_time"][key] for key in ("0.8", "0.95"))
    return {
        "parameters": str(num_parameters(run.operator)),
        "epochs": str(run.recipe.training.epochs),
        "relative_l2": f"{report['relative_l2']:.5f}",
        "relative_l2_end": f"{report['error_at_times'][-1]:.5f}",
        "correlation_time": f"{loose['model']:.4f}",
        "censored": str(loose["censored"]),
        "correlation_time_95": f"{strict['model']:.4f}",
        "censored_95": str(strict["censored"]),
        "persistence": f"{report['persistence']:.5f}",
        "persistence_correlation_time": f"{loose['persistence']:.4f}",
        "blown_up": str(len(report["blow_up"]["samples"])),
    }


def bench(name: str, *, threads: int, data: Path, runs: Path, out: Path) -> list[Row]:
    """Fill the CSV `out` and a Markdown table of the same name; returns the rows."""
    size = SIZES[name]
    rows = read_csv(out)
    training, test = size.generate(data)
    for seed in range(size.seeds):
        for model in MODELS:
            for objective, options in OBJECTIVES.items():
                key = {"size": name, "model": model, "objective": objective, "seed": str(seed)}
                if any(key.items() <= row.items() for row in rows):
                    continue
                recipe = f"{model}_navier_stokes_rollout"
                settings = {
                    "data.train": f"'{training.absolute()}'",
                    "data.test": f"'{test.absolute()}'",
                    "data.validation": size.validation,
                    **size.settings(model),
                    **options,
                }
                note = runs / f"{name}-{model}-{objective}.seconds_per_epoch"
                if not note.exists():  # measured once, so that all seeds have the same epochs
                    runs.mkdir(parents=True, exist_ok=True)
                    rate = per_epoch(spent_by_command(recipe, settings, threads), PROBE)
                    note.write_text(f"{rate:.4g}\n", encoding="utf-8")
                rate = float(note.read_text(encoding="utf-8"))
                epochs = max(int(60 * size.minutes / rate), 1)
                folder = runs / f"{name}-{model}-{objective}-seed{seed}"
                chosen = {**settings, "seed": seed, "training.epochs": epochs}
                train(recipe, folder, chosen, threads)
                rows.append(
                    {
                        **key,
                        "nodes": str(size.nodes),
                        "solver_nodes": str(size.nodes * size.refinement),
                        "trajectories": str(size.training),
                        "t_end": str(size.t_end),
                        "minutes": f"{size.minutes:g}",
                        "seconds_per_epoch": f"{rate:.3g}",
                        **result(folder),
                        **describe_machine(),
                    }
                )
                save(out, rows)
                print(rows[-1], file=sys.stderr, flush=True)
    save(out, rows)
    return rows


def save(out: Path, rows: Sequence[Row]) -> None:
    """Write the rows as CSV, and the Markdown table of the same name."""
    write_csv(out, rows)
    out.with_suffix(".md").write_text(table(rows), encoding="utf-8")


def table(rows: Sequence[Row]) -> str:
    """Markdown: means and ranges over the seeds, one line for each model and objective."""
    lines = []
    for name in dict.fromkeys(row["size"] for row in rows):
        mine = [row for row in rows if row["size"] == name]
        first = mine[0]
        lines += [
            f"Size {name}: {first['nodes']} nodes per axis, {first['trajectories']} training "
            f"trajectories up to t = {first['t_end']}, solved on {first['solver_nodes']} nodes per "
            f"axis, {first['minutes']} processor minutes for each training. Persistence: relative "
            f"L2 {float(first['persistence']):.3f}, "
            f"correlation above 0.8 for {float(first['persistence_correlation_time']):.2f}.",
            "",
        ]
        cells = []
        for model in MODELS:
            for objective in OBJECTIVES:
                found = [r for r in mine if (r["model"], r["objective"]) == (model, objective)]
                if found:
                    cells.append(_cells(model, objective, found))
        lines += [markdown_table(HEADER, cells), ""]
    return "\n".join([*lines, PUBLISHED])


def _cells(model: str, objective: str, rows: Sequence[Row]) -> list[str]:
    errors = [mean_and_range([float(r[k]) for r in rows]) for k in
              ("relative_l2", "relative_l2_end")]  # fmt: skip
    times = [
        ("≥ " if any(int(row[f"censored{key}"]) for row in rows) else "")
        + mean_and_range([float(row[f"correlation_time{key}"]) for row in rows])
        for key in ("", "_95")
    ]
    return [
        *(model, objective, f"{int(rows[0]['parameters']):,}", rows[0]["epochs"], str(len(rows))),
        *errors,
        *times,
        str(sum(int(r["blown_up"]) for r in rows)),
    ]


def mean_and_range(values: Sequence[float]) -> str:
    """The mean, and the range where there is more than one value."""
    text = f"{statistics.mean(values):.3g}"
    return f"{text} ({min(values):.3g} to {max(values):.3g})" if len(values) > 1 else text


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rollouts")
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the data files")
    parser.add_argument("--runs", type=Path, default=Path("runs/rollouts"), help="of the runs")
    parser.add_argument("--out", type=Path, help="CSV file; a Markdown table gets its name, as .md")
    given = parser.parse_args()
    out = given.out or RESULTS / f"rollouts_{given.size}.csv"
    bench(given.size, threads=given.threads, data=given.data, runs=given.runs, out=out)
    print(out.with_suffix(".md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
