"""Grid of a foreign file: from the caller, else from coordinates in the file, else from the
defaults of `Grid`. Notes list the inferred properties."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...domain import Boundary, Domain, Grid, Placement
from ...nearest import did_you_mean
from ..containers.store import Store
from .chosen import SPACE, Selection

# A domain, or the arguments of a Grid without its shape: {"boundary": "periodic"}.
GridLike = Domain | Mapping[str, Any]

_ARGUMENTS = ("extent", "boundary", "placement")
_NAMES = ("{}", "{}-coordinate", "{}_coordinate", "{}coord")


def grid_of(store: Store, selection: Selection, given: GridLike | None) -> tuple[Domain, list[str]]:
    """The domain of the selected fields, and notes on the inferred properties.

    Raises:
        ValueError: the grid does not fit the fields, or the coordinates are not uniform.
    """
    shape = selection.space
    if given is not None and not isinstance(given, Mapping):
        if given.shape != shape:
            raise ValueError(
                f"The fields of {store.title} must have shape "
                f"(..., {', '.join(map(str, given.shape))}) on this grid; got {shape}. Give a grid "
                f"of that shape, or the axes in another order."
            )
        return given, []
    arguments = dict(given or {})
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
    boundary = Grid(shape, boundary=arguments.get("boundary", Boundary.DIRICHLET)).boundary
    measured = [
        _measured(store, selection, axis, boundary[axis], notes) for axis in range(len(shape))
    ]
    if "placement" not in arguments and any(measured):
        default = Grid(shape, boundary=boundary).placement
        arguments["placement"] = [m[0] if m else p for m, p in zip(measured, default, strict=True)]
    if "extent" not in arguments:
        if not all(measured):
            notes.append(
                "the file does not say how long the box is: taken as 1; say otherwise with "
                "--extent, or grid={'extent': ...}"
            )
        arguments["extent"] = [m[1] if m else 1.0 for m in measured]
    grid = Grid(shape, **arguments)
    if not (given and "placement" in given) and not all(measured):
        notes.append(
            f"the file does not say where its nodes lie: taken as "
            f"{', '.join(dict.fromkeys(p.value for p in grid.placement))} of the box; say "
            f"otherwise with --placement, or grid={{'placement': ...}}"
        )
    return grid, notes


def _measured(
    store: Store, selection: Selection, axis: int, boundary: Boundary, notes: list[str]
) -> tuple[Placement, float] | None:
    """Placement and length of one axis from its coordinates; None if the file has none.

    Raises:
        ValueError: the coordinates are not uniform.
    """
    n = selection.space[axis]
    found = _coordinates(store, selection, axis)
    if found is None or n < 2:
        return None
    name, x = found
    h = abs(x[-1] - x[0]) / (n - 1)
    steps = np.diff(x)
    if not (h > 0 and np.allclose(np.abs(steps), h, rtol=1e-2, atol=0)):
        raise ValueError(
            f"The nodes {name!r} of {store.title} are not uniform: their "
            f"distances are {np.abs(steps).min():.4g} to {np.abs(steps).max():.4g}. Interpolate "
            f"the fields to a uniform grid, or give the Grid they are to be read on."
        )

    def length(cells: int) -> float:
        return float(f"{cells * h:.6g}")  # without the round-off of coordinates in float32

    first = min(x[0], x[-1]) / h
    periodic = boundary is Boundary.PERIODIC
    if abs(first - 0.5) < 0.01:
        return Placement.CENTERS, length(n)
    if abs(first - 1) < 0.01 and boundary is Boundary.DIRICHLET:
        return Placement.INTERIOR, length(n + 1)
    if abs(first) >= 0.01:
        notes.append(f"{name} begins at {x.min():.6g}; a grid begins at 0, so it is shifted")
    if periodic:
        return Placement.LEFT, length(n)
    return Placement.ENDPOINTS, length(n - 1)


def _coordinates(store: Store, selection: Selection, axis: int) -> tuple[str, np.ndarray] | None:
    """Name and values (n,) of the coordinate array of an axis; None if there is none."""
    letter, n = SPACE[axis], selection.space[axis]
    candidates = [pattern.format(letter) for pattern in _NAMES]
    first = selection.chosen[0]
    dims = store.arrays[first.name].dims
    if dims:
        candidates.insert(0, dims[first.axes.index(letter)])
    fields = {c.name for c in selection.chosen}
    for name in candidates:
        array = store.arrays.get(name)
        if array and name not in fields and sorted(array.shape) in ([n], [1, n]):
            whole = (slice(None),) * len(array.shape)
            return name, np.asarray(store.read(name, whole), dtype=np.float64).ravel()
    return None
