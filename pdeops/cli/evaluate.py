"""`pdeops evaluate`: the metrics of a run over a test set, or what a learned solver is worth."""

from pathlib import Path
from typing import Annotated

import typer

from .output import Device, Json, emit
from .progress import bar


def command(
    run: Annotated[
        Path, typer.Argument(help="A run's folder, or the name of a shipped network for solvers.")
    ],
    data: Annotated[Path | None, typer.Option(help="Test file; default: the recipe's.")] = None,
    systems: Annotated[
        int | None, typer.Option(help="Held-out systems to solve, for a learned solver.")
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="Their unknowns per axis; default: the recipe's last shape.")
    ] = None,
    device: Device = "cpu",
    json: Json = False,
) -> None:
    """Mean error of a run over a test set, on the physical scale.

    For a network inside a solver: iterations, seconds of set-up and solution to 1e-8 over held-out
    systems, beside every classical preconditioner, and after how many solves its training is
    repaid.
    """
    from ..compare.evaluate_systems import is_systems_run

    if is_systems_run(run):
        _solver(run, data, systems, size, json)
        return
    from ..tasks.supervised import evaluate, load_run

    if systems is not None or size is not None:
        raise ValueError(
            f"--systems and --size are for networks inside solvers; {run} is a run on a data file. "
            f"Name a test file with --data."
        )
    emit(evaluate(load_run(run, device=device), data), as_json=json, title=str(run))


def _solver(
    run: Path, data: Path | None, systems: int | None, size: int | None, json: bool
) -> None:
    from ..compare.evaluate_systems import evaluate_systems, to_markdown

    if data is not None:
        raise ValueError(
            f"--data is for runs on a data file; {run} solves systems, which its recipe draws. Use "
            f"--systems and --size."
        )
    number = 8 if systems is None else systems
    with bar("systems", number) as progress:
        report = evaluate_systems(run, num_systems=number, size=size, progress=progress)
    if json:
        emit(report, as_json=True)
    else:
        print(to_markdown(report))
