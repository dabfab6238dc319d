"""Loops of geometric multigrid for -a Δu + c u with zero Dirichlet values, n odd per axis (numba).

The plain twin, which defines what is computed, is `constant/reference.py`. Only u and b of each
level are stored. The loops compute whole rows, so that they are vectorised, and then select the
nodes of a colour; all operations on a row are done while it is in the cache.

Fields have three axes; a plane is passed as (n, 1, m) with `deep` False. u is surrounded by zeros,
so its unknown (i, j, k) is u[i + 1, j + deep, k + 1]; b is not. Red nodes have an even sum of
one-based indices, coarse nodes have even one-based indices.

The loops start no threads, so they are safe after a fork, and release the GIL: each thread can
take a block of rows (`runtime/row_blocks.py`).
"""

import numpy as np

from ..runtime.jit import jit


@jit
def first_row(b, i, j, w, r, deep, mask, y, out):
    """out = one red-black sweep from zero: b r at red nodes, r (b + r Σ w b) at black ones."""
    l, n, m = b.shape
    row = b[i, j]
    for k in range(m):
        y[k] = 0
    if i > 0:
        other = b[i - 1, j]
        for k in range(m):
            y[k] += w[0] * other[k]
    if i < l - 1:
        other = b[i + 1, j]
        for k in range(m):
            y[k] += w[0] * other[k]
    if deep and j > 0:
        other = b[i, j - 1]
        for k in range(m):
            y[k] += w[1] * other[k]
    if deep and j < n - 1:
        other = b[i, j + 1]
        for k in range(m):
            y[k] += w[1] * other[k]
    before, after = row[: m - 1], row[1:]
    inner, tail = y[: m - 1], y[1:]
    for k in range(m - 1):
        tail[k] += w[2] * before[k]
    for k in range(m - 1):
        inner[k] += w[2] * after[k]
    for k in range(m):
        out[k] = r * (row[k] + mask[k] * (r * y[k]))


@jit
def neighbours(u, i, j, w, deep, y):
    """y = Σ w u over the neighbours of a row of unknowns; i, j are indices of u."""
    m = len(y)
    up, down, row = u[i - 1, j], u[i + 1, j], u[i, j]
    a, b, c, d = up[1 : m + 1], down[1 : m + 1], row[0:m], row[2 : m + 2]
    for k in range(m):
        y[k] = w[0] * (a[k] + b[k]) + w[2] * (c[k] + d[k])
    if deep:
        back, front = u[i, j - 1], u[i, j + 1]
        e, f = back[1 : m + 1], front[1 : m + 1]
        for k in range(m):
            y[k] += w[1] * (e[k] + f[k])


