"""`pdeops evaluate`: the metrics of a run over a test set."""

from pathlib import Path
from typing import Annotated

import typer

from .output import Device, Json, emit


def command(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    data: Annotated[Path | None, typer.Option(help="Test file; default: the recipe's.")] = None,
    device: Device = "cpu",
    json: Json = False,
) -> None:
    """Mean error of a run over a test set, on the physical scale."""
    from ..run import evaluate, load_run

    emit(evaluate(load_run(run, device=device), data), as_json=json, title=str(run))
