"""Reusable memory for batches; allocating fresh pages costs more than copying into them."""

import sys
import threading
from collections import deque

import numpy as np


class Buffers:
    """A pool of arrays; an array is reused when no reference to it or to a view of it is left.

    A loop over batches holds two batches at a time, the last and the next, each with x and y.
    """

    MAX_ARRAYS = 6
    MAX_BYTES = 2**26  # of one array; larger arrays are not pooled

    def __init__(self) -> None:
        self._kept: deque[np.ndarray] = deque(maxlen=self.MAX_ARRAYS)
        self._lock = threading.Lock()
        # Reference count of an unused array, measured because it depends on the interpreter.
        self._kept.append(np.empty(0))
        self._free = self._references(0)
        self._kept.clear()

    def __reduce__(self) -> tuple[type["Buffers"], tuple[()]]:
        return Buffers, ()  # another process starts with an empty pool

    def empty(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """An unused array with arbitrary content."""
        with self._lock:
            for i in range(len(self._kept)):
                if self._references(i) == self._free:
                    array = self._kept[i]
                    if array.shape == shape and array.dtype == dtype:
                        return array
            array = np.empty(shape, dtype)
            if array.nbytes <= self.MAX_BYTES:
                self._kept.append(array)
            return array

    def _references(self, i: int) -> int:
        array = self._kept[i]
        return sys.getrefcount(array)
