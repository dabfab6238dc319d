"""Set-up of black-box multigrid in a plane: interpolation, coarse operators, factor (numba).

The plain twin is `blackbox/reference.py`; arrays are described in `blackbox/plane_layout.py`. The
loops are compiled, one for each part of a level; levels follow each other in Python.
"""

from collections.abc import Sequence

import numpy as np

from ..runtime.jit import inner, jit
from .band import cholesky
from .plane_layout import Level, cell_weights, couplings, factor, line_weights, nodes


@inner
def _weight(a, b, low, high):
    """The weight a / (a + b) of the first of two neighbours, from their couplings a and b.

    Negative couplings count as zero. Without couplings the weights are equal; but next to the
    boundary (`low`, `high`) a node takes the value of unknowns only, so that interpolation
    preserves constants at a boundary without flux.
    """
    if not a > 0:
        a *= 0
    if not b > 0:
        b *= 0
    if a + b > 0:
        return a / (a + b)
    return 0.5 + 0.5 * high - 0.5 * low


@jit
def coarsen(n, m, cx, cy, cd, ca, nine, q, w, lines, CX, CY, CD, CA):
    """Interpolation weights q, w of a level and the couplings of the next, cell by cell.

    `nine` is False if the level has five points; then cd and ca do not exist. `lines` has two rows
    of M + 1 numbers 0.5: the weights of the nodes between two coarse nodes along y.
    """
    N, M = n // 2, m // 2
    for I in range(N + 1):
        i = 2 * I
        # Nodes (i+1, j) between two coarse nodes along x.
        q[I, 0] = q[I, M + 1] = 0.5
        for J in range(1, M + 1):
            j = 2 * J
            before, after = cx[i, j], cx[i + 1, j]
            if nine:
                before += ca[i, j] + cd[i, j - 1]
                after += cd[i + 1, j] + ca[i + 1, j - 1]
            q[I, J] = _weight(before, after, i == 0, i + 2 > n) if i < n else 0.0
            CX[I, J] += cx[i, j] * (1 - q[I, J]) ** 2 + cx[i + 1, j] * q[I, J] ** 2
        # Nodes (i+2, j+1) between two coarse nodes along y.
        x, here, following = i + 2, I % 2, 1 - I % 2
        for J in range(M + 1):
            j = 2 * J
            if I < N:
                before, after = cy[x, j], cy[x, j + 1]
                if nine:
                    before += cd[x - 1, j] + ca[x, j]
                    after += cd[x, j + 1] + ca[x - 1, j + 1]
                lines[following, J] = _weight(before, after, j == 0, j + 2 > m) if j < m else 0.0
                p = lines[following, J]
                CY[I + 1, J] += cy[x, j] * (1 - p) ** 2 + cy[x, j + 1] * p**2
            else:
                lines[following, J] = 0.5
        # Centres (i+1, j+1), and the contributions of each coarse cell to couplings of its corners.
        for J in range(M + 1):
            j = 2 * J
            l0, l1 = cx[i, j + 1], cx[i + 1, j + 1]
            k0, k1 = cy[i + 1, j], cy[i + 1, j + 1]
            p, P, r, R = lines[here, J], lines[following, J], q[I, J], q[I, J + 1]
            v00 = l0 * p + k0 * r
            v01 = l0 * (1 - p) + k1 * R
            v10 = l1 * P + k0 * (1 - r)
            v11 = l1 * (1 - P) + k1 * (1 - R)
            if nine:
                v00 += cd[i, j]
                v01 += ca[i, j + 1]
                v10 += ca[i + 1, j]
                v11 += cd[i + 1, j + 1]
            t = v00 + v01 + v10 + v11
            if i < n and j < m:
                a00, a01, a10, a11 = max(v00, 0), max(v01, 0), max(v10, 0), max(v11, 0)
                s = a00 + a01 + a10 + a11
                s = 1 / s if s > 0 else 0.0
                a00, a01, a10, a11 = s * a00, s * a01, s * a10, s * a11
            else:  # the centre is a boundary node, like the corners beyond it
                a00 = 0.0
                a01 = 0.5 if i < n else 0.0
                a10 = 0.5 if j < m else 0.0
                a11 = 1 - a01 - a10
            w[0, I, J], w[1, I, J], w[2, I, J], w[3, I, J] = a00, a01, a10, a11
            x0 = a00 * v10 + a10 * v00 - t * a00 * a10 - k0 * r * (1 - r)
            x1 = a01 * v11 + a11 * v01 - t * a01 * a11 - k1 * R * (1 - R)
            y0 = a00 * v01 + a01 * v00 - t * a00 * a01 - l0 * p * (1 - p)
            y1 = a10 * v11 + a11 * v10 - t * a10 * a11 - l1 * P * (1 - P)
            d = a00 * v11 + a11 * v00 - t * a00 * a11
            a = a01 * v10 + a10 * v01 - t * a01 * a10
            if nine:
                c = ca[i, j]
                x0 -= c * (r - p) * (1 - r)
                y0 += c * (r - p) * (1 - p)
                a += c * (1 - r) * (1 - p)
                c = cd[i, j + 1]
                y0 -= c * p * (1 - p - R)
                d += c * p * (1 - R)
                x1 += c * (1 - p - R) * (1 - R)
                c = cd[i + 1, j]
                x0 -= c * r * (1 - r - P)
                d += c * r * (1 - P)
                y1 += c * (1 - r - P) * (1 - P)
                c = ca[i + 1, j + 1]
                a += c * P * R
                y1 -= c * P * (R - P)
                x1 += c * R * (R - P)
            CX[I, J] += x0
            CX[I, J + 1] += x1
            CY[I, J] += y0
            CY[I + 1, J] += y1
            CD[I, J] = d
            CA[I, J] = a


