"""neuraloperator's `.pt` files: a dict with tensors x and y, no grid, no units.

The published Darcy files (Zenodo 12784353) were looked at closely, since they do not say where
their nodes lie. x is the permeability as a bool. The 421 x 421 originals hold the solution at the
centres of 421 cells (their generator moves it there by splines: y at the first node is 1.8 % of y
at the second, as half a cell of 421 gives, and single samples overshoot below zero at jumps). The
coarser files take every 421/n-th node of it, rounded down: x_i = (floor(421 i/n) + 1/2)/421, so on
16 nodes the first lies on the left end to 0.001 and the last one cell before the right end. No
placement of `Grid` says that. We give such files "centers", which has the right box, spacing and
number of cells, with nodes half a cell too far right, and set `half_open`, from which the
symmetries are taken exactly.
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
from .coordinates import GridLike
from .selection import select

# Mean |y| on an edge, in units of the next line of nodes: below this the edge lies on the boundary.
# A node half a cell inside gives 1/3 or more, one on the boundary of the published files 0.02.
_ON_THE_BOUNDARY = 0.1


def recognises(store: Store) -> bool:
    """A torch file with x and y."""
    return isinstance(store, pt.TorchStore) and {"x", "y"} <= set(store.arrays)


def open(store: Store, grid: GridLike | None, dtype: torch.dtype) -> FieldDataset:
    """The pairs x -> y; bool, float64 and strided tensors are cast as they are read.

    Without `grid`, a file with a two-valued x in 2D is taken for Darcy flow on the unit square, see
    above; for any other the grid must be given.

    Raises:
        ValueError: damaged, no dict of tensors, shapes that do not fit, or the grid is unknown.
    """
    if isinstance(grid, Mapping):
        return named_arrays.open(store, grid, dtype)
    assert store.path is not None
    path, content = store.path, pt.tensors(store.path)
    x, y = content["x"], content["y"]
    shapes = f"x {tuple(x.shape)} and y {tuple(y.shape)}"
    ndim = grid.ndim if grid else 2
    if x.ndim not in (ndim + 1, ndim + 2) or x.ndim != y.ndim or len(x) != len(y) or len(x) == 0:
        raise AmbiguousError(
            f"{path} holds {shapes}. pdeops reads pairs of fields in {ndim}D, both (samples, "
            f"*space) or both (samples, channels, *space); for other dimensions give the grid, or "
            f"say what the axes are (those of times and channels are called so): "
            f"{named_arrays.command(store, named_arrays.XY, 'x=sample,x', 'y=sample,time,x')}"
        )
    half_open = False
    notes: tuple[str, ...] = ("the file says nothing of its grid; the caller gave it",)
    if grid is None:
        if x.shape[-2:] != y.shape[-2:] or not _two_valued(x):
            raise AmbiguousError(
                f"{path} holds {shapes} and does not say where its nodes lie. Give the grid, for "
                f"example open_dataset(path, grid=Grid({tuple(x.shape[-2:])}, "
                f"boundary='periodic')), or convert it: "
                f"{named_arrays.command(store, named_arrays.XY)} --boundary periodic"
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
    """Whether x takes two values only, by its first samples."""
    return x.dtype == torch.bool or len(x[:16].unique()) == 2


def _darcy_grid(y: Tensor) -> tuple[Grid, bool, str]:
    """Where the nodes lie, from how small y is on the four edges: grid, half_open, and why."""
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
