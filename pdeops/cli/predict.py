"""`pdeops predict`: apply a trained operator to the inputs of a file."""

from pathlib import Path
from typing import Annotated

import typer

from .output import Device, Json, emit


def command(
    run: Annotated[Path, typer.Argument(help="Folder of the run.")],
    data: Annotated[Path, typer.Option(help="File with the inputs.")],
    out: Annotated[Path, typer.Option(help="Output file (HDF5); must not exist.")],
    device: Device = "cpu",
    json: Json = False,
) -> None:
    """Predict the target fields for every input of a file, on that file's grid.

    Trajectories are written with a time axis: first the input frames, then the predicted frames.
    """
    from .. import tasks

    emit(tasks.predict(tasks.load_run(run, device=device), data, out), as_json=json)
