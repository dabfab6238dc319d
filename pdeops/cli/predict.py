"""`pdeops predict`: a run's predictions for the inputs of a file."""

from pathlib import Path
from typing import Annotated

import typer

from .output import Device, Json, emit


def command(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    data: Annotated[Path, typer.Option(help="File with the inputs.")],
    out: Annotated[Path, typer.Option(help="File to write (HDF5); must not exist.")],
    device: Device = "cpu",
    json: Json = False,
) -> None:
    """Predict the target fields for every input of a file, on that file's grid.

    Trajectories are written with the axis time: the frames given to the model, then the predicted
    ones.
    """
    from .. import tasks

    emit(tasks.predict(tasks.load_run(run, device=device), data, out), as_json=json)
