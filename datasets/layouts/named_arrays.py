"""Layout of arrays with arbitrary names: the caller names the fields, or they have the names of
published files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from ...domain import Domain
from ..containers.store import AmbiguousError, Array, Store
from ..containers.virtual import Shaped, VirtualStore
from ..dataset import FieldDataset
from . import suggestion
from .array_source import ArraySource
from .chosen import Selection
from .coordinate_arrays import is_coordinate, is_vector
from .coordinates import GridLike
from .periods import located_in_period
from .selection import Axes, contents, select, selected
from .times import Times


@dataclass(frozen=True)
class Pair:
    """Names of an input and its target in published files, with known properties of these files."""

    input: str
    target: str
    grid: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""


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
        "a and u: read as FNO's Burgers files, periodic on the unit box",
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
    if len(found) != 1 or (found == [XY] and not _are_fields(store, XY)):
        raise AmbiguousError(_unclear(store))
    pair, given = found[0], grid
    if given is None:
        grid, note = _known_grid(store, pair)
    elif isinstance(given, Mapping):
        kept = {k: v for k, v in pair.grid.items() if k != "placement" or "boundary" not in given}
        grid = {**kept, **given}
    try:
        return open_named(
            store,
            inputs=[pair.input],
            targets=[pair.target],
            grid=grid,
            dtype=dtype,
            notes=(note,) if given is None and note else (),
        )
    except AmbiguousError as error:
        raise AmbiguousError(f"{store.title}: {error}") from None


def _known_grid(store: Store, pair: Pair) -> tuple[Mapping[str, Any], str]:
    """What is known of the grid of a pair, and its note. Coordinates in the file come first."""
    if not any(is_coordinate(store, array) for array in store.arrays.values()):
        return pair.grid, pair.note
    known = {k: v for k, v in pair.grid.items() if k == "boundary"}
    return known, f"{pair.note}; coordinates as in the file" if pair.note else ""


def open_named(
    store: Store,
    *,
    inputs: Sequence[str] = (),
    targets: Sequence[str] = (),
    states: Sequence[str] = (),
    axes: Axes | None = None,
    grid: GridLike | None = None,
    times: Times | None = None,
    dtype: torch.dtype = torch.float32,
    notes: tuple[str, ...] = (),
) -> FieldDataset:
    """The data set of the named arrays, on the grid from `located`.

    Raises:
        ValueError: an error of `select` or `located`.
    """
    selection = select(store, inputs=inputs, targets=targets, states=states, axes=axes, times=times)
    selection = replace(selection, notes=(*notes, *selection.notes))
    return dataset_of(store, selection, grid, dtype)


def dataset_of(
    store: Store, selection: Selection, grid: GridLike | None, dtype: torch.dtype
) -> FieldDataset:
    """The data set of the selected arrays, on the grid from `located`."""
    store, selection, nodes, notes = placed(store, selection, grid)
    source = ArraySource(store, selection)
    return FieldDataset(source, nodes, path=store.path, dtype=dtype, notes=tuple(notes))


def placed(
    store: Store, selection: Selection, grid: GridLike | None
) -> tuple[Store, Selection, Domain, list[str]]:
    """The store and the selection as `ArraySource` reads them, the domain, and all notes."""
    if selection.singles:
        store = VirtualStore(store, {n: _one_sample(store.arrays[n]) for n in selection.singles})
    store, selection, nodes, notes = located_in_period(store, selection, grid)
    return store, selection, nodes, [*selection.notes, *notes]


def _one_sample(array: Array) -> Shaped:
    """The array with an axis of samples, of length one, in front."""
    lengths = (1, *(None for _ in array.shape))
    return Shaped(array.name, lengths, dims=array.dims and ("sample", *array.dims))


def _unclear(store: Store) -> str:
    """The message for arrays of unknown roles: what the file holds, and a command to start from."""
    coordinates = [name for name, array in store.arrays.items() if is_coordinate(store, array)]
    fields = [
        name
        for name, array in store.arrays.items()
        if name not in coordinates and _has_nodes(array)
    ]
    message = (
        f"{store.title} holds {contents(store) or 'no arrays'}; which of them are input and target "
        f"is not clear."
    )
    if coordinates:
        message += f" Coordinates, which are no fields: {', '.join(coordinates)}."
    example = _example(store, fields)
    if example:
        return f"{message} Name them; for example: {example}"
    return (
        f"{message} A data set needs an input and a target on the same nodes, or a trajectory: "
        f"no two arrays here fit together. Put both into one file, and name them with --input and "
        f"--target; a trajectory, whose frames are both, is named with --state."
    )


def _are_fields(store: Store, pair: Pair) -> bool:
    """Whether arrays called x and y are the fields of a file: not coordinates, as their names may
    say, and without another field beside them."""
    names = {pair.input, pair.target}
    if any(is_coordinate(store, store.arrays[n]) for n in names & set(store.arrays)):
        return False
    others = [array for name, array in store.arrays.items() if name not in names]
    return not any(_has_nodes(array) and not is_coordinate(store, array) for array in others)


def _has_nodes(array: Array) -> bool:
    """Whether an array has more axes than a vector."""
    return not is_vector(array.shape)


def _example(store: Store, fields: Sequence[str]) -> str | None:
    """A command that converts the first two arrays that fit, else the first trajectory."""
    for i, name in enumerate(fields[:8]):
        for other in fields[i + 1 : 8]:
            found = _tried(store, {"input": [name], "target": [other]})
            if found:
                return found
    trajectories = (n for n in fields[:8] if _may_be_trajectory(store, n))
    return next(filter(None, (_tried(store, {"state": [n]}) for n in trajectories)), None)


def _tried(store: Store, roles: suggestion.Roles) -> str | None:
    """A command that converts the arrays in these roles; None if no plausible axes fit."""
    pairs = [(name, role) for role, names in roles.items() for name in names]

    def attempt(axes: suggestion.Axes) -> Selection:
        return placed(store, selected(store, pairs, axes), None)[1]

    return suggestion.command(store, roles, attempt)


def hint(store: Store, roles: suggestion.Roles) -> str:
    """The end of a message: ': ' and a command that converts the arrays in these roles, or '.'."""
    example = _tried(store, roles)
    return f": {example}" if example else "."


def _may_be_trajectory(store: Store, name: str) -> bool:
    """Whether an array has three axes or more, or two of which one has as many entries as another
    vector of the file, which may be that of times."""
    shape = store.arrays[name].shape
    lengths = {max(a.shape, default=1) for a in store.arrays.values() if is_vector(a.shape)}
    return len(shape) > 2 or shape[1] in lengths or shape[0] in lengths
