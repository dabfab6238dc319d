"""Arrays made of the arrays of a file without reading them: values repeated along an axis that the
file lacks, two axes merged, samples in groups of their own stacked, a first frame put in front, the
last node left out. Only the requested block is read.

A key has a slice for each axis, of which one at most may be an increasing array of indices.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .store import Array, Key, Store


class Virtual(ABC):
    """An array made of arrays of a store."""

    @property
    @abstractmethod
    def sources(self) -> tuple[str, ...]:
        """Names of the arrays of the store from which it is made."""

    @abstractmethod
    def described(self, store: Store, name: str) -> Array:
        """Its metadata, under a name."""

    @abstractmethod
    def read(self, store: Store, key: Key) -> np.ndarray:
        """A block."""

    def in_memory(self, store: Store) -> np.ndarray | None:
        """The array, if it is a view of one in memory or memory-mapped; else None."""
        return None


class VirtualStore(Store):
    """The arrays of another store, and virtual arrays by name; a virtual array hides a stored one
    of the same name."""

    def __init__(self, store: Store, virtual: Mapping[str, Virtual]) -> None:
        super().__init__(store.path)
        self.inner, self.virtual = store, dict(virtual)
        self.title, self.refused, self.attributes = store.title, store.refused, store.attributes
        made = {name: v.described(store, name) for name, v in self.virtual.items()}
        self.arrays = {**store.arrays, **made}

    def _open(self) -> Any:
        return self.inner

    def release(self) -> None:
        """Close the file."""
        self.inner.release()

    def attributes_of(self, path: str) -> dict[str, Any]:
        """The attributes in the file."""
        return self.inner.attributes_of(path)

    def sources(self, name: str) -> tuple[str, ...]:
        """Names in the file of the arrays from which this one is made."""
        names = self.virtual[name].sources if name in self.virtual else (name,)
        return tuple(n for inner in names for n in self.inner.sources(inner))

    def check(self, name: str) -> None:
        """The check of the other store, for its arrays."""
        if name not in self.virtual:
            self.inner.check(name)

    def in_memory(self, name: str) -> np.ndarray | None:
        """The array if it is in memory or memory-mapped; else None."""
        virtual = self.virtual.get(name)
        return virtual.in_memory(self.inner) if virtual else self.inner.in_memory(name)

    def read(self, name: str, key: Key) -> np.ndarray:
        """The block."""
        virtual = self.virtual.get(name)
        return virtual.read(self.inner, key) if virtual else self.inner.read(name, key)

    def take(self, name: str, axis: int, indices: np.ndarray) -> np.ndarray:
        """A copy of the given entries along one axis."""
        if name in self.virtual:
            return super().take(name, axis, indices)
        return self.inner.take(name, axis, indices)

    def take_frames(
        self, name: str, axes: tuple[int, int], indices: np.ndarray, frames: np.ndarray
    ) -> np.ndarray:
        """A copy of the given frames of the given samples."""
        if name in self.virtual:
            return super().take_frames(name, axes, indices, frames)
        return self.inner.take_frames(name, axes, indices, frames)


@dataclass(frozen=True)
class Shaped(Virtual):
    """A stored array with axes that it lacks, along which its values repeat, and with its last
    `merged` axes as one.

    Attributes:
        name: the stored array.
        lengths: for each axis before those merged, None if the array has it, else its length.
        merged: number of last axes that become one; 0 for none.
        dims: names of the axes; None if they have none.
        order: for each entry of the merged axis, its number in the file; None for the file's order.
    """

    name: str
    lengths: tuple[int | None, ...]
    merged: int = 0
    dims: tuple[str, ...] | None = None
    order: tuple[int, ...] | None = None

    @property
    def sources(self) -> tuple[str, ...]:
        """The stored array."""
        return (self.name,)

    def described(self, store: Store, name: str) -> Array:
        """The metadata, with the axes in their new number."""
        array = store.arrays[self.name]
        stored = iter(array.shape)
        shape = tuple(next(stored) if n is None else n for n in self.lengths)
        chunks = iter(array.chunk or ())
        chunk = array.chunk and tuple(next(chunks) if n is None else 1 for n in self.lengths)
        if self.merged:
            shape = (*shape, math.prod(stored))
            chunk = chunk and (*chunk, shape[-1])
        return replace(array, name=name, shape=shape, chunk=chunk, dims=self.dims)

    def in_memory(self, store: Store) -> np.ndarray | None:
        """The array, if it is in memory and no axes are merged."""
        held = store.in_memory(self.name)
        if held is None or self.merged:
            return None
        shape = self.described(store, self.name).shape
        return np.broadcast_to(held[self._inserted()], shape)

    def read(self, store: Store, key: Key) -> np.ndarray:
        """The block, with its values repeated along the axes that the file lacks."""
        stored = [k for k, n in zip(key, self.lengths, strict=False) if n is None]
        u = store.read(self.name, (*stored, *(slice(None),) * self.merged))[self._inserted()]
        sizes = [
            m if n is None else _count(k, n)
            for m, n, k in zip(u.shape, self.lengths, key, strict=False)
        ]
        components = u.shape[len(sizes) :]
        u = np.broadcast_to(u, (*sizes, *components))
        if not self.merged:
            return u
        u = u.reshape(*sizes, math.prod(components))
        return (u if self.order is None else u[..., list(self.order)])[..., key[-1]]

    def _inserted(self) -> tuple[Any, ...]:
        return tuple(slice(None) if n is None else None for n in self.lengths)


@dataclass(frozen=True)
class Stacked(Virtual):
    """Stored arrays of equal shape along a new first axis."""

    names: tuple[str, ...]

    @property
    def sources(self) -> tuple[str, ...]:
        """All of them."""
        return self.names

    def described(self, store: Store, name: str) -> Array:
        """The metadata of the first array, with the new axis."""
        array = store.arrays[self.names[0]]
        shape = (len(self.names), *array.shape)
        layout = f"{array.layout}, {len(self.names)} arrays {self.names[0]} to {self.names[-1]}"
        chunk = (1, *(array.chunk or (1,) * len(array.shape)))
        return replace(array, name=name, shape=shape, layout=layout, chunk=chunk, dims=None)

    def read(self, store: Store, key: Key) -> np.ndarray:
        """The block, from the arrays that it touches only."""
        first, *rest = key
        parts = [store.read(self.names[i], tuple(rest)) for i in _indices(first, len(self.names))]
        if parts:
            return np.stack(parts)
        return np.stack([store.read(self.names[0], tuple(rest))])[:0]


@dataclass(frozen=True)
class Joined(Virtual):
    """A stored array without an axis of times, and behind it the frames of another one."""

    first: str
    later: str
    axis: int

    @property
    def sources(self) -> tuple[str, ...]:
        """Both arrays."""
        return (self.first, self.later)

    def described(self, store: Store, name: str) -> Array:
        """The metadata of the frames, with one frame more."""
        array = store.arrays[self.later]
        shape = list(array.shape)
        shape[self.axis] += 1
        dtype = np.result_type(array.dtype, store.arrays[self.first].dtype)
        layout = f"{array.layout}; first frame in {self.first}"
        return replace(array, name=name, shape=tuple(shape), dtype=dtype, layout=layout, dims=None)

    def read(self, store: Store, key: Key) -> np.ndarray:
        """The block, from the arrays that it touches only."""
        num_frames = store.arrays[self.later].shape[self.axis] + 1
        frames = _indices(key[self.axis], num_frames)
        before, after = tuple(key[: self.axis]), tuple(key[self.axis + 1 :])
        parts = []
        if 0 in frames:
            parts.append(np.expand_dims(store.read(self.first, (*before, *after)), self.axis))
        later = [i - 1 for i in frames if i > 0]
        if later or not parts:
            inside = slice(later[0], later[-1] + 1) if later else slice(0, 0)
            u = store.read(self.later, (*before, inside, *after))
            parts.append(u.take(np.array(later, dtype=np.int64) - inside.start, self.axis))
        return np.concatenate(parts, self.axis) if len(parts) > 1 else parts[0]


@dataclass(frozen=True)
class Cut(Virtual):
    """The first entries of a stored array along each axis."""

    name: str
    shape: tuple[int, ...]

    @property
    def sources(self) -> tuple[str, ...]:
        """The stored array."""
        return (self.name,)

    def described(self, store: Store, name: str) -> Array:
        """The metadata, with the new shape."""
        return replace(store.arrays[self.name], name=name, shape=self.shape)

    def in_memory(self, store: Store) -> np.ndarray | None:
        """The array if it is in memory or memory-mapped; else None."""
        held = store.in_memory(self.name)
        return None if held is None else held[tuple(slice(n) for n in self.shape)]

    def read(self, store: Store, key: Key) -> np.ndarray:
        """The block."""
        bounded = (
            slice(*k.indices(n)) if isinstance(k, slice) else k
            for k, n in zip(key, self.shape, strict=True)
        )
        return store.read(self.name, tuple(bounded))


@dataclass(frozen=True)
class Entry(Virtual):
    """One entry of a stored array along an axis, or the whole array under another name.

    Attributes:
        axis, index: the axis and the entry; None for the whole array.
    """

    name: str
    axis: int | None = None
    index: int = 0

    @property
    def sources(self) -> tuple[str, ...]:
        """The stored array."""
        return (self.name,)

    def described(self, store: Store, name: str) -> Array:
        """The metadata, without the axis."""
        array = store.arrays[self.name]
        chunk = array.chunk and self._without(array.chunk)
        dims = array.dims and self._without(array.dims)
        return replace(array, name=name, shape=self._without(array.shape), chunk=chunk, dims=dims)

    def _without(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(v for i, v in enumerate(values) if i != self.axis)

    def in_memory(self, store: Store) -> np.ndarray | None:
        """The array if it is in memory or memory-mapped; else None."""
        held = store.in_memory(self.name)
        if held is None or self.axis is None:
            return held
        place: tuple[Any, ...] = (*(slice(None),) * self.axis, self.index)
        return held[place]

    def read(self, store: Store, key: Key) -> np.ndarray:
        """The block."""
        if self.axis is None:
            return store.read(self.name, key)
        inside = slice(self.index, self.index + 1)
        full = (*key[: self.axis], inside, *key[self.axis :])
        return store.read(self.name, full).squeeze(self.axis)


def _indices(key: slice | np.ndarray, length: int) -> Sequence[int]:
    """The entries that a key selects of an axis."""
    return range(length)[key] if isinstance(key, slice) else key.tolist()


def _count(key: slice | np.ndarray, length: int) -> int:
    return len(_indices(key, length))
