"""`pdeops data`: generate benchmark data, and say what is in a file."""

from pathlib import Path
from typing import Annotated

import typer

from .output import Json, emit

app = typer.Typer(help="Generate benchmark data; say what is in a file.", no_args_is_help=True)


@app.command()
def generate(
    problem: Annotated[str, typer.Argument(help="darcy or poisson")],
    samples: Annotated[int, typer.Option(help="Number of samples.")],
    resolution: Annotated[str, typer.Option(help="Nodes per axis with the boundary: 65 or 65,97.")],
    out: Annotated[Path, typer.Option(help="File to write; must not exist.")],
    seed: Annotated[int, typer.Option(help="Sample i depends on (seed, i) alone.")] = 0,
    kind: Annotated[str | None, typer.Option(help="Kind of random input, as piecewise.")] = None,
    workers: Annotated[int, typer.Option(help="Number of processes.")] = 1,
    dtype: Annotated[str, typer.Option(help="float32 or float64, as stored.")] = "float32",
    json: Json = False,
) -> None:
    """Generate a data set: random inputs and their solutions, each solved to 1e-10.

    Interrupted, it goes on where it stopped when called again with the same arguments.
    """
    from ..datasets import generate as generate_dataset
    from ..datasets import problem_named
    from .progress import bar

    grid_shape = _resolution(resolution)
    chosen = problem_named(problem, kind)
    with bar("samples", samples) as advance:
        report = generate_dataset(
            chosen,
            chosen.grid(grid_shape),
            num_samples=samples,
            seed=seed,
            out=out,
            workers=workers,
            dtype=dtype,
            progress=advance,
        )
    emit(report, as_json=json)


@app.command()
def inspect(
    file: Annotated[Path, typer.Argument(help="A data file of any format that pdeops reads.")],
    json: Json = False,
) -> None:
    """Say what a data file holds: layout, fields, shapes, range, grid, spec."""
    from ..datasets import inspect as inspect_file

    report = inspect_file(file)
    if not json:
        report.pop("spec", None)  # what matters of it stands in the other entries
    emit(report, as_json=json, title=str(file))


def _resolution(text: str) -> tuple[int, ...]:
    """(65, 65) from '65' and (65, 97) from '65,97'."""
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"--resolution reads 65 or 65,97; got {text!r}.") from None
    if len(counts) == 1:
        counts *= 2
    if len(counts) != 2:
        raise ValueError(f"--resolution takes one number or two; got {text!r}.")
    return tuple(counts)
