"""Loops of an algebraic multigrid cycle on CSR arrays (numba).

The plain twin is `amg/reference.py`. Each loop takes a range of rows, so that threads share them;
the rows of a block are relaxed in order, blocks see each other's old values. Compiled for the dtype
of the entries; columns are sorted, `middle` holds the position of each diagonal entry.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from ..runtime.jit import jit
from ..runtime.threads import num_threads, side_by_side
from .layout import Level, blocks_of


class Cycle:
    """Same as `reference.cycle`, with the work arrays of one right-hand side.

    Args:
        levels: fine to coarse, without the coarsest.
        coarse: the symmetric (pseudo-)inverse on the coarsest level.
    """

    def __init__(self, levels: Sequence[Level], coarse: np.ndarray) -> None:
        dtype = coarse.dtype
        self._coarse = coarse
        self._levels = [_Bound(level, dtype) for level in levels]
        sizes = [len(level.inverse) for level in levels] + [len(coarse)]
        self._b = [np.empty(n, dtype) for n in sizes]
        self._x = [np.empty(n, dtype) for n in sizes]

    def run(self, b: np.ndarray, x: np.ndarray) -> None:
        """x = M b."""
        right, left = [b, *self._b[1:]], [x, *self._x[1:]]
        for k, level in enumerate(self._levels):
            level.down(right[k], left[k], right[k + 1])
        np.dot(self._coarse, right[-1], out=left[-1])
        for k in range(len(self._levels) - 1, -1, -1):
            self._levels[k].up(right[k], left[k], left[k + 1])


class _Bound:
    """A level with its work arrays; long loops are shared among threads."""

    def __init__(self, level: Level, dtype: Any) -> None:
        self._level = level
        self._r, self._old = (np.empty(len(level.inverse), dtype) for _ in range(2))
        self._blocks = blocks_of(len(level.inverse), level.blocks)
        self._coarse_blocks = blocks_of(len(level.R[0]) - 1, level.blocks)

    def down(self, b: np.ndarray, x: np.ndarray, coarse_b: np.ndarray) -> None:
        """Relax from zero, and restrict the residual."""
        level, r = self._level, self._r
        starts, columns, values = level.A
        _each(self._blocks, forward, starts, level.middle, columns, values, level.inverse, b, x)
        _each(
            self._blocks, residual_after, starts, level.middle, columns, values, level.added, x, r
        )
        _each(self._coarse_blocks, product, *level.R, r, coarse_b)

    def up(self, b: np.ndarray, x: np.ndarray, coarse_x: np.ndarray) -> None:
        """Add the correction, and relax in reversed order."""
        level, old = self._level, self._old
        starts, columns, values = level.A
        _each(self._blocks, add_product, *level.P, coarse_x, x)
        if len(self._blocks) > 1:
            old[:] = x
        else:
            old = x
        _each(self._blocks, backward, starts, columns, values, level.inverse, b, old, x)


def _each(blocks: Sequence[tuple[int, int]], loop: Any, *arguments: Any) -> None:
    if len(blocks) == 1:
        loop(*arguments, *blocks[0])
    elif num_threads() == 1:
        for block in blocks:
            loop(*arguments, *block)
    else:
        side_by_side([partial(loop, *arguments, *block) for block in blocks])


@jit
def forward(starts, middle, columns, values, inverse, b, x, lo, hi):
    """x = (E + L)⁻¹ b on the block [lo, hi): L is the part of A below the diagonal of the block."""
    for i in range(lo, hi):
        total = b[i]
        for s in range(starts[i], middle[i]):
            j = columns[s]
            if j >= lo:
                total -= values[s] * x[j]
        x[i] = inverse[i] * total


@jit
def residual_after(starts, middle, columns, values, added, x, r, lo, hi):
    """r = b - A x where x = (E + L)⁻¹ b: the rows of E + L drop out, what remains is
    (E - D) x - (U + couplings to blocks before) x."""
    for i in range(lo, hi):
        total = added[i] * x[i]
        for s in range(starts[i], middle[i]):
            j = columns[s]
            if j >= lo:
                break
            total -= values[s] * x[j]
        for s in range(middle[i] + 1, starts[i + 1]):
            total -= values[s] * x[columns[s]]
        r[i] = total


@jit
def backward(starts, columns, values, inverse, b, old, x, lo, hi):
    """x += (E + U)⁻¹ (b - A x) on the block [lo, hi); `old` is x before, as other blocks see it."""
    for i in range(hi - 1, lo - 1, -1):
        total = b[i]
        for s in range(starts[i], starts[i + 1]):
            j = columns[s]
            total -= values[s] * (x[j] if lo <= j < hi else old[j])
        x[i] += inverse[i] * total


@jit
def product(starts, columns, values, x, y, lo, hi):
    """y = B x on the rows [lo, hi)."""
    for i in range(lo, hi):
        total = y.dtype.type(0)
        for s in range(starts[i], starts[i + 1]):
            total += values[s] * x[columns[s]]
        y[i] = total


@jit
def add_product(starts, columns, values, x, y, lo, hi):
    """y += B x on the rows [lo, hi)."""
    for i in range(lo, hi):
        total = y[i]
        for s in range(starts[i], starts[i + 1]):
            total += values[s] * x[columns[s]]
        y[i] = total