@jit
def invert_diagonal(n, m, cx, cy, cd, ca, nine, r):
    """r = 1 / diagonal at interior nodes; the diagonal is the sum of the couplings of a node.

    At solid nodes, where it is zero, r is a tiny positive number, so that 1 / r is finite.
    """
    nothing = r.dtype.type(1e-30)
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            d = cx[i - 1, j] + cx[i, j] + cy[i, j - 1] + cy[i, j]
            if nine:
                d += cd[i - 1, j - 1] + cd[i, j] + ca[i - 1, j] + ca[i, j - 1]
            r[i, j] = 1 / d if d > 0 else nothing


@jit
def factor_band(n, m, cx, cy, cd, ca, nine, r, singular, L):
    """Cholesky factor of the coarsest level (`band.cholesky`), numbered along the shorter axis.

    L is initially zero.
    """
    si, sj = (m, 1) if m <= n else (1, n)
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            k = (i - 1) * si + (j - 1) * sj
            L[k, 0] = 1 / r[i, j] if r[i, j] > 1e-30 else 0
            if i > 1:
                L[k, si] = -cx[i - 1, j]
            if j > 1:
                L[k, sj] = -cy[i, j - 1]
            if nine and i > 1 and j > 1:
                L[k, si + sj] = -cd[i - 1, j - 1]
            # (i, j) and (i-1, j+1): the entry belongs to the row of the higher number.
            if nine and i > 1 and j < m:
                other = k - si + sj
                if other < k:
                    L[k, k - other] = -ca[i - 1, j]
                else:
                    L[other, other - k] = -ca[i - 1, j]
    return cholesky(L, singular)


def begin(
    x_faces: np.ndarray, y_faces: np.ndarray, store: np.ndarray, levels: Sequence[Level]
) -> None:
    """Fill the finest level from the couplings at all faces; `store` is initially zero."""
    n, m = levels[0].n, levels[0].m
    cx, cy, _, _ = couplings(store, levels[0], False)
    cx[: n + 1, 1 : m + 1] = x_faces
    cy[1 : n + 1, : m + 1] = y_faces


def descend(store: np.ndarray, level: Level, nine: bool, *following: np.ndarray) -> None:
    """Compute the inverse diagonal and interpolation of a level, and the couplings of the next.

    `following` are the arrays for these couplings, CX, CY, CD and CA, initially zero.
    """
    n, m = level.n, level.m
    fields = couplings(store, level, nine)
    invert_diagonal(n, m, *fields, nine, nodes(store, level, "r"))
    q, w = line_weights(store, level), cell_weights(store, level)
    lines = np.full((2, m // 2 + 1), 0.5, store.dtype)
    coarsen(n, m, *fields, nine, q, w, lines, *following)


def complete(
    store: np.ndarray, levels: Sequence[Level], first: int, num_sparsified: int, singular: bool
) -> bool:
    """Fill all levels from `first` on, whose couplings are given.

    Coarse levels after the first `num_sparsified` have nine points. False if a level is not
    positive definite (semidefinite if `singular`).
    """
    last = len(levels) - 1
    for depth in range(first, last):
        following = couplings(store, levels[depth + 1], depth + 1 > num_sparsified)
        descend(store, levels[depth], depth > num_sparsified, *following)
    level, nine = levels[last], last > num_sparsified
    fields, r = couplings(store, level, nine), nodes(store, level, "r")
    invert_diagonal(level.n, level.m, *fields, nine, r)
    L = factor(store, level)
    return bool(factor_band(level.n, level.m, *fields, nine, r, singular, L))


def setup(
    x_faces: np.ndarray,
    y_faces: np.ndarray,
    store: np.ndarray,
    levels: Sequence[Level],
    singular: bool,
) -> bool:
    """Fill all levels. False if one is not positive definite (semidefinite if `singular`)."""
    begin(x_faces, y_faces, store, levels)
    return complete(store, levels, 0, 0, singular)
