"""HDF5 files with arrays of any names, as h5py writes them: no dimension names, no format said."""

from pathlib import Path

import torch

from ..containers.stores import HDF5Store
from ..dataset import FieldDataset
from . import foreign
from .coordinates import GridLike
from .native import kind_of

DESCRIPTION = "HDF5 files with arrays of any names"


def recognises(path: Path, head: bytes) -> bool:
    """An HDF5 file that is no other kind."""
    return kind_of(path, head) == "plain"


def store(path: Path) -> HDF5Store:
    """All datasets, those in groups as 'group/name'."""
    return HDF5Store(path)


def open(path: Path, grid: GridLike | None, dtype: torch.dtype) -> FieldDataset:
    """The pair of known names.

    Raises:
        ValueError: as `foreign.open_pair`.
    """
    return foreign.open_pair(store(path), grid, dtype)
