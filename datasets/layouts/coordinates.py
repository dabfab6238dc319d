"""Grid of a foreign file: from the caller, else from coordinates in the file, else from the
defaults of `Grid`. Notes list the inferred properties."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...domain import Boundary, Domain, Grid, Placement, Sphere
from ...nearest import did_you_mean
from ..containers.store import Array, Store
from .chosen import LEADING, SPACE, Chosen, Selection
from .coordinate_arrays import COORDINATES, candidates, is_vector, varying_axis, whole

# A domain, or the arguments of a Grid without its shape: {"boundary": "periodic"}.
GridLike = Domain | Mapping[str, Any]

_ARGUMENTS = ("extent", "boundary", "placement")
# Deviation of nodes from a uniform grid, in units of its spacing: noted above the first, refused
# above the second.
_NOTED, _REFUSED = 2e-3, 1e-2

Nodes = tuple[str, np.ndarray]  # the name of the coordinates, and their values


def located(
    store: Store, selection: Selection, given: GridLike | None
) -> tuple[Selection, Domain, list[str]]:
    """The selection with the direction of its axes, its domain, and notes on inferred properties.

    An axis whose coordinates descend in the file is flipped, values and coordinates together, since
    the nodes of a grid ascend. (Latitudes on a `Sphere` descend, from north to south.)

    Raises:
        ValueError: the grid does not fit the fields, the coordinates are not uniform, or the fields
            have different coordinates.
    """
    shape = selection.space
    notes: list[str] = []
    complete = given is not None and (
        not isinstance(given, Mapping) or {"extent", "placement"} <= set(given)
    )
    found = [[_coordinates(store, selection, c, i, complete) for i in range(len(shape))]
             for c in selection.chosen]  # fmt: skip
    downwards = {0} if isinstance(given, Sphere) else set()
    selection = _upright(selection, found, downwards, notes)
    axes = [_shared(selection, [of_field[i] for of_field in found]) for i in range(len(shape))]
    if given is not None and not isinstance(given, Mapping):
        if given.shape != shape:
            raise ValueError(
                f"The fields of {store.title} must have shape "
                f"(..., {', '.join(map(str, given.shape))}) on this grid; got {shape}. Give a grid "
                f"of that shape, or the axes in another order."
            )
        return selection, given, notes
    grid, more = _grid(store, shape, axes, dict(given or {}), complete)
    return selection, grid, [*notes, *more]


def _grid(
    store: Store,
    shape: tuple[int, ...],
    axes: Sequence[Nodes | None],
    arguments: dict[str, Any],
    complete: bool,
) -> tuple[Domain, list[str]]:
    """The grid, from its given arguments and the coordinates of each axis, and notes."""
    for name in arguments:
        if name not in _ARGUMENTS:
            raise ValueError(
                f"A grid has no {name!r}.{did_you_mean(name, _ARGUMENTS)} Give a Grid, or "
                f"{', '.join(_ARGUMENTS)}."
            )
    notes = []
    if "boundary" not in arguments:
        notes.append(
            "the boundary condition is not in the file: taken as dirichlet; say otherwise with "
            "--boundary, or grid={'boundary': ...} in Python"
        )
    default = Grid(
        shape,
        boundary=arguments.get("boundary", Boundary.DIRICHLET),
        placement=arguments.get("placement"),
    )
    placed = "placement" in arguments
    measured = [
        _measured(store, nodes, side, place if placed else None, notes)
        if nodes and not complete
        else None
        for nodes, side, place in zip(axes, default.boundary, default.placement, strict=True)
    ]
    notes += [
        f"{name} is not uniform in the file; the fields are read on the given grid"
        for name, x in filter(None, axes)
        if complete and not _deviation(x) < _REFUSED
    ]
    if not placed and any(measured):
        arguments["placement"] = [
            m[0] if m else p for m, p in zip(measured, default.placement, strict=True)
        ]
    if "extent" not in arguments:
        if not all(measured):
            notes.append(
                "the file does not say how long the box is: taken as 1; say otherwise with "
                "--extent, or grid={'extent': ...}"
            )
        arguments["extent"] = [m[1] if m else 1.0 for m in measured]
    grid = Grid(shape, **arguments)
    if not placed and not all(measured):
        notes.append(
            f"the file does not say where its nodes lie: taken as "
            f"{', '.join(dict.fromkeys(p.value for p in grid.placement))} of the box; say "
            f"otherwise with --placement, or grid={{'placement': ...}}"
        )
    return grid, notes


def _measured(
    store: Store, nodes: Nodes, boundary: Boundary, given: Placement | None, notes: list[str]
) -> tuple[Placement, float] | None:
    """Placement and length of one axis from its coordinates; the placement is `given`, if any.

    Raises:
        ValueError: the coordinates are not uniform.
    """
    name, x = nodes
    n = len(x)
    h = (x[-1] - x[0]) / (n - 1)
    away = _deviation(x)
    if not away < _REFUSED:
        steps = np.diff(x)
        raise ValueError(
            f"The nodes {name!r} of {store.title} are not uniform: their distances are "
            f"{steps.min():.4g} to {steps.max():.4g}. Interpolate the fields to a uniform grid. Or "
            f"give the grid that they are to be read on, as if they were uniform: --extent and "
            f"--placement, or a Grid in Python."
        )
    if away > _NOTED:
        notes.append(f"{name} is uniform up to {100 * away:.2g} % of its spacing; read as uniform")

    def length(cells: int) -> float:
        return float(f"{cells * h:.6g}")  # without the round-off of coordinates in float32

    first = x[0] / h
    if given is not None:
        side = Grid((n,), 1.0, boundary, given)
        if abs(first - side.offset[0]) >= 0.01:
            notes.append(f"{name} begins at {x[0]:.6g}; the box is shifted to begin at 0")
        return given, length(side.cells[0])
    if abs(first - 0.5) < 0.01:
        return Placement.CENTERS, length(n)
    if abs(first - 1) < 0.01 and boundary is Boundary.DIRICHLET:
        return Placement.INTERIOR, length(n + 1)
    if abs(first) >= 0.01:
        notes.append(f"{name} begins at {x[0]:.6g}; a grid begins at 0, so it is shifted")
    if boundary is Boundary.PERIODIC:
        return Placement.LEFT, length(n)
    return Placement.ENDPOINTS, length(n - 1)


def _deviation(x: np.ndarray) -> float:
    """Largest distance of a node from a uniform grid between the first and the last, in units of
    its spacing; infinite if they do not ascend, or are no numbers."""
    h = (x[-1] - x[0]) / (len(x) - 1)
    if not h > 0:
        return math.inf
    return float(abs(x - (x[0] + h * np.arange(len(x)))).max() / h)


def _upright(
    selection: Selection,
    found: list[list[Nodes | None]],
    downwards: set[int],
    notes: list[str],
) -> Selection:
    """The selection whose axes are flipped where their coordinates run against the grid's; `found`
    is changed with it. Notes name them."""
    chosen = []
    for c, axes in zip(selection.chosen, found, strict=True):
        flipped = []
        for i, nodes in enumerate(axes):
            if nodes is None or len(nodes[1]) < 2:
                continue
            name, x = nodes
            descends = bool(x[-1] < x[0])
            if descends != (i in downwards):
                flipped.append(c.space_axes[i])
                axes[i] = name, x[::-1]
                way = "descends" if descends else "ascends"
                note = (
                    f"{name} {way} in the file, from {x[0]:.6g} to {x[-1]:.6g}: the axis is "
                    f"reversed, and the values of the fields with it"
                )
                notes += [] if note in notes else [note]
        chosen.append(replace(c, flipped=tuple(flipped)))
    return replace(selection, chosen=tuple(chosen))


def _shared(selection: Selection, found: Sequence[Nodes | None]) -> Nodes | None:
    """The coordinates of an axis that all fields have in common; None if no field has any.

    Raises:
        ValueError: they differ between fields.
    """
    known = [(c, nodes) for c, nodes in zip(selection.chosen, found, strict=True) if nodes]
    if not known:
        return None
    (a, (name, x)), *others = known
    for b, (other, y) in others:
        scale = abs(x[-1] - x[0]) / max(len(x) - 1, 1)
        if not np.allclose(x, y, rtol=0, atol=_REFUSED * scale, equal_nan=True):
            raise ValueError(
                f"{a.name} and {b.name} lie on different nodes: {name} from {x[0]:.6g} to "
                f"{x[-1]:.6g}, {other} from {y[0]:.6g} to {y[-1]:.6g}. Interpolate them to the "
                f"same nodes."
            )
    return (name, x) if len(x) > 1 else None


def _coordinates(
    store: Store, selection: Selection, c: Chosen, axis: int, complete: bool
) -> Nodes | None:
    """Name and values (n,) of the coordinates of a field along an axis; None if there are none.

    Raises:
        ValueError: a meshgrid is curvilinear, or changes along an axis of another name.
    """
    order = [a for a in c.axes if a not in LEADING]
    for array in coordinates_along(store, selection, c, axis):
        if is_vector(array.shape):
            return array.name, whole(store, array).ravel()
        if not complete:
            varying = varying_axis(store, array)
            if varying is None or order[varying] != c.space_axes[axis]:
                raise ValueError(
                    f"The coordinates {array.name} of {store.title} change along "
                    f"{_text(order, varying)}, and the axis {c.space_axes[axis]} of {c.name} needs "
                    f"coordinates that change along it only. Name the axes in their order by "
                    f"--axes; or interpolate the fields to a uniform grid; or give the grid that "
                    f"they are to be read on: --extent and --placement, or a Grid in Python."
                )
            u = whole(store, array)
            return array.name, u[tuple(slice(None) if i == varying else 0 for i in range(u.ndim))]
    return None


def coordinates_along(store: Store, selection: Selection, c: Chosen, axis: int) -> Iterator[Array]:
    """The arrays whose name and shape are those of coordinates of a field along an axis: vectors
    and meshgrids."""
    dims = store.arrays[c.name].dims
    dim = c.dim(dims, c.space_axes[axis])
    names = (*((dim,) if dim else ()), *COORDINATES[SPACE[axis]])
    n = selection.space[axis]
    for array in candidates(store, names, {other.name for other in selection.chosen}):
        if is_vector(array.shape):
            if np.prod(array.shape) == n and (array.dims is None or _along(array.dims, dim)):
                yield array
        elif array.shape == c.space_in_file:
            yield array


def _along(dims: tuple[str, ...], dim: str | None) -> bool:
    """Whether coordinates with these names of axes belong to the axis called `dim`."""
    return dim is None or dim in dims


def _text(order: Sequence[str], varying: int | None) -> str:
    return "several axes or none" if varying is None else f"the axis {order[varying]}"


def order_of_space(
    store: Store, name: str, shape: Sequence[int], notes: list[str]
) -> tuple[str, ...]:
    """The axes of space (x, y) or (y, x) of an array without names of axes, from the coordinates in
    the file: meshgrids of MATLAB and NumPy have x along the last axis. Without such coordinates
    (x, y), or (x,)."""
    shape = tuple(shape)
    if len(shape) != 2:
        return SPACE[: len(shape)]
    swapped = []
    for axis, letter in enumerate("xy"):
        for array in candidates(store, COORDINATES[letter], {name}):
            size = int(np.prod(array.shape))
            if is_vector(array.shape):
                if size in shape and shape[0] != shape[1]:
                    swapped.append(size != shape[axis])
            elif array.shape == shape:
                varying = varying_axis(store, array)
                swapped += [] if varying is None else [varying != axis]
    if not swapped or not all(swapped):
        return SPACE[:2]
    notes.append(f"axes of {name}: sample, y, x, as the coordinates in the file tell")
    return ("y", "x")
