"""Interface to a data file as a collection of named arrays with partial reads."""

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

# Streaming reads take blocks of about this size.
BLOCK_BYTES = 2**25

COMPLEX = "complex numbers; store real and imaginary part as two variables"

Key = tuple[slice | np.ndarray, ...]


class AmbiguousError(ValueError):
    """The file is intact, but does not define which arrays are the fields or what their axes are,
    or a requested array is not numeric."""


@dataclass(frozen=True)
class Array:
    """Metadata of one named array, obtained without reading its values.

    Attributes:
        shape: shape in the writer's order of axes; a MATLAB 7.3 file stores the reverse.
        dtype: stored type.
        layout: storage layout, as text.
        dims: names of the axes; None if the file has no names.
        chunk: shape of the chunks, in the order of `shape`; None if the array is not chunked.
        first_axis_fastest: whether the array is in Fortran order (the first axis is contiguous).
        units: units of the values; None if the file states none.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    layout: str
    dims: tuple[str, ...] | None = None
    chunk: tuple[int, ...] | None = None
    first_axis_fastest: bool = False
    units: str | None = None

    def __str__(self) -> str:
        return f"{self.name} {self.shape} {self.dtype}"

    def blocks(self, num_bytes: int = BLOCK_BYTES) -> Iterator[tuple[slice, ...]]:
        """Disjoint blocks that cover the array, of whole chunks contiguous on the disk and about
        num_bytes each."""
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
    """The reason why values of this type cannot be a field, such as 'text'; None if they can."""
    if dtype.kind in "biuf":
        return None
    if dtype.kind == "c" or dtype.names in (("real", "imag"), ("r", "i")):
        return COMPLEX
    if dtype.kind in "SU":
        return "text"
    if dtype.kind in "mM":
        return "dates or durations; store them as numbers, such as seconds"
    if dtype.names:
        return (
            f"records with the members {', '.join(dtype.names)}; store each member as an array of "
            f"its own"
        )
    if dtype.kind == "O":
        return _why_no_object(dtype.metadata or {})
    return f"values of type {dtype}, which are no numbers"


def _why_no_object(metadata: Mapping[str, Any]) -> str:
    """The reason why Python objects are not read; h5py keeps the type in the file in `metadata`."""
    if metadata.get("vlen") in (str, bytes):
        return "text"
    if "vlen" in metadata:
        return (
            "rows of different length; pad them to one length, or store each as an array of its own"
        )
    if "ref" in metadata:
        return (
            "references to other arrays of the file, as MATLAB's cells and struct arrays are "
            "stored; name the arrays that they point to, or store those as variables of their own"
        )
    return "Python objects, a pickle that could run code when loaded; it is not read"


class Store(ABC):
    """The named arrays of a file.

    Each process opens the file on first use, because handles are not pickled and not used after a
    fork.

    Attributes:
        path: the file; None for arrays in memory.
        title: name of the file in messages.
        arrays: the arrays that can be read, by name.
        refused: name of an array that cannot be read -> the reason.
        attributes: attributes of the file as a whole.
    """

    path: Path | None
    arrays: dict[str, Array]
    refused: dict[str, str]
    attributes: dict[str, Any]

    def __init__(self, path: Path | None) -> None:
        self.path, self.arrays, self.refused, self.attributes = path, {}, {}, {}
        self.title = str(path) if path else "these arrays"
        self._handle: Any = None
        self._owner = 0

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_handle": None, "_owner": 0}

    @property
    def handle(self) -> Any:
        """The file handle of this process."""
        if self._owner != os.getpid():
            self._handle, self._owner = self._open(), os.getpid()
        return self._handle

    @abstractmethod
    def _open(self) -> Any:
        """Open the file in this process."""

    @abstractmethod
    def read(self, name: str, key: Key) -> np.ndarray:
        """The block of an array selected by slices and at most one increasing list of indices."""

    def release(self) -> None:
        """Close the handle of this process; the next read opens the file again."""
        self._handle, self._owner = None, 0

    def check(self, name: str) -> None:
        """Raise a ValueError if this array is unreadable although its header is valid."""
        return  # for most formats the header is sufficient

    def attributes_of(self, path: str) -> dict[str, Any]:
        """The attributes of a group or an array of the file, "/" for the file as a whole; {} for
        most formats, which have none."""
        return {}

    def members(self, path: str = "/") -> list[str]:
        """Names of the objects in a group, in the order of the file; [] for formats without
        groups."""
        return []

    def sources(self, name: str) -> tuple[str, ...]:
        """Names in the file of the arrays from which this one is made: its own, unless it is
        virtual."""
        return (name,)

    def locate(self, name: str) -> None:
        """Add an array that the file has, but that was not listed when it was opened."""
        return  # most formats list all arrays

    def in_memory(self, name: str) -> np.ndarray | None:
        """The array if it is in memory or memory-mapped; else None."""
        return None

    def take(self, name: str, axis: int, indices: np.ndarray) -> np.ndarray:
        """A copy of the given entries along one axis, in any order and with repetitions.

        Each index is read once, in increasing order, so that each chunk of the file is decompressed
        once; the entries are then put into the requested order.
        """
        held = self.in_memory(name)
        if held is not None:
            return entries(held, axis, indices)
        unique, inverse = np.unique(indices, return_inverse=True)
        neighbours = len(unique) and unique[-1] - unique[0] == len(unique) - 1
        rows = slice(int(unique[0]), int(unique[-1]) + 1) if neighbours else unique
        before = (slice(None),) * axis
        after = (slice(None),) * (len(self.arrays[name].shape) - axis - 1)
        values = self.read(name, (*before, rows, *after))
        return values if np.array_equal(unique, indices) else values.take(inverse, axis)

    def take_frames(
        self, name: str, axes: tuple[int, int], indices: np.ndarray, frames: np.ndarray
    ) -> np.ndarray:
        """A copy of the frames `frames` (b, k) of the samples `indices` (b,).

        `axes` are the positions of sample and time; their lengths in the result are b and k. If the
        array is not in memory, each sample is read once, from its first to its last requested
        frame.
        """
        held = self.in_memory(name)
        if held is not None:
            return frames_of(held, axes, indices, frames)
        sample, time = axes
        parts = [
            self._frames_of_one(name, axes, int(i), rows) for i, rows in _by_sample(indices, frames)
        ]
        if not parts:
            shape = list(self.arrays[name].shape)
            shape[sample], shape[time] = 0, frames.shape[1]
            return np.empty(shape, self.arrays[name].dtype)
        order = np.argsort(np.argsort(indices, kind="stable"), kind="stable")
        values = np.concatenate(parts, sample)
        return values if (np.diff(order) == 1).all() else values.take(order, sample)

    def _frames_of_one(
        self, name: str, axes: tuple[int, int], index: int, frames: np.ndarray
    ) -> np.ndarray:
        """The frames (r, k) of one sample, stacked along the sample axis."""
        sample, time = axes
        first, last = int(frames.min()), int(frames.max())
        key: list[slice] = [slice(None)] * len(self.arrays[name].shape)
        key[sample], key[time] = slice(index, index + 1), slice(first, last + 1)
        block = self.read(name, tuple(key))
        return np.concatenate([block.take(row - first, time) for row in frames], sample)

    def add(self, array: Array) -> None:
        """Add an array to `arrays`, or with the reason to `refused`."""
        reason = why_not(array.dtype)
        if reason:
            self.refused[array.name] = reason
        else:
            self.arrays[array.name] = array


def entries(values: Any, axis: int, indices: np.ndarray) -> np.ndarray:
    """A copy of the given entries of an array along one axis."""
    return np.asarray(values[(*(slice(None),) * axis, indices)])


def frames_of(
    values: np.ndarray, axes: tuple[int, int], indices: np.ndarray, frames: np.ndarray
) -> np.ndarray:
    """A copy of frames (b, k) of samples (b,) of an array in memory; see `Store.take_frames`."""
    front = np.moveaxis(values, axes, (0, 1))
    return np.moveaxis(front[indices[:, None], frames], (0, 1), axes)


def _by_sample(indices: np.ndarray, frames: np.ndarray) -> Iterator[tuple[np.integer, np.ndarray]]:
    """Iterate over the distinct samples in increasing order, with the frame rows of each."""
    for index in np.unique(indices):
        yield index, frames[indices == index]


def described(name: str, values: np.ndarray, layout: str | None = None) -> Array:
    """The description of an array in memory."""
    layout = layout or ("contiguous" if values.flags.c_contiguous else "strided")
    fortran = values.flags.f_contiguous and not values.flags.c_contiguous
    return Array(name, values.shape, values.dtype, layout, first_axis_fastest=fortran)
