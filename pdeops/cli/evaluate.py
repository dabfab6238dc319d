"""`pdeops evaluate`: evaluate a run with the measures of its task."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .output import Device, Json, document, emit
from .progress import bar

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from ..datasets import FieldDataset
    from ..tasks.task import Task

log = logging.getLogger("pdeops")


def command(
    run: Annotated[
        Path, typer.Argument(help="Folder of the run, or name of a shipped network for solvers.")
    ],
    data: Annotated[
        Path | None,
        typer.Option(help="Operators: test file. Default: the test file of the recipe."),
    ] = None,
    systems: Annotated[
        int | None,
        typer.Option(help="Networks inside solvers: number of held-out systems. Default: 8."),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(help="Unknowns per axis of these systems. Default: last shape of the recipe."),
    ] = None,
    solver: Annotated[
        list[str] | None,
        typer.Option(
            help="Networks inside solvers: a solver of your own for matrices, file.py:function, in "
            "addition, as in `pdeops compare`. Repeat the option for more."
        ),
    ] = None,
    plot: Annotated[
        bool,
        typer.Option(
            "--plot", help="Draw figures to plots/ of the run, not for networks in solvers."
        ),
    ] = False,
    plot_folder: Annotated[Path | None, typer.Option(help="The same, to this folder.")] = None,
    report_folder: Annotated[
        Path | None,
        typer.Option(
            "--report",
            help="Operators: write report.md and report.html to this folder, with the errors of "
            "single samples, worst cases, spectra, coverage of bands, and training curves.",
        ),
    ] = None,
    device: Device = "cpu",
    json: Json = False,
) -> None:
    """Evaluate a run on unseen data.

    For an operator: mean errors over a test file, in physical units. --plot draws input, truth,
    prediction and error of the first samples.

    For a model of trajectories: error and correlation at each time, and those of persistence, the
    correlation time, spectra, and blow-up. --plot draws error over time, spectra, and a film of
    truth, prediction and difference.

    For a network that solves one equation: errors against a resolved classical solution. --plot
    draws the solution, its error, the training, and the characteristics of an LPINN.

    For a network inside a solver: iterations and seconds over held-out systems, compared with every
    classical preconditioner, and the number of solves after which its training has paid off.
    """
    from .. import tasks

    task = tasks.task_of(run)
    given = {"data": data, "systems": systems, "size": size, "solver": solver}
    options: dict[str, Any] = {k: v for k, v in given.items() if v is not None}
    for option in options:
        if option not in task.options:
            raise ValueError(_not_an_option(option, run, task))
    if report_folder is not None and "data" not in task.options:
        raise ValueError(
            f"--report is about errors on a data file; {run} is of the task {task.name!r} "
            f"({task.summary}). Leave it out."
        )
    loaded = tasks.load_run(run, device=device)
    plot = plot or plot_folder is not None
    drawn_alone = task.name == "equation"  # without a data set
    examples = task.examples(loaded, data) if plot and not drawn_alone else None
    if "systems" in task.options:
        with bar("systems", options.setdefault("systems", 8)) as progress:
            report = tasks.evaluate(loaded, **options, progress=progress)
    else:
        report = tasks.evaluate(loaded, **options)
    if plot:
        folder, name = plot_folder or loaded.folder / "plots", loaded.recipe.model.name
        if examples is None:
            from ..compare.equation_plots import draw

            files = draw(loaded, folder)
        else:
            files = _draw(report, *examples, folder=folder, name=name)
        for file in files:
            log.info("wrote %s", file)
    if report_folder is not None:
        log.info("wrote %s", _report(loaded, data, report_folder))
    text = None if json else task.text(report)
    if text is None:
        emit(report, as_json=json, title=str(run), notes=task.definitions())
    else:
        document(text)


def _report(run: Any, data: Path | None, folder: Path) -> Path:
    """report.md and report.html of a run on a file, by default the test file of its recipe."""
    from ..compare.report import write_report
    from ..compare.run_listing import monitored
    from ..compare.runs import curves_of

    name = run.recipe.model.name
    return write_report(
        folder,
        title=f"{name}, run {run.folder.name}",
        curves=curves_of({name: run}),
        metric=monitored(run.folder),
        runs={name: run},
        data=None if data is None else {data.stem: data},
    )


def _draw(
    report: dict[str, Any],
    dataset: "FieldDataset",
    predict: "Callable[[int], Tensor]",
    *,
    folder: Path,
    name: str,
) -> list[Path]:
    """The figures of an evaluation: of trajectories those over time, else fields.png. On points
    there is no film, so trajectories have fields.png too."""
    from ..compare import field_plots, trajectory_plots
    from ..domain import Points

    drawn = []
    if dataset.window is not None:
        trajectory = dataset.domain, dataset.read([0]), predict(0)[None]
        drawn = trajectory_plots.draw(report, *trajectory, folder=folder, name=name)
    if dataset.window is None or isinstance(dataset.domain, Points):
        samples = field_plots.samples_of(dataset, {name: predict})
        drawn.append(field_plots.field_panel(folder / "fields.png", samples))
    return drawn


def _not_an_option(option: str, run: Path, task: "Task") -> str:
    from ..tasks import TASKS

    owners = [other for other in TASKS.values() if option in other.options]
    return (
        f"--{option} is for {' and '.join(f'{t.summary} (task {t.name!r})' for t in owners)}; "
        f"{run} is of the task {task.name!r} ({task.summary}), which takes "
        f"{' and '.join(f'--{name}' for name in task.options)}."
    )
