"""The vector work of one step of conjugate gradients in few loops (numba).

The plain twin is `CG.step` in `solvers/krylov/cg.py`. A small system spends more time on calls of
torch
than on arithmetic, and `move` reads r once where single operations read it twice. Vectors are taken
in blocks, whose inner products are summed in their order, in float64: who takes which blocks does
not change a bit. `direction` and `descend` take all; nothing here starts threads.
"""

import numpy as np

from ..runtime.jit import jit

LANES = 64  # partial sums of a dot product: they fill registers, and round like a pairwise sum
BLOCK = 4096  # entries


@jit
def _total(sums):
    """The sum of `LANES` numbers, by halves."""
    half = LANES // 2
    while half > 0:
        for k in range(half):
            sums[k] += sums[k + half]
        half //= 2
    return sums[0]


@jit
def dots(u, v, sums, first, last):
    """sums[i] = ⟨u, v⟩ over block i, in the dtype of the fields, for the blocks [first, last).

    Without fastmath one running sum would not be computed by vectors.
    """
    lanes = np.empty(LANES, u.dtype)
    for block in range(first, last):
        start, end = block * BLOCK, min((block + 1) * BLOCK, u.size)
        rows = (end - start) // LANES
        lanes[:] = 0
        for i in range(rows):
            part = slice(start + i * LANES, start + (i + 1) * LANES)
            x, y = u[part], v[part]
            for k in range(LANES):
                lanes[k] += x[k] * y[k]
        for k in range(start + rows * LANES, end):
            lanes[0] += u[k] * v[k]
        sums[block] = _total(lanes)


@jit
def turn(z, factor, p, first, last):
    """p = z + factor p on the blocks [first, last)."""
    part = slice(first * BLOCK, min(last * BLOCK, p.size))
    y, d = z[part], p[part]
    b = p.dtype.type(factor)
    for k in range(y.size):
        d[k] = y[k] + b * d[k]


@jit
def move(p, Ap, step, x, r, sums, first, last):
    """x += step p, r -= step Ap and sums[i] = ⟨r, r⟩ on the blocks [first, last)."""
    factor = x.dtype.type(step)
    lanes = np.empty(LANES, x.dtype)
    for block in range(first, last):
        start, end = block * BLOCK, min((block + 1) * BLOCK, x.size)
        rows = (end - start) // LANES
        lanes[:] = 0
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


@jit
def total(sums):
    """The sum over all blocks."""
    value = 0.0
    for one in sums:
        value += one
    return value


@jit
def beta(rz, rz_old):
    """⟨r, z⟩ / ⟨r, z⟩ of the step before."""
    return rz / rz_old if rz_old != 0 else 0.0


@jit
def alpha(rz, pAp):
    """⟨r, z⟩ / ⟨p, A p⟩, 0 unless both are positive."""
    return rz / pAp if rz > 0 and pAp > 0 else 0.0


@jit
def direction(r, z, rz_old, p, sums):
    """p = z + β p; returns ⟨r, z⟩."""
    dots(r, z, sums, 0, sums.size)
    rz = total(sums)
    turn(z, beta(rz, rz_old), p, 0, sums.size)
    return rz


@jit
def descend(p, Ap, rz, x, r, sums):
    """x += α p and r -= α Ap; returns ⟨p, Ap⟩ and ⟨r, r⟩."""
    dots(Ap, p, sums, 0, sums.size)
    pAp = total(sums)
    move(p, Ap, alpha(rz, pAp), x, r, sums, 0, sums.size)
    return pAp, total(sums)
