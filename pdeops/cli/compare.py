"""`pdeops compare`: compare trained operators with classical solvers, error against seconds."""

from pathlib import Path
from typing import Annotated, Any

import typer

from .output import Json, document, emit
from .progress import bar


def command(
    runs: Annotated[
        list[Path], typer.Argument(help="Folders of runs on the same problem and grid.")
    ],
    samples: Annotated[int, typer.Option(help="Number of unseen samples to solve.")] = 16,
    against: Annotated[
        str,
        typer.Option(
            help="all, or names of classical methods, separated by commas, that the verdict also "
            "compares with: whether such an opponent is fair. spsolve is scipy's sparse LU."
        ),
    ] = "all",
    tolerances: Annotated[
        str, typer.Option(help="Relative residuals of iterative solvers. Default: 1e-1 to 1e-8.")
    ] = "",
    resolutions: Annotated[
        str,
        typer.Option(help="Nodes per axis. Default: half, equal and twice those of the training."),
    ] = "",
    shifted: Annotated[
        bool,
        typer.Option(
            "--shifted",
            help="Also the errors on other distributions of the inputs: contrast, correlation "
            "length, viscosity, forcing, horizon.",
        ),
    ] = False,
    compiled: Annotated[
        bool, typer.Option("--compiled", help="Also rows of the runs under torch.compile.")
    ] = False,
    solver: Annotated[
        list[str] | None,
        typer.Option(
            help="A classical solver of your own for matrices, file.py:function, in addition. "
            "Repeatable."
        ),
    ] = None,
    device: Annotated[
        str,
        typer.Option(
            help="Devices of the operators, separated by commas; present: the CPU, and a GPU if "
            "there is one."
        ),
    ] = "present",
    out: Annotated[
        Path | None, typer.Option(help="Output folder. Default: that of the first run.")
    ] = None,
    json: Json = False,
) -> None:
    """Compare runs with classical solvers; errors are against a reference on a finer grid.

    Operators for a steady problem are compared with direct and iterative solvers, operators on
    points with finite elements on coarser meshes, models of trajectories with time stepping at
    many (n, dt), by the error at the last time and by correlation time; all of them also with
    reduced bases and polynomial regression fitted to the same training samples. For data on a
    grid without a classical solver, the report says so and has the learned side. A
    network that solves one equation is compared with the cheapest ETDRK4 run of at most the same
    error.

    Writes report.md, report.html, compare.csv, plots/ and further files of numbers to the folder;
    prints the table and the verdict.
    """
    from ..compare.any_runs import Options, compare_any, refuse
    from ..tasks import load_run, task_of

    folder = out or runs[0]
    options = Options(
        num_samples=samples,
        against=() if against == "all" else tuple(n.strip() for n in against.split(",") if n),
        tolerances=_numbers(tolerances, float, "--tolerances takes numbers, as in 1e-2,1e-4"),
        resolutions=_numbers(resolutions, int, "--resolutions takes whole numbers, as in 33,65"),
        shifted=shifted,
        compiled=compiled,
        solver=tuple(solver or ()),
    )
    names = {task_of(run).name for run in runs}
    if names == {"equation"} and len(runs) == 1:
        from ..compare import compare_equation

        refuse(options, "a network that solves one equation")
        place = "cpu" if device == "present" else device
        solved = compare_equation(load_run(runs[0], device=place), folder=folder)
        if json:
            emit(solved.to_dict(), as_json=True)
        else:
            document(solved.to_markdown())
        return
    for run in runs:
        task = task_of(run)
        if task.name not in ("supervised", "rollout") or len(names) > 1:
            raise ValueError(
                f"compare sets operators of one kind against solvers of the same problem; {run} is "
                f"of the task {task.name!r} ({task.summary}). Use `pdeops evaluate {run}`, which "
                f"reports {task.measured}."
            )
    loaded: dict[str, Any] = {}
    devices = _devices(device)
    for place in devices:
        found = [load_run(run, device=place) for run in runs]
        suffix = f" on {place}" if len(devices) > 1 else ""
        labels = _labels(runs, [each.recipe.model.name for each in found])
        loaded |= {label + suffix: each for label, each in zip(labels, found, strict=True)}
    with bar("of the calls", 1) as advance:
        report = compare_any(
            loaded, folder, options, progress=lambda done, total: advance(done / total)
        )
    if json:
        emit(report.to_dict(), as_json=True)
    else:
        document(report.to_markdown())


def _labels(runs: list[Path], models: list[str]) -> list[str]:
    """The names of the models; those of several runs with the last parts of their folders, as many
    as tell them apart.

    Raises:
        ValueError: a run is given twice.
    """
    parts = [run.resolve().parts for run in runs]
    if len(set(parts)) < len(parts):
        raise ValueError(
            f"Each run is compared once; got {', '.join(map(str, runs))}. Name different folders."
        )
    labels = models
    for depth in range(1, 1 + max(map(len, parts))):
        if len(set(labels)) == len(labels):
            break
        ends = ("/".join(part[-depth:]) for part in parts)
        labels = [
            f"{model} ({end})" if models.count(model) > 1 else model
            for model, end in zip(models, ends, strict=True)
        ]
    return labels


def _devices(text: str) -> list[str]:
    """The names of the devices; "present" is resolved."""
    if text != "present":
        return [name.strip() for name in text.split(",")]
    import torch

    return ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


def _numbers(text: str, kind: Any, what: str) -> tuple[Any, ...]:
    try:
        return tuple(kind(part) for part in text.split(",") if part)
    except ValueError:
        raise ValueError(f"{what}; got {text!r}.") from None
