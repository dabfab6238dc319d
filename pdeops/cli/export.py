"""`pdeops export`: write a trained operator as programs that run without pdeops."""

from pathlib import Path
from typing import Annotated

import typer

from .output import Json, emit, rows


def command(
    run: Annotated[Path, typer.Argument(help="Folder of the run.")],
    file_format: Annotated[
        str, typer.Option("--format", help="pt2 (torch.export) or onnx (needs pdeops[export]).")
    ] = "pt2",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "--output",
            help="Output file; must not exist. With several sizes, each is added to the name. "
            "Default: export/<model>_<size> in the folder of the run.",
        ),
    ] = None,
    sizes: Annotated[
        str | None,
        typer.Option(
            help="Nodes per axis of each program, as in 33,65,129 or 33x65,65x129. Default: the "
            "training grid, and half and twice as many cells."
        ),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(help="Accepted relative difference from the operator. Default: 1e-5."),
    ] = None,
    json: Json = False,
) -> None:
    """Write the operator of a run as programs for torch.export or ONNX, which run without pdeops.

    A program maps fields in physical units to fields in physical units, any number at a time. It
    is for one size, because the Fourier matrices and positions of the grid are its constants. Of a
    rollout it is one step.

    Each file is read back and compared with the operator on batches of 1, 2 and 5 samples. If a
    difference exceeds the tolerance, no file is left, and the exit status is 1.
    """
    from ..export import export_run
    from ..tasks import load_run

    made = export_run(
        load_run(run),
        file_format=file_format,
        out=out,
        sizes=None if sizes is None else [_shape(size) for size in sizes.split(",")],
        tolerance=tolerance,
    )
    if json:
        emit({"programs": [program.to_dict() for program in made]}, as_json=True)
        return
    rows(
        ("file", "nodes", "largest relative difference", "tolerance", "batches compared"),
        [
            (
                *(p.file, "x".join(map(str, p.grid)), f"{p.difference:.1e}"),
                *(f"{p.tolerance:.0e}", list(p.batches)),
            )
            for p in made
        ],
    )


def _shape(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(n) for n in text.lower().split("x"))
    except ValueError:
        raise ValueError(
            f"--sizes takes nodes per axis, as in 33,65,129 or 33x65,65x129; got {text!r}."
        ) from None
