"""`pdeops predict`: apply a trained operator to the inputs of a file, or sample a solution."""

from pathlib import Path
from typing import Annotated, Any

import typer

from .output import Device, Json, emit


def command(
    run: Annotated[Path, typer.Argument(help="Folder of the run.")],
    out: Annotated[Path, typer.Option(help="Output file (HDF5); must not exist.")],
    data: Annotated[Path | None, typer.Option(help="Operators: file with the inputs.")] = None,
    grid: Annotated[
        int | None, typer.Option(help="Solutions of an equation: nodes per axis. Default: 128.")
    ] = None,
    times: Annotated[
        str | None,
        typer.Option(help="Solutions of an equation: times, as in 0,0.5,1. Default: 11 times."),
    ] = None,
    device: Device = "cpu",
    json: Json = False,
) -> None:
    """Predict the target fields for every input of a file, on that file's grid.

    Trajectories are written with a time axis: first the input frames, then the predicted frames.

    A run that solves one equation needs no file: it is sampled at the nodes of a grid and at times.
    """
    from .. import tasks

    options: dict[str, Any] = {} if grid is None else {"grid": grid}
    if times is not None:
        options["times"] = _numbers(times)
    emit(tasks.predict(tasks.load_run(run, device=device), data, out, **options), as_json=json)


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"--times takes numbers, as in 0,0.5,1; got {text!r}.") from None
