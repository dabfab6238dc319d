"""python -m benchmarks.lsm_study TABLE: LSM, its parts, and other models, with equal epochs.

    models      LSM, the plain U-Net of the same hierarchy, FNO, MgNO, Transolver
    ablation    LSM with and without blocks, tokens and basis functions
    resolution  LSM trained on 64² nodes, evaluated on other grids

`models` and `ablation` train on the project's Darcy flow on 85 x 85 nodes and on Navier-Stokes with
viscosity 1e-5 on 64 x 64: relative L2 errors on the test file, mean and standard deviation over the
seeds. Held-out samples of the training file choose the best epoch; the test file chooses nothing.
All rows of a table have the same samples, epochs and batches. The command can be interrupted and
repeated: data, rows of the CSV and epochs in a checkpoint are not computed again.
"""

import argparse
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pdeops.compare.tables import markdown_table, read_csv, write_csv
from pdeops.nn.parameters import num_parameters
from pdeops.tasks import evaluate, load_recipe, load_run

from .bench import RESULTS, machine
from .spacetime import trained
from .trainings import pdeops

Row = dict[str, str]
Settings = Mapping[str, object]


@dataclass(frozen=True)
class Data:
    """A data set with the budget of each training on it.

    Attributes:
        recipe: a shipped recipe; its settings hold where no other is given.
        generate: arguments of `pdeops data generate`.
        training, validation, test: numbers of samples; the first two are from one file, seed 0.
        epochs: passes over the training samples.
    """

    recipe: str
    generate: tuple[str, ...]
    training: int
    validation: int
    test: int
    epochs: int

    def files(self, name: str, folder: Path) -> tuple[Path, Path]:
        """The training and the test file, which are generated if they are missing."""
        wanted = {"train": (self.training + self.validation, 0), "test": (self.test, 1)}
        train, test = (
            generated(folder / f"{name}_{role}{samples}.h5", self.generate, samples, seed)
            for role, (samples, seed) in wanted.items()
        )
        return train, test


