"""`pdeops predict`: apply a trained operator to the inputs of a file, or sample a solution."""

import logging
from pathlib import Path
from typing import Annotated, Any

import typer

from .output import Device, Json, Kind, ProblemSettings, document, emit

log = logging.getLogger("pdeops")


def command(
    run: Annotated[Path, typer.Argument(help="Folder of the run.")],
    out: Annotated[Path, typer.Option(help="Output file (HDF5); must not exist.")],
    data: Annotated[Path | None, typer.Option(help="Operators: file with the inputs.")] = None,
    grid: Annotated[
        str | None, typer.Option(help="Solutions of an equation: nodes per axis. Default: 128.")
    ] = None,
    times: Annotated[
        str | None,
        typer.Option(help="Solutions of an equation: times, as in 0,0.5,1. Default: 11 times."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Operators: figure of the first samples (.png, .pdf or .svg): input and "
            "prediction, with truth and error if the file has the targets."
        ),
    ] = None,
    certify: Annotated[
        bool,
        typer.Option(
            "--certify",
            help="Operators on Darcy flow and Poisson's equation: guaranteed bounds of the error "
            "of each prediction, in the energy norm. Trajectories: an estimate by the residual.",
        ),
    ] = False,
    tol: Annotated[
        float | None,
        typer.Option(
            help="The same operators: improve each prediction by conjugate gradients until its "
            "relative error against the discrete solution is guaranteed to be at most this. "
            "Trajectories: refine each prediction until its estimated relative residual is at most "
            "this. Implies --certify."
        ),
    ] = None,
    band: Annotated[
        Path | None,
        typer.Option(
            help="Operators: a file for calibration, whose samples served neither training nor "
            "selection; writes the half width of a conformal band for each target."
        ),
    ] = None,
    level: Annotated[
        float | None, typer.Option(help="Probability of the band. Default: 0.9.")
    ] = None,
    pointwise: Annotated[
        bool,
        typer.Option("--pointwise", help="The band holds at each single point, not at all."),
    ] = False,
    problem: Annotated[
        str | None,
        typer.Option(
            help="Equation of the trajectories of --certify or --tol, for a file that states none: "
            "navier_stokes or burgers."
        ),
    ] = None,
    kind: Kind = None,
    settings: ProblemSettings = None,
    device: Device = "cpu",
    json: Json = False,
) -> None:
    """Predict the target fields for every input of a file, on that file's grid.

    Trajectories are written with a time axis: first the input frames, then the predicted frames.
    Their figure has the first and the last frame.

    A run that solves one equation needs no file: it is sampled at the nodes of a grid and at times.
    """
    from .. import tasks
    from ..runs.recipe import parsed

    if plot is not None:
        from ..compare.figures import check_format

        check_format(plot)
        if data is None:
            raise ValueError(
                "--plot draws predictions for the inputs of a file: give --data too. For a run of "
                "the task 'equation', which needs no file, use evaluate --plot."
            )
    options: dict[str, Any] = {} if grid is None else {"grid": _nodes(grid)}
    if times is not None:
        options["times"] = _numbers(times)
    if band is None and (level is not None or pointwise):
        raise ValueError("--level and --pointwise are of a band: give --band too.")
    equation: dict[str, Any] = {
        "problem": problem,
        "kind": kind,
        "parameters": parsed(settings or ()),
    }
    if any(equation.values()) and not certify and tol is None:
        raise ValueError(
            "--problem, --kind and --set state the equation of --certify or --tol: add one."
        )
    loaded = tasks.load_run(run, device=device)
    if certify or tol is not None or band is not None:
        from .. import certify as bars

        if data is None:
            raise ValueError("Error bars need the inputs of a file: give --data.")
        tasks.check_options(loaded, options)
        report: Any
        if getattr(loaded, "n_in", None) is not None:
            if band is not None:
                raise ValueError(
                    "--band is of steady fields. For trajectories, --certify estimates the error, "
                    "and --tol corrects it."
                )
            report = bars.predict_trajectories(loaded, data, out, tol=tol, **equation)
        else:
            if any(equation.values()):
                raise ValueError(
                    "--problem, --kind and --set are of trajectories, and this run predicts none."
                )
            operator = bars.require_operator(loaded)
            around = None
            if band is not None:
                around = bars.conformal_band(
                    operator,
                    band,
                    level=0.9 if level is None else level,
                    simultaneous=not pointwise,
                )
            report = bars.predict(operator, data, out, bounds=certify, tol=tol, band=around)
        if json:
            emit(report.to_dict(), as_json=True)
        else:
            document(report.to_markdown())
    else:
        emit(tasks.predict(loaded, data, out, **options), as_json=json)
    if plot is not None:
        assert data is not None
        from ..compare.field_plots import field_panel, predicted_samples

        samples = predicted_samples(data, out, name=loaded.recipe.model.name)
        log.info("wrote %s", field_panel(plot, samples))


def _nodes(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(
            f"--grid takes one number, the nodes per axis at which a run of the task 'equation' is "
            f"sampled, as in 128; got {text!r}. Leave it out for other runs: they predict on the "
            f"grid or the points of their data."
        ) from None


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"--times takes numbers, as in 0,0.5,1; got {text!r}.") from None
