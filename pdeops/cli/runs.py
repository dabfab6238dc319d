"""`pdeops runs`: list runs, and compare their recipes and errors."""

from pathlib import Path
from typing import Annotated, Any

import typer

from .output import Json, emit, rows

DEFAULT = Path("runs")


def command(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders of runs, or runs. Default: the folder runs."),
    ] = None,
    json: Json = False,
) -> None:
    """List the runs below a folder: model, data, best validation error, epochs, seconds, state.

    Of two or more runs, named by their own folders, also the keys in which their recipes differ and
    their validation errors in every metric.
    """
    from ..compare.run_listing import RECIPE, listed, runs_below

    given = [p.expanduser() for p in paths or [DEFAULT]]
    folders = runs_below(given)
    found = [listed(folder) for folder in folders]
    between = _between(folders) if _named(given, RECIPE) else {}
    if json:
        emit({"runs": [run.to_dict() for run in found], **between}, as_json=True)
        return
    header = ("run", "name", "task", "model", "data", "metric", "best", "epochs", "seconds")
    rows(
        (*header, "parameters", "date", "state"),
        [
            (
                *(run.folder, run.name, run.task, run.model, run.data, run.metric, run.best),
                None if run.epochs is None else f"{run.epochs}/{run.planned}",
                *(run.seconds, run.parameters, run.date, run.state),
            )
            for run in found
        ],
    )
    for title, table in between.items():
        lines = [(key, *values) for key, values in table.items()]
        rows(("key", *map(str, folders)), lines, title=title)


def _named(paths: list[Path], recipe: str) -> bool:
    """Whether two or more runs are named by their own folders."""
    return len(paths) > 1 and all((path / recipe).is_file() for path in paths)


def _between(folders: list[Path]) -> dict[str, dict[str, list[Any]]]:
    """The differing keys of the recipes, and the metrics of the best epochs."""
    from ..compare.run_listing import differences, metrics_of_run
    from ..runs.folder import tables_of

    metrics = [metrics_of_run(folder) for folder in folders]
    names = dict.fromkeys(name for each in metrics for name in each)
    return {
        "differences": differences([tables_of(folder) for folder in folders]),
        "validation": {name: [each.get(name) for each in metrics] for name in names},
    }