def generated(file: Path, arguments: Sequence[str], samples: int, seed: int) -> Path:
    """The file, made by `pdeops data generate` if it is missing."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        numbers = ("--samples", str(samples), "--seed", str(seed))
        pdeops("data", "generate", *arguments, *numbers, "--out", file)
    return file


def darcy(nodes: str) -> tuple[str, ...]:
    """Arguments that generate piecewise constant Darcy flow; "100,128" for a grid of two sizes."""
    return ("darcy", "--kind", "piecewise", "--resolution", nodes)


FLOW = ("navier_stokes", "--kind", "fno_1e-5", "--set=t_end=19", "--set=num_frames=19",
        "--set=refinement=2", "--set=dt=0.05", "--resolution", "64")  # fmt: skip
SIZES: dict[str, dict[str, Data]] = {
    "short": {
        "darcy85": Data("lsm_darcy85", darcy("85"), 60, 8, 40, epochs=4),
        "ns1e-5": Data("lsm_ns1e-5", FLOW, 20, 4, 10, epochs=1),
    },
    "cpu": {
        "darcy85": Data("lsm_darcy85", darcy("85"), 60, 8, 40, epochs=6),
        "ns1e-5": Data("lsm_ns1e-5", FLOW, 20, 4, 10, epochs=2),
    },
    "gpu": {
        "darcy85": Data("lsm_darcy85", darcy("85"), 1000, 100, 200, epochs=500),
        "ns1e-5": Data("lsm_ns1e-5", FLOW, 1000, 100, 200, epochs=100),
    },
}
WIDE, NARROW = {"model.hidden_channels": 32}, {"model.hidden_channels": 16}
TABLES: dict[str, dict[str, Settings]] = {
    "models": {
        "LSM": WIDE,
        "plain U-Net": {**WIDE, "model.num_tokens": 0},
        "FNO": {"model.name": "FNO", "model.n_modes": [24, 24], "model.hidden_channels": 24,
                "optimizer.lr": 2e-3},
        "MgNO": {"model.name": "MgNO", "model.hidden_channels": 16, "optimizer.lr": 3e-3},
        "Transolver": {"model.name": "Transolver", "model.hidden_channels": 32,
                       "model.n_layers": 4, "model.num_heads": 4, "model.num_slices": 32},
    },
    "ablation": {
        "4 tokens, 12 basis functions": NARROW,
        "no block": {**NARROW, "model.num_tokens": 0},
        "1 token": {**NARROW, "model.num_tokens": 1},
        "16 tokens": {**NARROW, "model.num_tokens": 16},
        "no basis function": {**NARROW, "model.num_basis": 0},
    },
}  # fmt: skip
TRAINED_ON = 64  # nodes per axis, for the table `resolution`
EVALUATED_ON = ("64", "96", "100,128", "128")


def run(recipe: str, settings: Settings, folder: Path) -> Path:
    """The folder of the run, trained or continued."""
    pairs = [f"{key}={value}" for key, value in settings.items()]
    trained(load_recipe(recipe, pairs), folder, "cpu")
    return folder


def budget(data: Data, train: Path, test: Path, seed: int) -> dict[str, object]:
    """The settings that all rows of a data set share."""
    return {
        "data.train": f"'{train.absolute()}'",
        "data.test": f"'{test.absolute()}'",
        "data.samples": data.training + data.validation,
        "data.validation": data.validation,
        "training.epochs": data.epochs,
        "seed": seed,
    }


def study(size: str, table: str, seeds: Sequence[int], data: Path, runs: Path, out: Path) -> None:
    """Fill the CSV `out`, and a Markdown table of the same name; rows that it has are kept."""
    rows = read_csv(out)
    for seed in seeds:
        for name, chosen in SIZES[size].items():
            train, test = chosen.files(name, data)
            for label, settings in TABLES[table].items():
                key = {"size": size, "data": name, "model": label, "seed": str(seed)}
                if any(key.items() <= row.items() for row in rows):
                    continue
                folder = runs / f"{size}-{table}-{name}-{label.replace(' ', '_')}-seed{seed}"
                run(chosen.recipe, {**budget(chosen, train, test, seed), **settings}, folder)
                rows.append({**key, **figures(chosen, folder), **machine()})
                save(out, rows)
                print(*key.values(), rows[-1]["relative_l2"], file=sys.stderr, flush=True)
    save(out, rows)


def save(out: Path, rows: Sequence[Row]) -> None:
    """Write the rows as CSV, and the Markdown tables of the same name."""
    write_csv(out, rows)
    out.with_suffix(".md").write_text(markdown(rows), encoding="utf-8")


def figures(data: Data, folder: Path) -> Row:
    """The figures of a finished run on its test file."""
    finished = load_run(folder)
    return {
        "parameters": str(num_parameters(finished.operator)),
        "samples": str(data.training),
        "epochs": str(data.epochs),
        "training_seconds": f"{float(read_csv(folder / 'metrics.csv')[-1]['seconds']):.0f}",
        "relative_l2": f"{evaluate(finished)['relative_l2']:.5f}",
    }


def markdown(rows: Sequence[Row]) -> str:
    """One table for each size and data set: a line for each model, means over its seeds."""
    lines = []
    for size, name in dict.fromkeys((row["size"], row["data"]) for row in rows):
        mine = [row for row in rows if (row["size"], row["data"]) == (size, name)]
        first = mine[0]
        lines += [f"{name}: {first['samples']} training samples, {first['epochs']} epochs", ""]
        cells = []
        for label in dict.fromkeys(row["model"] for row in mine):
            found = [row for row in mine if row["model"] == label]
            seconds = statistics.mean(float(row["training_seconds"]) for row in found)
            parameters = f"{int(found[0]['parameters']):,}"
            errors = [100 * float(row["relative_l2"]) for row in found]
            cells.append(
                [label, parameters, f"{seconds:.0f}", str(len(found)), mean_and_deviation(errors)]
            )
        header = ("model", "parameters", "seconds", "seeds", "relative L2, %")
        lines += [markdown_table(header, cells), ""]
    return "\n".join(lines)


def mean_and_deviation(values: Sequence[float]) -> str:
    """The mean, and the sample standard deviation where there is more than one value."""
    text = f"{statistics.mean(values):.2f}"
    return f"{text} ± {statistics.stdev(values):.2f}" if len(values) > 1 else text


def resolution(
    size: str, seed: int, data: Path, runs: Path, out: Path, model: Settings = WIDE
) -> None:
    """Train on 64² nodes, and evaluate the same problems on all grids of `EVALUATED_ON`."""
    base = SIZES[size]["darcy85"]
    test = [
        generated(data / f"darcy{nodes}_test{base.test}.h5", darcy(nodes), base.test, 1)
        for nodes in EVALUATED_ON
    ]
    samples = base.training + base.validation
    name = f"darcy{TRAINED_ON}_train{samples}.h5"
    train = generated(data / name, darcy(str(TRAINED_ON)), samples, 0)
    settings = {**budget(base, train, test[0], seed), **model}
    finished = load_run(run(base.recipe, settings, runs / f"{size}-resolution-seed{seed}"))
    rows: list[Row] = []
    for nodes, file in zip(EVALUATED_ON, test, strict=True):
        error = evaluate(finished, file)["relative_l2"]
        first = float(rows[0]["relative_l2"]) if rows else error
        rows.append(
            {
                "size": size,
                "trained_on": str(TRAINED_ON),
                "evaluated_on": nodes.replace(",", "x"),
                "samples": str(base.training),
                "epochs": str(base.epochs),
                "relative_l2": f"{error:.5f}",
                "ratio": f"{error / first:.3f}",
                **machine(),
            }
        )
        print(*(rows[-1][key] for key in ("evaluated_on", "relative_l2", "ratio")), flush=True)
    write_csv(out, rows)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lsm_study")
    parser.add_argument("table", choices=[*TABLES, "resolution"])
    parser.add_argument("--size", choices=SIZES, default="cpu")
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[0, 1, 2], help="`resolution` takes the first"
    )
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the data files")
    parser.add_argument("--runs", type=Path, default=Path("runs/lsm"), help="folder of the runs")
    parser.add_argument("--out", type=Path, help="CSV file; a Markdown table gets its name, as .md")
    given = parser.parse_args()
    out = given.out or RESULTS / f"lsm_{given.table}.csv"
    if given.table == "resolution":
        resolution(given.size, given.seeds[0], given.data, given.runs, out)
        return
    study(given.size, given.table, given.seeds, given.data, given.runs, out)
    print(out.with_suffix(".md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
