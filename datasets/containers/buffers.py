"""Memory for batches that is used again, since fresh pages cost more than the copy into them."""

import sys
import threading
from collections import deque

import numpy as np


class Buffers:
    """Arrays that are handed out again once nobody refers to them, nor to a view of them.

    A loop over batches holds two at a time, the last one and the next, each with x and y.
    """

    MAX_ARRAYS = 6
    MAX_BYTES = 2**26  # of one array; larger ones are left to the allocator

    def __init__(self) -> None:
        self._kept: deque[np.ndarray] = deque(maxlen=self.MAX_ARRAYS)
        self._lock = threading.Lock()
        # What an array counts that nobody has: measured, since it depends on the interpreter.
        self._kept.append(np.empty(0))
        self._free = self._references(0)
        self._kept.clear()

    def __reduce__(self) -> tuple[type["Buffers"], tuple[()]]:
        return Buffers, ()  # another process begins with none

    def empty(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """An array of any content that nobody else has."""
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
