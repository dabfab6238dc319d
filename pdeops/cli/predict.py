"""`pdeops predict`: apply a trained operator to the inputs of a file."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from .output import Device, Json, emit

log = logging.getLogger("pdeops")


def command(
    run: Annotated[Path, typer.Argument(help="Folder of the run.")],
    data: Annotated[Path, typer.Option(help="File with the inputs.")],
    out: Annotated[Path, typer.Option(help="Output file (HDF5); must not exist.")],
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Figure of the first samples (.png, .pdf or .svg): input and prediction, "
            "with truth and error if the file has the targets."
        ),
    ] = None,
    device: Device = "cpu",
    json: Json = False,
) -> None:
    """Predict the target fields for every input of a file, on that file's grid.

    Trajectories are written with a time axis: first the input frames, then the predicted frames.
    Their figure has the first and the last frame.
    """
    from .. import tasks

    if plot is not None:
        from ..compare.plots import check_format

        check_format(plot)
    loaded = tasks.load_run(run, device=device)
    report = tasks.predict(loaded, data, out)
    if plot is not None:
        from ..compare.field_plots import field_panel, predicted_samples

        samples = predicted_samples(data, out, name=loaded.recipe.model.name)
        log.info("wrote %s", field_panel(plot, samples))
    emit(report, as_json=json)
