"""A data file as a collection of named arrays, of which any part can be read alone."""

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from .buffers import Buffers

# Streaming reads take blocks of about this size.
BLOCK_BYTES = 2**25

_COMPLEX = "complex numbers; store real and imaginary part as two variables"


@dataclass(frozen=True)
class Array:
    """One named array, as far as that is known without reading its values.

    Attributes:
        shape: in the order its writer meant; a MATLAB 7.3 file has it reversed on the disk.
        dtype: as stored.
        layout: how it is stored, in words.
        dims: the names of its axes, where the file has names.
        chunk: the block, in the order of `shape`, that is decompressed as a whole; None: no blocks.
        first_axis_fastest: neighbours along the first axis lie side by side (Fortran's order), not
            those along the last.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    layout: str
    dims: tuple[str, ...] | None = None
    chunk: tuple[int, ...] | None = None
    first_axis_fastest: bool = False

    def __str__(self) -> str:
        return f"{self.name} {self.shape} {self.dtype}"

    def blocks(self, num_bytes: int = BLOCK_BYTES) -> Iterator[tuple[slice, ...]]:
        """Blocks that cover the array once: whole chunks, neighbours on the disk, of about
        num_bytes."""
        size = list(self.chunk or (1,) * len(self.shape))
        axes = range(len(self.shape))
        for axis in axes if self.first_axis_fastest else reversed(axes):
            block = math.prod(size) * self.dtype.itemsize
            size[axis] = min(self.shape[axis], size[axis] * max(num_bytes // max(block, 1), 1))
            if size[axis] < self.shape[axis]:
                break
        starts = [range(0, n, max(m, 1)) for n, m in zip(self.shape, size, strict=True)]
        for start in product(*starts):
            yield tuple(slice(i, i + m) for i, m in zip(start, size, strict=True))


def why_not(dtype: np.dtype) -> str | None:
    """Why values of this type are no field: 'complex numbers; ...', 'text', ...; None if they may
    be one."""
    if dtype.kind in "biuf":
        return None
    if dtype.kind == "c" or dtype.names in (("real", "imag"), ("r", "i")):
        return _COMPLEX
    if dtype.kind == "O":
        return "Python objects, a pickle that could run code when loaded; it is not read"
    return "text" if dtype.kind in "SU" else f"values of type {dtype}, which are no numbers"


class Store(ABC):
    """The named arrays of a file.

    It is opened in each process that reads, on first use: no handle is pickled, or forked into use.

    Attributes:
        path: the file; None for arrays in memory.
        title: what to call it in messages.
        arrays: what can be read, by name.
        refused: name -> why it cannot.
    """

    path: Path | None
    arrays: dict[str, Array]
    refused: dict[str, str]

    def __init__(self, path: Path | None) -> None:
        self.path, self.arrays, self.refused = path, {}, {}
        self.title = str(path) if path else "these arrays"
        self._handle: Any = None
        self._owner = 0

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_handle": None, "_owner": 0}

    @property
    def handle(self) -> Any:
        """What this process has open."""
        if self._owner != os.getpid():
            self._handle, self._owner = self._open(), os.getpid()
        return self._handle

    @abstractmethod
    def _open(self) -> Any:
        """Open the file in this process."""

    @abstractmethod
    def read(self, name: str, key: tuple[slice | np.ndarray, ...]) -> np.ndarray:
        """The block of an array that slices, and at most one increasing list of numbers, select."""

    def check(self, name: str) -> None:
        """Raise a ValueError if this array turns out unreadable although its header looked fine."""
        return  # most formats say in the header all that can go wrong

    def take(self, name: str, axis: int, indices: np.ndarray) -> np.ndarray:
        """The given entries along one axis, in any order and with repetitions, free to change.

        One read of increasing numbers, in which each chunk of the file is decompressed once; each
        entry is put in its places afterwards.
        """
        unique, inverse = np.unique(indices, return_inverse=True)
        neighbours = len(unique) and unique[-1] - unique[0] == len(unique) - 1
        rows = slice(int(unique[0]), int(unique[-1]) + 1) if neighbours else unique
        before = (slice(None),) * axis
        after = (slice(None),) * (len(self.arrays[name].shape) - axis - 1)
        values = self.read(name, (*before, rows, *after))
        return values if np.array_equal(unique, indices) else values.take(inverse, axis)

    def add(self, array: Array) -> None:
        """Enter an array among those to read, or with the reason among the refused."""
        reason = why_not(array.dtype)
        if reason:
            self.refused[array.name] = reason
        else:
            self.arrays[array.name] = array


class MemoryStore(Store):
    """Arrays in memory or mapped into it: NumPy's, torch's or whatever NumPy can take."""

    def __init__(self, arrays: Mapping[str, Any], path: Path | None = None) -> None:
        super().__init__(path)
        self._arrays = {name: np.asarray(values) for name, values in arrays.items()}
        for name, values in self._arrays.items():
            self.add(described(name, values))

    def _open(self) -> Any:
        return self._arrays

    def read(self, name: str, key: tuple[slice | np.ndarray, ...]) -> np.ndarray:
        """The block; a view where it can be."""
        return np.asarray(self.handle[name][key])

    def take(self, name: str, axis: int, indices: np.ndarray) -> np.ndarray:
        """The given entries along one axis, copied."""
        return entries(self.handle[name], axis, indices)


def entries(values: Any, axis: int, indices: np.ndarray) -> np.ndarray:
    """The given entries of an array along one axis, copied."""
    return np.asarray(values[(*(slice(None),) * axis, indices)])


def described(name: str, values: np.ndarray, layout: str | None = None) -> Array:
    """The description of an array in memory."""
    layout = layout or ("contiguous" if values.flags.c_contiguous else "strided")
    fortran = values.flags.f_contiguous and not values.flags.c_contiguous
    return Array(name, values.shape, values.dtype, layout, first_axis_fastest=fortran)


class HDF5Store(Store):
    """The datasets of an HDF5 file, those in groups as 'group/name'.

    Contiguous ones are mapped into memory, since h5py's selections cost four times as much as the
    copy itself; chunked ones are read by h5py. The file is opened with HDF5's default locking, as
    h5py and xarray open it: HDF5 refuses to open a file twice in one process with different
    locking. Where the file system has no locks, set HDF5_USE_FILE_LOCKING=FALSE.

    Attributes:
        reverse: axes are stored in reverse, as MATLAB does.
    """

    # Of a file with a group per sample (there are such, with 20,000) the first so many objects.
    MAX_OBJECTS = 1000

    def __init__(self, path: Path, *, reverse: bool = False) -> None:
        super().__init__(path)
        self.reverse = reverse
        with self._open() as file:
            seen = 0

            def enter(name: str, item: Any) -> bool | None:
                nonlocal seen
                seen += 1
                if hasattr(item, "shape") and item.shape is not None:
                    self._enter(name, item)
                return True if seen >= self.MAX_OBJECTS else None

            file.visititems(enter)
        self._mapped: dict[str, np.ndarray | None] = {}
        self._buffers = Buffers()

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_mapped": {}}

    def _enter(self, name: str, item: Any) -> None:
        order = slice(None, None, -1 if self.reverse else 1)
        layout = f"chunks {item.chunks[order]}" if item.chunks else "contiguous"
        layout += f", {item.compression}" if item.compression else ""
        layout += ", axes reversed on the disk" if self.reverse and item.ndim > 1 else ""
        self.add(
            Array(
                name,
                tuple(item.shape[order]),
                item.dtype,
                layout,
                chunk=tuple(item.chunks[order]) if item.chunks else None,
                first_axis_fastest=self.reverse,
            )
        )

    def _open(self) -> Any:
        import h5py

        return h5py.File(self.path, "r")

    def read(self, name: str, key: tuple[slice | np.ndarray, ...]) -> np.ndarray:
        """The block."""
        mapped = self._map(name)
        if mapped is not None:
            return mapped[key]
        try:
            if self.reverse:
                return self.handle[name][key[::-1]].T
            return np.asarray(self.handle[name][key])
        except OSError as error:
            raise ValueError(
                f"{name!r} in {self.path} is damaged ({error}). Copy or download the file again."
            ) from None

    def take(self, name: str, axis: int, indices: np.ndarray) -> np.ndarray:
        """The given entries along one axis: copied from the mapped file, or as h5py reads them."""
        mapped = self._map(name)
        if mapped is None:
            return super().take(name, axis, indices)
        if axis > 0 or not (mapped.flags.aligned and mapped.flags.c_contiguous):
            return entries(mapped, axis, indices)
        out = self._buffers.empty((len(indices), *mapped.shape[1:]), mapped.dtype)
        return np.take(mapped, indices, 0, out=out, mode="clip")  # other modes copy twice

    def _map(self, name: str) -> np.ndarray | None:
        """The array mapped into memory; None where HDF5 has to take part in reading it."""
        if name not in self._mapped:
            assert self.path is not None
            self._mapped[name] = _mapped(self.path, self.handle[name])
        mapped = self._mapped[name]
        return mapped.T if mapped is not None and self.reverse else mapped


def _mapped(path: Path, dataset: Any) -> np.ndarray | None:
    """A contiguous dataset as the part of the file that it is, if it is stored as NumPy would."""
    import h5py

    offset = dataset.id.get_offset()
    stored_alike = dataset.id.get_type() == h5py.h5t.py_create(dataset.dtype)
    elsewhere = dataset.external or dataset.is_virtual
    if offset is None or elsewhere or not stored_alike or dataset.dtype.kind not in "iuf":
        return None
    if 0 in dataset.shape or dataset.ndim == 0:
        return None
    return np.asarray(np.memmap(path, dataset.dtype, "r", offset, dataset.shape))
