"""`pdeops refine`: correct predicted trajectories by the residual of their equation."""

from pathlib import Path
from typing import Annotated

import typer

from .output import Device, Json, Kind, ProblemSettings, document, emit
from .progress import bar


def command(
    run: Annotated[Path, typer.Argument(help="Folder of a run that predicts trajectories.")],
    data: Annotated[Path, typer.Option(help="File with trajectories, on any grid of the domain.")],
    samples: Annotated[int, typer.Option(help="Number of trajectories, from the first.")] = 1,
    frames: Annotated[
        int | None,
        typer.Option(help="Number of predicted frames. Default: all frames after the given ones."),
    ] = None,
    method: Annotated[str, typer.Option(help="gauss-newton, lbfgs or adam.")] = "gauss-newton",
    steps: Annotated[
        int | None, typer.Option(help="Largest number of steps. Default: that of the method.")
    ] = None,
    block: Annotated[
        int | None,
        typer.Option(
            help="Number of frames that are predicted, from refined ones, and refined. Default: 5, "
            "or more where the time differences need them."
        ),
    ] = None,
    accuracy: Annotated[int, typer.Option(help="Order of the time differences, 4 or 6.")] = 4,
    problem: Annotated[
        str | None,
        typer.Option(
            help="Equation of a file that states none: navier_stokes, burgers or shallow_water."
        ),
    ] = None,
    kind: Kind = None,
    settings: ProblemSettings = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write the refined trajectories to this file (HDF5); must not exist."),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw error against seconds to this file (PNG, PDF, SVG).")
    ] = None,
    device: Device = "cpu",
    json: Json = False,
) -> None:
    """Correct a prediction so that the residual of its equation falls.

    The given frames stay fixed. A step is taken only if the residual, in the norm of H⁻¹, falls;
    without steps the result is the output of the model. On a sphere the residual of shallow water
    is an indicator: no bound of the error by it is known.

    The report states the residual and the error against the frames of the file before and after,
    and the run of plain time stepping of the same seconds, and of the same error.
    """
    from .. import tasks
    from ..compare.figures import check_format
    from ..compare.refinement_plot import draw
    from ..compare.refinement_runs import refinement_job
    from ..runs.recipe import parsed
    from ..tasks import prediction

    if plot is not None:
        check_format(plot)
    job = refinement_job(
        tasks.load_run(run, device=device),
        data,
        samples=samples,
        frames=frames,
        method=method,
        steps=steps,
        block=block,
        accuracy=accuracy,
        problem=problem,
        kind=kind,
        parameters=parsed(settings or ()),
    )
    if out is not None:
        prediction.prepare(out)
    with bar("trajectories", samples) as progress:
        study = job.study(progress)
    if out is not None:
        job.write(study, out)
    if plot is not None:
        draw(study, plot)
    if json:
        emit(study.to_dict(), as_json=True)
    else:
        document(study.to_markdown())
