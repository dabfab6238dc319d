"""The vector work of one step of conjugate gradients in few loops (numba).

The plain twin is `conjugate/reference.py`. On a small system calls of torch cost more than the
arithmetic, and `move` reads r once where single operations read it twice. Vectors are divided into
blocks, whose inner products are summed in order, in float64: the result does not depend on which
thread takes which blocks, to the last bit. The compiled loops start no threads; `Step` divides the
blocks of a long field among threads (`runtime/row_blocks.py`).
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from ..runtime import row_blocks
from ..runtime.jit import inner, jit

LANES = 64  # partial sums of a dot product: they fill registers and round like pairwise summation
BLOCK = 4096  # entries


class Step:
    """Same as `conjugate.Step`, for contiguous fields of one compiled dtype."""

    def __init__(self, p: Tensor, Ap: Tensor, x: Tensor, r: Tensor, z: Tensor) -> None:
        arrays = (u.view(-1).numpy() for u in (p, Ap, x, r, z))
        self._p, self._Ap, self._x, self._r, self._z = arrays
        self._sums = np.empty(math.ceil(r.numel() / BLOCK))
        self.num_threads = row_blocks.count(r.numel(), row_blocks.VAST)

    def direction(self, rz_old: float) -> float:
        if self.num_threads == 1:
            rz: float = dots(self._r, self._z, self._sums, 0, self._sums.size)
            turn(self._z, beta(rz, rz_old), self._p, 0, self._sums.size)
            return rz
        rz = self._sum(dots, self._r, self._z)
        self._divide(turn, self._z, beta(rz, rz_old), self._p)
        return rz

    def descend(self, rz: float) -> tuple[float, float]:
        if self.num_threads == 1:
            all_blocks = self._sums, 0, self._sums.size
            pAp = dots(self._Ap, self._p, *all_blocks)
            return pAp, move(self._p, self._Ap, alpha(rz, pAp), self._x, self._r, *all_blocks)
        pAp = self._sum(dots, self._Ap, self._p)
        return pAp, self._sum(move, self._p, self._Ap, alpha(rz, pAp), self._x, self._r)

    def _divide(self, loop: Callable[..., object], *arguments: object) -> None:
        row_blocks.split(partial(loop, *arguments), len(self._sums), self.num_threads)

    def _sum(self, loop: Callable[..., object], *arguments: object) -> float:
        self._divide(loop, *arguments, self._sums)
        result: Any = total(self._sums)
        return result


@inner
def _total(sums):
    """The sum of `LANES` numbers by pairwise summation."""
    half = LANES // 2
    while half > 0:
        for k in range(half):
            sums[k] += sums[k + half]
        half //= 2
    return sums[0]


@jit
def dots(u, v, sums, first, last):
    """sums[i] = ⟨u, v⟩ over block i, in the dtype of the fields, for the blocks [first, last);
    returns their sum.

    Partial sums, because a single running sum is not vectorised without fastmath.
    """
    lanes, value = np.empty(LANES, u.dtype), 0.0
    for block in range(first, last):
        start, end = block * BLOCK, (block + 1) * BLOCK
        if end > u.size:
            end = u.size
        rows = (end - start) // LANES
        for k in range(LANES):
            lanes[k] = 0
        for i in range(rows):
            part = slice(start + i * LANES, start + (i + 1) * LANES)
            x, y = u[part], v[part]
            for k in range(LANES):
                lanes[k] += x[k] * y[k]
        for k in range(start + rows * LANES, end):
            lanes[0] += u[k] * v[k]
        sums[block] = _total(lanes)
        value += sums[block]
    return value


@jit
def turn(z, factor, p, first, last):
    """p = z + factor p on the blocks [first, last)."""
    part = slice(first * BLOCK, last * BLOCK)  # the end of p, if that comes first
    y, d = z[part], p[part]
    b = p.dtype.type(factor)
    for k in range(y.size):
        d[k] = y[k] + b * d[k]


@jit
def move(p, Ap, step, x, r, sums, first, last):
    """x += step p, r -= step Ap and sums[i] = ⟨r, r⟩ on the blocks [first, last); returns
    the sum of these."""
    factor = x.dtype.type(step)
    lanes, value = np.empty(LANES, x.dtype), 0.0
    for block in range(first, last):
        start, end = block * BLOCK, (block + 1) * BLOCK
        if end > x.size:
            end = x.size
        rows = (end - start) // LANES
        for k in range(LANES):
            lanes[k] = 0
        for i in range(rows):
            part = slice(start + i * LANES, start + (i + 1) * LANES)
            a, b, c, d = x[part], p[part], r[part], Ap[part]
            for k in range(LANES):
                a[k] += factor * b[k]
            for k in range(LANES):
                c[k] -= factor * d[k]
            for k in range(LANES):
                lanes[k] += c[k] * c[k]
        for k in range(start + rows * LANES, end):
            x[k] += factor * p[k]
            r[k] -= factor * Ap[k]
            lanes[0] += r[k] * r[k]
        sums[block] = _total(lanes)
        value += sums[block]
    return value


@jit
def total(sums):
    """The sum over all blocks."""
    value = 0.0
    for one in sums:
        value += one
    return value


def beta(rz: float, rz_old: float) -> float:
    """⟨r, z⟩ / ⟨r, z⟩_old; 0 if the latter is 0."""
    return rz / rz_old if rz_old != 0 else 0.0


def alpha(rz: float, pAp: float) -> float:
    """⟨r, z⟩ / ⟨p, A p⟩, 0 unless both are positive."""
    return rz / pAp if rz > 0 and pAp > 0 else 0.0
