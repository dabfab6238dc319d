"""`pdeops refine`: correct predicted trajectories by the residual of their equation."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from .output import Device, Json, document, emit
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
        int,
        typer.Option(help="Number of frames that are predicted, from refined ones, and refined."),
    ] = 10,
    accuracy: Annotated[int, typer.Option(help="Order of the time differences, 4 or 6.")] = 4,
    problem: Annotated[
        str | None,
        typer.Option(
            help="Equation of a file that states none: navier_stokes, burgers or shallow_water."
        ),
    ] = None,
    kind: Annotated[str | None, typer.Option(help="Kind of the problem; fixes the force.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Parameter of the problem: --set viscosity=1e-3. Repeatable."),
    ] = None,
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
    from ..compare.plots import check_format
    from ..compare.refinement import study_windows
    from ..compare.refinement_plot import draw
    from ..datasets import open_dataset
    from ..tasks import prediction, refinement
    from ..training.refine import method_named

    if plot is not None:
        check_format(plot)
    refinement.check_differences(accuracy)
    chosen = method_named(method, steps)
    parameters = _parameters(problem, kind, settings or [])
    loaded = tasks.load_run(run, device=device)
    dataset = open_dataset(data)
    windows = refinement.windows_of(dataset, loaded, frames)
    if not 1 <= samples <= len(windows):
        raise ValueError(f"{data} holds {len(windows)} trajectories; got --samples {samples}.")
    chosen_windows = windows.subset(range(samples))
    given = None
    if problem is not None:
        given = refinement.problem_named_for(chosen_windows, problem, kind, **parameters)
    solved = refinement.problem_solved_by(chosen_windows, given)
    times = refinement.times_of(windows)
    refinement.check_block(loaded.n_in, len(times) - loaded.n_in, block, accuracy)
    predict = refinement.predictor(loaded, times[-1] - times[-2])
    if out is not None:
        prediction.prepare(out)
    chosen_windows.check()
    batch = chosen_windows.read(range(samples))
    with bar("trajectories", samples) as progress:
        study = study_windows(
            predict,
            solved,
            chosen_windows,
            batch.to(next(loaded.operator.parameters()).device),
            chosen,
            block=block,
            accuracy=accuracy,
            progress=progress,
        )
    if out is not None:
        import torch

        refined = torch.cat([f.refined for f in study.frames]).to(batch.input)
        how = refinement.correction(solved, method, chosen.steps, block=block, accuracy=accuracy)
        prediction.write(loaded, chosen_windows, [(batch, refined)], out, correction=how)
    if plot is not None:
        draw(study, plot)
    if json:
        emit(study.to_dict(), as_json=True)
    else:
        document(study.to_markdown())


def _parameters(problem: str | None, kind: str | None, settings: Sequence[str]) -> dict[str, Any]:
    """The parameters that the options give."""
    from ..runs.recipe import put

    if problem is None and (kind is not None or settings):
        raise ValueError("--kind and --set belong to --problem; name the problem too.")
    parameters: dict[str, Any] = {}
    for text in settings:
        put(parameters, text)
    return parameters
