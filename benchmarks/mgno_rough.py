"""python -m benchmarks.mgno_rough --folder FOLDER: the paper's 500 epochs of MgNO on rough Darcy
flow, on our data, in parts.

Each call generates the data of `configs/mgno_rough256.toml` if they are missing, trains for the
given number of seconds, and stops with a checkpoint; the next call with the same folder continues
exactly there. When the training has ended, a call evaluates the best checkpoint on the test data
and writes results/mgno_rough.csv: relative L2 and H1 error.

With a GPU the samples are solved there, many at a time; otherwise on the processor with one worker
for each core. Inputs do not depend on the machine. The folder holds two data files and the run. An
interrupted generation continues, too.

`--tiny` does the same with few small samples and two epochs, to try the command.
"""

import argparse
import os
import signal
from pathlib import Path
from types import FrameType
from typing import Any

from pdeops.compare.tables import write_csv

from .bench import RESULTS, machine

RECIPE = "mgno_rough256"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mgno_rough")
    parser.add_argument("--folder", type=Path, required=True, help="of the data and of the run")
    parser.add_argument("--seconds", type=float, default=480, help="of training in this call")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--tiny", action="store_true", help="few small samples, two epochs")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the CSV file")
    arguments = parser.parse_args()
    folder = arguments.folder
    resolution, sizes = (16, {"train": 12, "test": 4}) if arguments.tiny else (256, SIZES)
    data = {
        name: generated(folder / f"{name}.h5", resolution, number, seed, arguments.device)
        for seed, (name, number) in enumerate(sizes.items())
    }
    settings = [f'data.{name}="{file}"' for name, file in data.items()]
    if arguments.tiny:
        settings += ["data.validation=4", "training.epochs=2", "model.levels=2"]
        settings += ["model.hidden_channels=4"]
    settings += arguments.settings
    report = trained(folder / "run", settings, arguments.device, arguments.seconds)
    print(*(f"{key}: {value}" for key, value in report.items()), sep="\n")
    if report["reason"] == "interrupted":
        print("Not finished: call again with the same folder.")
        return
    errors = evaluated(folder / "run", arguments.device)
    row = {"recipe": RECIPE, "resolution": resolution, **errors, **machine()}
    print(row)
    write_csv(arguments.out / "mgno_rough.csv", [row])


SIZES = {"train": 1392, "test": 112}  # as in the recipe's comment; 112 samples are for validation


def generated(file: Path, resolution: int, num_samples: int, seed: int, device: str) -> Path:
    """The data file, generated unless it exists; an interrupted generation continues."""
    from pdeops.datasets import generate, problem_named
    from pdeops.tasks.running import device_named

    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        problem, place = problem_named("darcy", "rough"), device_named(device)
        grid = problem.grid((resolution, resolution))
        workers = (os.cpu_count() or 1) if place.type == "cpu" else 1
        report = generate(
            problem, grid, num_samples=num_samples, seed=seed, out=file, workers=workers,
            device=place,
        )  # fmt: skip
        print(
            f"{file.name}: {num_samples - report['resumed']} samples on {place} in "
            f"{report['seconds']:.1f} s, largest residual {report['largest_residual']:.1e}"
        )
    return file


def trained(run: Path, settings: list[str], device: str, seconds: float) -> dict[str, Any]:
    """The report of the training, begun or continued, after at most these seconds."""
    from pdeops import tasks

    def stop(number: int, frame: FrameType | None) -> None:
        os.kill(os.getpid(), signal.SIGINT)  # as Ctrl-C: the training stops after its step

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        if (run / "recipe.toml").exists():
            return tasks.resume(run, device=device)
        return tasks.train(tasks.load_recipe(RECIPE, settings), out=run, device=device)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def evaluated(run: Path, device: str) -> dict[str, float]:
    """The mean errors of the best checkpoint over the test data."""
    from pdeops import tasks

    report = tasks.evaluate(tasks.load_run(run, device=device))
    return {key: value for key, value in report.items() if isinstance(value, float)}


if __name__ == "__main__":
    main()
