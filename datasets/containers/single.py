"""A store in which some arrays have an additional sample axis, of length one, in front."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from .store import Key, Store


class OneSample(Store):
    """The arrays of another store; the named ones hold one sample each, and have no axis for it."""

    def __init__(self, store: Store, names: Iterable[str]) -> None:
        super().__init__(store.path)
        self.inner, self.expanded = store, frozenset(names)
        self.title, self.refused, self.attributes = store.title, store.refused, store.attributes
        self.arrays = dict(store.arrays)
        for name in self.expanded:
            array = store.arrays[name]
            self.arrays[name] = replace(
                array,
                shape=(1, *array.shape),
                dims=array.dims and ("sample", *array.dims),
                chunk=array.chunk and (1, *array.chunk),
            )

    def _open(self) -> Any:
        return self.inner

    def check(self, name: str) -> None:
        """The check of the other store."""
        self.inner.check(name)

    def in_memory(self, name: str) -> np.ndarray | None:
        """The array if it is in memory or memory-mapped; else None."""
        u = self.inner.in_memory(name)
        return u[None] if u is not None and name in self.expanded else u

    def read(self, name: str, key: Key) -> np.ndarray:
        """The block."""
        if name not in self.expanded:
            return self.inner.read(name, key)
        return self.inner.read(name, key[1:])[None][key[0]]

    def take(self, name: str, axis: int, indices: np.ndarray) -> np.ndarray:
        """A copy of the given entries along one axis."""
        if name in self.expanded:
            return super().take(name, axis, indices)
        return self.inner.take(name, axis, indices)

    def take_frames(
        self, name: str, axes: tuple[int, int], indices: np.ndarray, frames: np.ndarray
    ) -> np.ndarray:
        """A copy of the given frames of the given samples."""
        if name in self.expanded:
            return super().take_frames(name, axes, indices, frames)
        return self.inner.take_frames(name, axes, indices, frames)
