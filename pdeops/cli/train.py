"""`pdeops train`: train the model of a recipe and write a run folder."""

import os
from pathlib import Path
from typing import Annotated

import typer

from .output import Device, Json, emit

INTERRUPTED = 130  # exit status after Ctrl-C


def command(
    recipe: Annotated[
        str | None, typer.Argument(help="TOML file, or a shipped recipe such as mgno_darcy65.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override a recipe key: --set optimizer.lr=1e-3. Repeatable."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run. Default: runs/<name>/<time>-<hash>.")
    ] = None,
    device: Device = "auto",
    seed: Annotated[int | None, typer.Option(help="Same as --set seed=N.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Same as --set training.epochs=N.")] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Continue the run in this folder exactly where it stopped.")
    ] = None,
    show: Annotated[
        bool, typer.Option("--show", help="Print the recipe with its comments; train nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Train the model of a recipe; print the run's folder and its best validation metrics.

    A recipe trains an operator on a data file, a one-step model of trajectories, or a network
    inside a solver."""
    if show:
        from ..runs.recipe import recipe_text

        if recipe is None:
            raise ValueError("--show prints a recipe: name a file, or a shipped recipe.")
        print(recipe_text(recipe), end="")
        return

    from .. import tasks
    from ..runs.recipe import shipped_recipes

    if resume is not None:
        if recipe or settings or out or seed is not None or epochs is not None:
            raise ValueError(
                "--resume DIR continues with the run's own recipe; give no other option."
            )
        report = tasks.resume(resume, device=device)
    else:
        if recipe is None:
            raise ValueError(f"Name a recipe: a file, or one of {', '.join(shipped_recipes())}.")
        overrides = list(settings or [])
        if seed is not None:
            overrides.append(f"seed={seed}")
        if epochs is not None:
            overrides.append(f"training.epochs={epochs}")
        report = tasks.train(tasks.load_recipe(recipe, overrides), out=out, device=device)
    if os.environ.get("RANK", "0") == "0":  # under torchrun, one process prints
        emit(report, as_json=json)
    if report["reason"] == "interrupted":
        raise typer.Exit(INTERRUPTED)
