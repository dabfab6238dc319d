"""`pdeops search`: the settings with which a recipe trains best in given seconds."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from .output import Device, Json, document, emit
from .train import INTERRUPTED

log = logging.getLogger("pdeops")


def command(
    recipe: Annotated[str, typer.Argument(help="TOML file, or a shipped recipe.")],
    vary: Annotated[
        list[str] | None,
        typer.Option(
            help="What varies: KEY=LOW..HIGH, on the logarithmic scale from one decade on, or "
            "KEY=[VALUE, VALUE]. Repeatable. Default: learning rate, width and depth around those "
            "of the recipe."
        ),
    ] = None,
    trials: Annotated[
        int, typer.Option(help="Number of trials, those of earlier calls included.")
    ] = 20,
    seconds: Annotated[float, typer.Option(help="Seconds of training of each trial.")] = 60.0,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override a recipe key for all trials. Repeatable."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder. Default: runs/search/NAME of the recipe.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the sampler; --set seed=N is of the training.")] = 0,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Train a recipe with many settings for the same seconds each, and keep the best.

    The error is that on validation data. The same command continues a search that was stopped, or
    adds trials. `pdeops compare` counts the seconds of all trials as a cost of the best run."""
    from ..tasks.search import search
    from ..tasks.search_space import Axis

    report = search(
        recipe,
        [Axis.parsed(text) for text in vary or []],
        trials=trials,
        seconds=seconds,
        out=out,
        overrides=settings or [],
        seed=seed,
        device=device,
        progress=lambda row: log.info(", ".join(f"{k} {v}" for k, v in row.items() if v)),
    )
    if json:
        emit(report.to_dict(), as_json=True)
    else:
        document(report.to_markdown())
    if report.interrupted:
        raise typer.Exit(INTERRUPTED)
