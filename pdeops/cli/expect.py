"""`pdeops expect`: the expectation of a quantity over the random input of a problem."""

from pathlib import Path
from typing import Annotated

import typer

from .output import Device, Json, document, emit


def command(
    run: Annotated[Path, typer.Argument(help="Folder of a run on a steady problem.")],
    quantity: Annotated[
        str,
        typer.Option(
            help="mean, flux_left, flux_right, flux_bottom, flux_top, or a function of your own of "
            "(input, solution, grid), file.py:function."
        ),
    ],
    standard_error: Annotated[float, typer.Option(help="Standard error of the estimate.")],
    resolution: Annotated[
        int | None,
        typer.Option(help="Nodes per axis of the solution. Default: those of the training data."),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Seed of the random inputs; not that of the training data.")
    ] = 1,
    pilot: Annotated[
        int, typer.Option(help="Samples that choose sizes and coefficients; not used again.")
    ] = 50,
    against: Annotated[
        str,
        typer.Option(help="Also estimate by these: monte-carlo, coarse, multilevel; or all."),
    ] = "",
    device: Device = "cpu",
    json: Json = False,
) -> None:
    """Estimate E[Q], Q a functional of the solution, over the random input of the run's problem.

    The operator is a control variate: the estimate is unbiased for the solver's grid whatever the
    operator predicts. If the operator costs more than it saves, that is an error with the figure.
    """
    from ..certify import require_operator
    from ..expectation.study import METHODS, expect
    from ..tasks import load_run

    others = METHODS[1:] if against == "all" else tuple(n for n in against.split(",") if n)
    study = expect(
        require_operator(load_run(run, device=device)),
        quantity,
        standard_error,
        resolution=resolution,
        seed=seed,
        pilot=pilot,
        methods=("operator", *others),
    )
    if json:
        emit(study.to_dict(), as_json=True)
    else:
        document(study.to_markdown())
