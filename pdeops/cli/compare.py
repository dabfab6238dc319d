"""`pdeops compare`: compare a trained operator with classical solvers, error against seconds."""

from pathlib import Path
from typing import Annotated

import typer

from .output import Device, Json, document, emit


def command(
    run: Annotated[Path, typer.Argument(help="Folder of the run; the report is written there.")],
    samples: Annotated[int, typer.Option(help="Number of unseen samples to solve.")] = 16,
    device: Device = "cpu",
    json: Json = False,
) -> None:
    """Compare a run with classical solvers; errors are against a reference on a finer grid.

    An operator for a steady problem is compared with direct and iterative solvers, an operator on
    points with finite elements on coarser meshes, a model of trajectories with time stepping at
    many (n, dt), by the error at the last time and by correlation time. A network that solves one
    equation is compared with the cheapest ETDRK4 run of at most the same error.

    Writes report.md, report.html, their plots/ and files of numbers to the run's folder; prints the
    table and the verdict.
    """
    from ..compare import compare_points, compare_rollouts, compare_runs
    from ..domain import Points
    from ..tasks import load_run, task_of

    task = task_of(run)
    if task.name == "equation":
        from ..compare import compare_equation

        solved = compare_equation(load_run(run, device=device), folder=run)
        if json:
            emit(solved.to_dict(), as_json=True)
        else:
            document(solved.to_markdown())
        return
    if task.name not in ("supervised", "rollout"):
        raise ValueError(
            f"compare sets operators against solvers of the same problem; {run} is of "
            f"the task {task.name!r} ({task.summary}). Use `pdeops evaluate {run}`, which reports "
            f"{task.measured}."
        )
    loaded = load_run(run, device=device)
    steady = compare_points if isinstance(loaded.domain, Points) else compare_runs
    study = steady if loaded.n_out is None else compare_rollouts
    report = study({loaded.recipe.model.name: loaded}, folder=run, num_samples=samples)
    if json:
        emit(report.to_dict(), as_json=True)
    else:
        document(report.to_markdown())
