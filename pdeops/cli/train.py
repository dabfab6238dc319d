"""`pdeops train`: a recipe becomes a run folder."""

import os
from pathlib import Path
from typing import Annotated

import typer

from .output import Device, Json, emit

INTERRUPTED = 130  # exit status after Ctrl-C


def command(
    recipe: Annotated[
        str | None, typer.Argument(help="A TOML file, or a shipped recipe such as mgno_darcy65.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="key=value, dotted: --set optimizer.lr=1e-3. Repeatable."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The run's own folder.")] = None,
    device: Device = "auto",
    seed: Annotated[int | None, typer.Option(help="Same as --set seed=N.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Same as --set training.epochs=N.")] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Continue this run exactly where it stopped.")
    ] = None,
    json: Json = False,
) -> None:
    """Train a neural operator; prints the run's folder and its best validation metrics."""
    from ..runs.recipe import load_recipe, shipped_recipes
    from ..tasks import supervised as runs

    if resume is not None:
        if recipe or settings or out or seed is not None or epochs is not None:
            raise ValueError("--resume DIR goes on with the run's own recipe; give nothing else.")
        report = runs.resume(resume, device=device)
    else:
        if recipe is None:
            raise ValueError(f"Name a recipe: a file, or one of {', '.join(shipped_recipes())}.")
        overrides = list(settings or [])
        if seed is not None:
            overrides.append(f"seed={seed}")
        if epochs is not None:
            overrides.append(f"training.epochs={epochs}")
        report = runs.train(load_recipe(recipe, overrides), out=out, device=device)
    if os.environ.get("RANK", "0") == "0":  # under torchrun one process speaks for all
        emit(report, as_json=json)
    if report["reason"] == "interrupted":
        raise typer.Exit(INTERRUPTED)
