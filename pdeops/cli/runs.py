"""`pdeops runs`: list runs, and compare their recipes and errors."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .output import Json, emit, rows

if TYPE_CHECKING:
    from ..compare.run_listing import Listed

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
    from ..compare.run_listing import listed, runs_below

    given = [p.expanduser() for p in paths or [DEFAULT]]
    folders = runs_below(given)
    found = [listed(folder) for folder in folders]
    readable = [run for run in found if run.task is not None]
    between = _between(readable) if len(readable) > 1 and folders == given else {}
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
        rows(("key", *(run.folder for run in readable)), lines, title=title)


def _between(runs: list["Listed"]) -> dict[str, dict[str, list[Any]]]:
    """The differing keys of the recipes, and the metrics of the best epochs."""
    from ..compare.run_listing import differences
    from ..runs.folder import tables_of

    names = dict.fromkeys(name for run in runs for name in run.validation)
    return {
        "differences": differences([tables_of(Path(run.folder)) for run in runs]),
        "validation": {name: [run.validation.get(name) for run in runs] for name in names},
    }
