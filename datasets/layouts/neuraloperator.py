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

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...domain import Grid
from ..containers.stores import MemoryStore, Store
from ..dataset import FieldDataset
from . import foreign
from .coordinates import GridLike
from .selection import SPACE, AmbiguousError, select
from .sources import ArraySource

DESCRIPTION = "neuraloperator's .pt files (dict of tensors x and y)"

# Mean |y| on an edge, in units of the next line of nodes: below this the edge lies on the boundary.
# A node half a cell inside gives 1/3 or more, one on the boundary of the published files 0.02.
_ON_THE_BOUNDARY = 0.1


def recognises(path: Path, head: bytes) -> bool:
    """A zip file with a pickle in it (torch since 1.6), or a bare pickle (torch before)."""
    if head.startswith(b"PK\x03\x04"):
        try:
            with zipfile.ZipFile(path) as archive:
                return any(name.endswith("data.pkl") for name in archive.namelist())
        except zipfile.BadZipFile:
            return True  # truncated; `open` says so
    return head.startswith(b"\x80\x02")


def open(path: Path, grid: GridLike | None, dtype: torch.dtype) -> FieldDataset:
    """The pairs x -> y; bool, float64 and strided tensors are cast as they are read.

    Without `grid`, a file with a two-valued x in 2D is taken for Darcy flow on the unit square, see
    above; for any other the grid must be given. Without x and y, other pairs of known names are
    looked for.

    Raises:
        ValueError: damaged, no dict of tensors, shapes that do not fit, or the grid is unknown.
    """
    content = _content(path)
    if isinstance(grid, Mapping) or not {"x", "y"} <= set(content):
        return foreign.open_pair(TorchStore(path), grid, dtype)
    x, y = content["x"], content["y"]
    shapes = f"x {tuple(x.shape)} and y {tuple(y.shape)}"
    ndim = grid.ndim if grid else 2
    if x.ndim not in (ndim + 1, ndim + 2) or x.ndim != y.ndim or len(x) != len(y) or len(x) == 0:
        raise AmbiguousError(
            f"{path} holds {shapes}. pdeops reads pairs of fields in {ndim}D, both (samples, "
            f"*space) or both (samples, channels, *space); for other dimensions give the grid, or "
            f"say what the axes are (time steps can be channels): "
            f"{foreign.command(TorchStore(path), foreign.XY, 'x=sample,x', 'y=sample,channel,x')}"
        )
    half_open = False
    notes: tuple[str, ...] = ("the file says nothing of its grid; the caller gave it",)
    if grid is None:
        if x.shape[-2:] != y.shape[-2:] or not _two_valued(x):
            raise AmbiguousError(
                f"{path} holds {shapes} and does not say where its nodes lie. Give the grid, for "
                f"example open_dataset(path, grid=Grid({tuple(x.shape[-2:])}, "
                f"boundary='periodic')), or convert it: "
                f"{foreign.command(TorchStore(path), foreign.XY)} --boundary periodic"
            )
        grid, half_open, note = _darcy_grid(y)
        notes = (note,)
    grid.check(x, f"input of {path}")
    grid.check(y, f"target of {path}")
    channel = ("channel",) * (x.ndim - ndim - 1)
    store = TorchStore(path)
    selection = select(store, ["x"], ["y"], ("sample", *channel, *SPACE[:ndim]))
    return FieldDataset(
        ArraySource(store, selection),
        grid,
        path=path,
        dtype=dtype,
        half_open=half_open,
        notes=(*notes, *selection.notes),
    )


class TorchStore(Store):
    """The tensors of a torch file, memory-mapped where its format allows."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.arrays, self.refused = self.handle.arrays, self.handle.refused

    def _open(self) -> MemoryStore:
        assert self.path is not None
        content = _content(self.path)
        dense = {k: u.detach() for k, u in content.items() if u.layout is torch.strided}
        # NumPy has no bfloat16; float32 holds every value of it.
        as_numpy = {k: u.float() if u.dtype is torch.bfloat16 else u for k, u in dense.items()}
        store = MemoryStore({k: u.resolve_conj().numpy() for k, u in as_numpy.items()})
        store.refused |= dict.fromkeys(set(content) - set(dense), "a sparse tensor; make it dense")
        return store

    def read(self, name: str, key: tuple[slice | np.ndarray, ...]) -> np.ndarray:
        """A view of the block."""
        return self.handle.read(name, key)

    def take(self, name: str, axis: int, indices: np.ndarray) -> np.ndarray:
        """The given entries along one axis, copied."""
        return self.handle.take(name, axis, indices)


def store(path: Path) -> TorchStore:
    """The tensors by name.

    Raises:
        ValueError: damaged, or not a dict with tensors.
    """
    return TorchStore(path)


def _content(path: Path) -> dict[str, Tensor]:
    """The tensors of the dict that the file holds."""
    content = _load(path)
    tensors = content if isinstance(content, dict) else {}
    tensors = {str(k): u for k, u in tensors.items() if isinstance(u, Tensor)}
    if not tensors:
        keys = sorted(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise ValueError(
            f"{path} is a torch file of another kind: it holds {keys}, expected a dict with "
            f"tensors x and y."
        )
    return tensors


def _load(path: Path) -> Any:
    """The file's content, memory-mapped where its format allows; never runs code from the file."""
    try:
        try:
            return torch.load(
                path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
            )
        except pickle.UnpicklingError:
            raise ValueError(
                f"{path} holds Python objects besides tensors, which could run code when loaded. "
                f"Save it again as a dict of tensors x and y."
            ) from None
    except (RuntimeError, EOFError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"{path} is a damaged torch file ({reason}). Download or copy it again."
        ) from None


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
