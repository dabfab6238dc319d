"""Export of a run: one program for each grid, each compared with the operator before it is kept."""

import logging
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..compare.tables import grid_name
from ..nn.operator import Operator
from .description import describe
from .formats import FORMATS, Format, quiet, require_onnx
from .program import inputs, portable_operator, scaled_shape, trace

log = logging.getLogger("pdeops")

BATCHES = (1, 2, 5)  # sizes of the batches that are compared; the program is traced with another
TRACED = 3
SCALES = (0.5, 1.0, 2.0)  # cells of the default grids, relative to the training grid


@dataclass(frozen=True)
class Exported:
    """A written program.

    Attributes:
        file: its file.
        grid: nodes per axis.
        difference: largest ‖p - y‖ / ‖y‖ of a channel of a sample, p the program and y the
            operator.
        tolerance: the accepted difference.
        batches: the sizes of the batches compared.
    """

    file: str
    grid: tuple[int, ...]
    difference: float
    tolerance: float
    batches: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain entries."""
        return {**asdict(self), "grid": list(self.grid), "batches": list(self.batches)}


def export_run(
    run: Any,
    *,
    file_format: str = "pt2",
    out: str | Path | None = None,
    sizes: Sequence[Sequence[int]] | None = None,
    tolerance: float | None = None,
) -> list[Exported]:
    """Write the operator of a run as programs that run without pdeops, one for each grid.

    A program maps physical fields to physical fields, any number at a time: normalizers, positions
    and interpolation matrices are inside. It is read back from its file and compared with the
    operator on batches of 1, 2 and 5 samples. Either all files are kept or none.

    Args:
        run: from `load_run`, of the task supervised or rollout (one step of the model).
        out: the file of one grid; of several, the grid is added to its name. By default
            export/<model>_<grid> in the folder of the run.
        sizes: nodes per axis of each grid. By default the training grid and those with half and
            twice as many cells, as far as the model accepts them.
        tolerance: the accepted difference; by default that of the format.

    Raises:
        ValueError: the format, a size or the model is not supported, a file exists, or a program
            differs from the operator by more than the tolerance.
    """
    if file_format not in FORMATS:
        raise ValueError(f"Unknown format {file_format!r}; use {' or '.join(FORMATS)}.")
    if file_format == "onnx":
        require_onnx()
    form = FORMATS[file_format]
    limit = form.tolerance if tolerance is None else tolerance
    operator = portable_operator(run)
    shapes = _shapes(run, operator, sizes)
    files = _files(run, form, out, shapes)
    drafts = [file.with_name(f"{file.name}.part") for file in files]
    made = []
    try:
        for shape, file, draft in zip(shapes, files, drafts, strict=True):
            found = _write(run, operator, form, shape, draft)
            log.info("%s: largest relative difference %.1e", grid_name(shape), found)
            if not found <= limit:
                raise ValueError(
                    f"The program on {grid_name(shape)} nodes differs from the operator by "
                    f"{found:.1e} of the prediction; expected at most {limit:.0e}. No file was "
                    f"written. Set --tolerance if such a difference is acceptable."
                )
            made.append(Exported(str(file), shape, found, limit, BATCHES))
        for file, draft in zip(files, drafts, strict=True):
            draft.replace(file)
    finally:
        for draft in drafts:
            draft.unlink(missing_ok=True)
    return made


def _write(run: Any, operator: Operator, form: Format, shape: tuple[int, ...], file: Path) -> float:
    """Write the program of one grid; returns its largest difference from the operator."""
    x = inputs(operator, shape, run.in_channels, TRACED)
    program = trace(operator, x)
    file.parent.mkdir(parents=True, exist_ok=True)
    form.write(program, x, describe(run, shape), file)
    again = form.read(file)
    largest = 0.0
    for batch in BATCHES:
        x = inputs(operator, shape, run.in_channels, batch, seed=batch)
        with torch.no_grad(), quiet():
            largest = max(largest, difference(again(x), operator(x), run.domain.ndim))
    return largest


def difference(p: Tensor, y: Tensor, num_axes: int) -> float:
    """Largest ‖p - y‖ / ‖y‖ over samples, times and channels; infinite unless all are finite."""
    p, y = (u.double().flatten(-num_axes) for u in (p, y))
    found = ((p - y).norm(dim=-1) / y.norm(dim=-1).clamp_min(torch.finfo(y.dtype).tiny)).max()
    return found.item() if found.isfinite() else math.inf


def _shapes(
    run: Any, operator: Operator, sizes: Sequence[Sequence[int]] | None
) -> list[tuple[int, ...]]:
    """The grids to export; those of the user must be accepted by the model."""
    domain = run.domain
    if sizes is None:
        wanted = [scaled_shape(domain, factor) for factor in SCALES]
    else:
        wanted = [tuple(s) * domain.ndim if len(s) == 1 else tuple(s) for s in sizes]
    accepted = []
    for shape in dict.fromkeys(wanted):
        try:
            domain.with_shape(shape)
            with torch.no_grad():
                operator(inputs(operator, shape, run.in_channels, 1))
        except ValueError as refusal:
            if sizes is not None or shape == domain.shape:
                raise
            log.info("left out: %s nodes; the model refused: %s", grid_name(shape), refusal)
            continue
        accepted.append(shape)
    return accepted


def _files(
    run: Any, form: Format, out: str | Path | None, shapes: Sequence[tuple[int, ...]]
) -> list[Path]:
    """The file of each grid."""
    if out is None:
        first = run.folder / "export" / f"{run.recipe.model.name.rpartition(':')[2]}{form.suffix}"
    else:
        first = Path(out).expanduser()
        if first.suffix != form.suffix:
            raise ValueError(f"A file of this format ends in {form.suffix}; got {first.name}.")
    files = [first.with_stem(f"{first.stem}_{grid_name(s, 'x')}") for s in shapes]
    if out is not None and len(shapes) == 1:
        files = [first]
    for file in files:
        if file.exists():
            raise ValueError(f"{file} exists; remove it, or choose another --out.")
    return files
