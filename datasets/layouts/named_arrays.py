"""Layout of arrays with arbitrary names: the caller names the fields, or they have the names of
published files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ..containers.store import AmbiguousError, Store
from ..dataset import FieldDataset
from .array_source import ArraySource
from .coordinates import GridLike, grid_of
from .selection import Axes, contents, select


@dataclass(frozen=True)
class Pair:
    """Names of an input and its target in published files, with known properties of these files.

    Attributes:
        time_last: if the target has one more axis than the input, its last axis is time.
    """

    input: str
    target: str
    grid: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    time_last: bool = False


XY = Pair("x", "y")

# Only names for which the direction input -> target is certain.
PAIRS = (
    Pair(
        "coeff",
        "sol",
        {"extent": 1.0, "boundary": "dirichlet", "placement": "endpoints"},
        "coeff and sol: read as FNO's Darcy files, the unit square with both ends stored, sol = 0 "
        "there",
    ),
    Pair(
        "a",
        "u",
        {"extent": 1.0, "boundary": "periodic"},
        "a and u: read as FNO's Burgers and Navier-Stokes files, periodic on the unit box",
        time_last=True,
    ),
    Pair(
        "nu",
        "tensor",
        {"extent": 1.0, "boundary": "dirichlet", "placement": "centers"},
        "nu and tensor: read as PDEBench's Darcy files, cell centres of the unit square",
    ),
    XY,
    Pair("input", "output"),
    Pair("inputs", "outputs"),
    Pair("inputs", "targets"),
)


def recognises(store: Store) -> bool:
    """True for any arrays."""
    return True


def open(store: Store, grid: GridLike | None, dtype: torch.dtype) -> FieldDataset:
    """The data set of a file that contains exactly one known pair of names.

    Raises:
        AmbiguousError: the file contains no known pair, or several; the message lists the arrays
            and the command that converts the file.
    """
    fields = {name for name, array in store.arrays.items() if len(array.shape) > 1}
    found = [p for p in PAIRS if {p.input, p.target} <= fields | set(store.refused)]
    if len(found) != 1:
        raise AmbiguousError(
            f"{store.title} holds {contents(store) or 'no arrays'}; which of them are input and "
            f"target is not clear. Name them: {command(store)}; a trajectory, whose frames are "
            f"both, is named with --state."
        )
    pair, given = found[0], grid
    if given is None:
        grid = pair.grid
    elif isinstance(given, Mapping):
        kept = {k: v for k, v in pair.grid.items() if k != "placement" or "boundary" not in given}
        grid = {**kept, **given}
    try:
        return open_named(
            store,
            inputs=[pair.input],
            targets=[pair.target],
            axes=_with_time(store, pair),
            grid=grid,
            dtype=dtype,
            notes=(pair.note,) if pair.note and given is None else (),
        )
    except AmbiguousError as error:
        raise AmbiguousError(
            f"{store.title}: {error} For example: {command(store, pair)}"
        ) from None


def open_named(
    store: Store,
    *,
    inputs: Sequence[str] = (),
    targets: Sequence[str] = (),
    states: Sequence[str] = (),
    axes: Axes | None = None,
    grid: GridLike | None = None,
    dtype: torch.dtype = torch.float32,
    notes: tuple[str, ...] = (),
) -> FieldDataset:
    """The data set of the named arrays, on the grid from `grid_of`.

    Raises:
        ValueError: an error of `select` or `grid_of`.
    """
    selection = select(store, inputs=inputs, targets=targets, states=states, axes=axes)
    nodes, concluded = grid_of(store, selection, grid)
    return FieldDataset(
        ArraySource(store, selection),
        nodes,
        path=store.path,
        dtype=dtype,
        notes=(*notes, *selection.notes, *concluded),
    )


def _with_time(store: Store, pair: Pair) -> Axes | None:
    """The axes of FNO's Navier-Stokes files, (sample, x, y) and (sample, x, y, time); None for
    other shapes."""
    if not pair.time_last or not {pair.input, pair.target} <= set(store.arrays):
        return None
    shape, longer = (store.arrays[name].shape for name in (pair.input, pair.target))
    if len(shape) not in (3, 4) or longer[:-1] != shape:
        return None
    start = ",".join(("sample", "x", "y", "z")[: len(shape)])
    return {pair.input: start, pair.target: f"{start},time"}


def command(store: Store, pair: Pair | None = None, *axes: str) -> str:
    """The command that converts this file to the project's format."""
    names = (pair.input, pair.target) if pair else ("NAME", "NAME")
    options = " ".join(f"--axes {a}" for a in axes or ("sample,x,y",))
    return (
        f"pdeops data convert {store.title} own.h5 --input {names[0]} --target {names[1]} {options}"
    )
