"""neuraloperator's `.pt` files: a dict with tensors x and y, without grid or units.

The published Darcy files (Zenodo 12784353) do not state the positions of their nodes; we inferred
them from the data. x is the permeability as a bool. The 421 x 421 originals hold the solution at
the centres of 421 cells (their generator interpolates it there by splines: y at the first node is
1.8 % of y at the second, as half a cell of 421 gives, and single samples overshoot below zero at
jumps). The coarser files keep every 421/n-th node, rounded down: x_i = (floor(421 i/n) + 1/2)/421.
On 16 nodes the first node is 0.001 from the left end and the last is one cell before the right end.
No placement of `Grid` describes this. We use "centers", which has the correct box, spacing and
number of cells, but nodes half a cell too far right, and set `half_open`, from which the symmetries
are computed exactly.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from ...domain import Grid
from ..containers import pt
from ..containers.store import AmbiguousError, Store
from ..dataset import FieldDataset
from . import named_arrays
from .array_source import ArraySource
from .chosen import SPACE
from .coordinate_arrays import is_coordinate
from .coordinates import GridLike
from .selection import select

# An edge is on the boundary if mean |y| on it is below this fraction of that on the next line.
# Nodes half a cell inside give 1/3 or more; boundary nodes of the published files give 0.02.
_ON_THE_BOUNDARY = 0.1


def recognises(store: Store) -> bool:
    """Whether this is a torch file with fields x and y, and not with coordinates of these names."""
    if not isinstance(store, pt.TorchStore) or not {"x", "y"} <= set(store.arrays):
        return False
    return not any(is_coordinate(store, store.arrays[name]) for name in "xy")


def open(store: Store, grid: GridLike | None, dtype: torch.dtype) -> FieldDataset:
    """The pairs x -> y; bool, float64 and strided tensors are converted when read.

    Without `grid`, a file with a two-valued x in 2D is read as Darcy flow on the unit square, see
    above; for any other file the grid must be given.

    Raises:
        ValueError: the file is damaged or holds no dict of tensors, shapes are inconsistent, or the
            grid is unknown.
    """
    if isinstance(grid, Mapping):
        return named_arrays.open_named(store, inputs=["x"], targets=["y"], grid=grid, dtype=dtype)
    assert store.path is not None
    path, content = store.path, pt.tensors(store.path)
    x, y = content["x"], content["y"]
    shapes = f"x {tuple(x.shape)} and y {tuple(y.shape)}"
    ndim = grid.ndim if grid else 2
    if x.ndim not in (ndim + 1, ndim + 2) or x.ndim != y.ndim or len(x) != len(y) or len(x) == 0:
        raise AmbiguousError(
            f"{path} holds {shapes}. pdeops reads pairs of fields in {ndim}D, both (samples, "
            f"*space) or both (samples, channels, *space); for other dimensions give the grid, or "
            f"say what the axes are (those of times and channels are called so)"
            f"{named_arrays.hint(store, {'input': ['x'], 'target': ['y']})}"
        )
    half_open = False
    notes: tuple[str, ...] = ("the file says nothing of its grid; the caller gave it",)
    if grid is None:
        if x.shape[-2:] != y.shape[-2:] or not _two_valued(x):
            raise AmbiguousError(
                f"{path} holds {shapes} and does not say where its nodes lie. Give the grid, for "
                f"example open_dataset(path, grid=Grid({tuple(x.shape[-2:])}, "
                f"boundary='periodic')), or convert it"
                f"{named_arrays.hint(store, {'input': ['x'], 'target': ['y']})}"
            )
        grid, half_open, note = _darcy_grid(y)
        notes = (note,)
    grid.check(x, f"input of {path}")
    grid.check(y, f"target of {path}")
    channel = ("channel",) * (x.ndim - ndim - 1)
    axes = ("sample", *channel, *SPACE[:ndim])
    selection = select(store, inputs=["x"], targets=["y"], axes=axes)
    return FieldDataset(
        ArraySource(store, selection),
        grid,
        path=path,
        dtype=dtype,
        half_open=half_open,
        notes=(*notes, *selection.notes),
    )


def _two_valued(x: Tensor) -> bool:
    """Whether x has two values only, judged from its first samples."""
    return x.dtype == torch.bool or len(x[:16].unique()) == 2


def _darcy_grid(y: Tensor) -> tuple[Grid, bool, str]:
    """Grid, half_open and a note, inferred from the size of y on the four edges."""
    edges = [
        (y.select(axis, i).abs().mean() / y.select(axis, j).abs().mean()).item() < _ON_THE_BOUNDARY
        for axis in (-2, -1)
        for i, j in ((0, 1), (-1, -2))
    ]
    shape = tuple(y.shape[-2:])
    match edges:
        case [True, True, True, True]:
            return Grid(shape), False, "y vanishes on all edges: nodes with both ends stored"
        case [True, False, True, False]:
            note = (
                f"y vanishes on the left edges only: nodes i/n, the right end not stored; read as "
                f"{shape} cell centres, half a cell too far right (see the reader)"
            )
            return Grid(shape, placement="centers"), True, note
        case _:
            return Grid(shape, placement="centers"), False, "y vanishes on no edge: cell centres"
