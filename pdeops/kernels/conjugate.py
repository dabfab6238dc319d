"""The vector work of one step of conjugate gradients as two loops (numba).

The plain twin is `CG.step` in `solvers/cg.py`. A small system spends more time on calls of torch
than on arithmetic, and `descend` reads r once where single operations read it twice. Nothing here
starts threads.
"""

import numba
import numpy as np

_jit = numba.njit(cache=True, nogil=True, error_model="numpy")

LANES = 64  # partial sums of a dot product: they fill registers, and round like a pairwise sum


@_jit
def _dot(u, v):
    """⟨u, v⟩ in the dtype of the fields; without fastmath one running sum would not be vectors."""
    rows = u.size // LANES
    sums = np.zeros(LANES, u.dtype)
    for i in range(rows):
        x, y = u[i * LANES : (i + 1) * LANES], v[i * LANES : (i + 1) * LANES]
        for k in range(LANES):
            sums[k] += x[k] * y[k]
    for k in range(rows * LANES, u.size):
        sums[0] += u[k] * v[k]
    return _total(sums)


@_jit
def _total(sums):
    """The sum of `LANES` numbers, by halves."""
    half = LANES // 2
    while half > 0:
        for k in range(half):
            sums[k] += sums[k + half]
        half //= 2
    return float(sums[0])


@_jit
def direction(r, z, rz_old, p):
    """p = z + ⟨r, z⟩ / rz_old p; returns ⟨r, z⟩."""
    rz = _dot(r, z)
    beta = p.dtype.type(rz / rz_old if rz_old != 0 else 0.0)
    for k in range(p.size):
        p[k] = z[k] + beta * p[k]
    return rz


@_jit
def descend(p, Ap, rz, x, r):
    """x += α p and r -= α Ap with α = rz / ⟨p, Ap⟩, 0 unless both are positive; returns ⟨p, Ap⟩ and
    ⟨r, r⟩."""
    pAp = _dot(Ap, p)
    alpha = x.dtype.type(rz / pAp if rz > 0 and pAp > 0 else 0.0)
    rows = x.size // LANES
    sums = np.zeros(LANES, x.dtype)
    for i in range(rows):
        part = slice(i * LANES, (i + 1) * LANES)
        a, b, c, d = x[part], p[part], r[part], Ap[part]
        for k in range(LANES):
            a[k] += alpha * b[k]
        for k in range(LANES):
            c[k] -= alpha * d[k]
        for k in range(LANES):
            sums[k] += c[k] * c[k]
    for k in range(rows * LANES, x.size):
        x[k] += alpha * p[k]
        r[k] -= alpha * Ap[k]
        sums[0] += r[k] * r[k]
    return pAp, _total(sums)
