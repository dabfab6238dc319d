"""`pdeops compare`: compare a trained operator with classical solvers, error against seconds."""

from pathlib import Path
from typing import Annotated

import typer

from .output import Device, Json, emit


def command(
    run: Annotated[Path, typer.Argument(help="Folder of the run; the report is written there.")],
    samples: Annotated[int, typer.Option(help="Number of unseen samples to solve.")] = 16,
    device: Device = "cpu",
    json: Json = False,
) -> None:
    """Compare a run with classical solvers; errors are against a reference on a finer grid.

    Writes compare.csv, plots/ and report.md to the run's folder; prints the table and the verdict.
    """
    from ..compare import compare_runs
    from ..tasks import load_run

    loaded = load_run(run, task="supervised", device=device)
    report = compare_runs({loaded.recipe.model.name: loaded}, folder=run, num_samples=samples)
    if json:
        emit(report.to_dict(), as_json=True)
    else:
        print(report.to_markdown())