@jit
def restrict_row(y, i, j, deep, scale, B, start, end):
    """Add the restricted residual y of a row of red nodes to the rows [start, end) of B."""
    _, N, M = B.shape
    even_i, even_j = i % 2 == 0, not deep or j % 2 == 0
    for I in range(i // 2, (i + 1) // 2 + 1):
        for J in range(j // 2 if deep else 1, ((j + 1) // 2 if deep else 1) + 1):
            if not (start < I <= end and 1 <= J <= N):
                continue
            out = B[I - 1, J - 1]
            if even_i and even_j:
                for K in range(M):
                    out[K] += scale * y[2 * K + 1]
            elif even_i == even_j:
                for K in range(M):
                    out[K] += 0.25 * scale * y[2 * K + 1]
            else:
                for K in range(M):
                    out[K] += 0.25 * scale * (y[2 * K] + y[2 * K + 2])


@jit
def descend(b, u, w, r, deep, B, start, end):
    """u = one red-black sweep from zero; the rows [start, end) of B = the restricted residual.

    The residual of black nodes is zero then, and that of a red one is what its black neighbours
    have added. Restriction is full weighting, Pᵀ over the number of fine nodes of a coarse cell.
    Adjacent ranges of B write the same numbers to the rows of u that both need, so they may run in
    parallel.
    """
    l, n, m = b.shape
    y = np.empty(m, b.dtype)
    mask = np.empty((2, m), b.dtype)
    for k in range(m):
        mask[0, k], mask[1, k] = k % 2, 1 - k % 2
    scale = w[0] * 0 + (0.125 if deep else 0.25)
    for i in range(start, end):
        for j in range(B.shape[1]):
            for k in range(B.shape[2]):
                B[i, j, k] = 0
    first, last = 2 * start + 1, 2 * end + 1  # one-based: the rows whose residual B takes
    for s in range(max(first - 2, 0), last + 1):
        if s < l:
            for j in range(n):
                # One-based indices sum to i + j + k + 3, or on a plane to i + k + 2.
                odd = (s + j + 1) % 2 if deep else s % 2
                # Black are the odd sums: k odd where the rest is even, k even where it is odd.
                first_row(b, s, j, w, r, deep, mask[odd], y, u[s + 1, j + deep, 1 : m + 1])
        i = s  # the previous row, one-based
        if i >= first:
            for j in range(1, n + 1):
                neighbours(u, i, j - 1 + deep, w, deep, y)
                restrict_row(y, i, j, deep, scale, B, start, end)


@jit
def correct_row(U, i, j, deep, u):
    """Add P U at the red nodes of a row; linear interpolation."""
    M = (len(u) - 3) // 2
    I, J = i // 2, (j // 2 if deep else 0)
    even_i, even_j = i % 2 == 0, not deep or j % 2 == 0
    if even_i and even_j:
        a = U[I, J]
        for K in range(1, M + 1):
            u[2 * K] += a[K]
    elif even_i == even_j:
        a, b, c, d = U[I, J], U[I + 1, J], U[I, J + 1], U[I + 1, J + 1]
        for K in range(1, M + 1):
            u[2 * K] += 0.25 * (a[K] + b[K] + c[K] + d[K])
    else:
        a = U[I, J]
        b = U[I + 1, J] if not even_i else U[I, J + 1]
        for K in range(M + 1):
            u[2 * K + 1] += 0.25 * (a[K] + a[K + 1] + b[K] + b[K + 1])


@jit
def relax_row(b, u, i, j, w, r, deep, first, y):
    """Gauss-Seidel at every other node of a row, from the zero-based `first`."""
    neighbours(u, i, j - 1 + deep, w, deep, y)
    m = len(y)
    rhs, row = b[i - 1, j - 1], u[i, j - 1 + deep]
    for k in range(m):
        y[k] = r * (rhs[k] + y[k])
    for k in range(first, m, 2):
        row[k + 1] = y[k]


@jit
def ascend(b, u, w, r, deep, U, out, rows):
    """u + P U, then black, then red Gauss-Seidel; copied to `out` unless that is empty.

    Black nodes need no correction: their first step does not read their own value. `rows` are the
    first and the last row of these three stages (`runtime/row_blocks.py`).
    """
    _, n, m = b.shape
    y = np.empty(m, b.dtype)
    for s in range(min(rows[0, 0], rows[1, 0] + 1, rows[2, 0] + 2), rows[2, 1] + 3):
        if rows[0, 0] <= s <= rows[0, 1]:
            for j in range(1, n + 1):
                correct_row(U, s, j, deep, u[s, j - 1 + deep])
        for lag in range(1, 3):
            i = s - lag
            if i < rows[lag, 0] or i > rows[lag, 1]:
                continue
            for j in range(1, n + 1):
                even = (i + j) % 2 == 0 if deep else i % 2 == 0
                # Zero-based k = 0 is one-based 1: red where the other indices' sum is odd.
                red = 1 if even else 0
                relax_row(b, u, i, j, w, r, deep, 1 - red if lag == 1 else red, y)
                if lag == 2 and out.size > 0:
                    row, result = u[i, j - 1 + deep], out[i - 1, j - 1]
                    for k in range(m):
                        result[k] = row[k + 1]


@jit
def field(store, level, deep):
    """u of a level, with the zeros around it."""
    n = level.n
    rows = n[1] + 2 if deep else n[1]
    size = (n[0] + 2) * rows * (n[2] + 2)
    return store[level.u : level.u + size].reshape(n[0] + 2, rows, n[2] + 2)


@jit
def load(store, level):
    """The right-hand side of a level below the finest."""
    n = level.n
    return store[level.b : level.b + n[0] * n[1] * n[2]].reshape(n[0], n[1], n[2])


@jit
def down(b, store, table, weights, deep, first):
    """Sweep and restrict from the level `first` to the last, whose right-hand side results."""
    for depth in range(first, len(table) - 1):
        restrict(b, store, table, weights, deep, depth, 0, table[depth + 1].n[0])


@jit
def restrict(b, store, table, weights, deep, depth, start, end):
    """`descend` on one level."""
    rhs = b if depth == 0 else load(store, table[depth])
    w = weights[depth]
    B = load(store, table[depth + 1])
    descend(rhs, field(store, table[depth], deep), w, w[3], deep, B, start, end)


@jit
def up(b, store, table, weights, deep, first, out):
    """Correct and sweep from the last level but one to the level `first`; `out` is the finest u."""
    rows = np.empty((3, 2), np.int64)
    for depth in range(len(table) - 2, first - 1, -1):
        rows[:, 0], rows[:, 1] = 1, table[depth].n[0]
        correct(b, store, table, weights, deep, depth, out, rows)


@jit
def correct(b, store, table, weights, deep, depth, out, rows):
    """`ascend` on one level."""
    w = weights[depth]
    u, U = field(store, table[depth], deep), field(store, table[depth + 1], deep)
    rhs = b if depth == 0 else load(store, table[depth])
    ascend(rhs, u, w, w[3], deep, U, out if depth == 0 else out[:0], rows)
