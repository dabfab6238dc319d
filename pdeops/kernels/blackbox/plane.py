"""Loops of black-box multigrid in a plane without periodic axes, the most frequent case (numba).

The plain twin, which explains the method, is `blackbox/reference.py`. `blackbox/box.py` computes
the same for all other cases. On a plane without excess that is coarsened along both axes, the
set-up here is five times and a cycle 1.5 times as fast: rows are pipelined, so that a smoothing
step, the residual and its restriction read each array once; values that would be overwritten are
not computed; and coarse operators are summed cell by cell from formulas. `blackbox/plane_layout.py`
describes the arrays, the set-up is in `blackbox/plane_setup.py`.

The loops start no threads, so they are safe after a fork, and release the GIL: each thread can
take a block of rows (`runtime/row_blocks.py`).
"""

import numpy as np

from ..runtime.jit import jit
from .band import substitute_both
from .plane_layout import couplings, factor, pad, view, weights


@jit
def solve_band(n, m, L, b, u):
    """u = A⁻¹ b on the coarsest level by the factor of `factor_band`."""
    si, sj = (m, 1) if m <= n else (1, n)
    y = np.empty(n * m, b.dtype)
    for i in range(n):
        for j in range(m):
            y[i * si + j * sj] = b[i, j]
    substitute_both(L, y)
    for i in range(n):
        for j in range(m):
            u[i + 1, j + 1] = y[i * si + j * sj]


@jit
def _neighbours5(u, cx, cy, o, i, j):
    return (
        cx[i - 1, j - o] * u[i - 1, j]
        + cx[i, j - o] * u[i + 1, j]
        + cy[i - o, j - 1] * u[i, j - 1]
        + cy[i - o, j] * u[i, j + 1]
    )


@jit
def _neighbours9(u, cx, cy, cd, ca, i, j):
    return (
        cx[i - 1, j] * u[i - 1, j]
        + cx[i, j] * u[i + 1, j]
        + cy[i, j - 1] * u[i, j - 1]
        + cy[i, j] * u[i, j + 1]
        + cd[i - 1, j - 1] * u[i - 1, j - 1]
        + cd[i, j] * u[i + 1, j + 1]
        + ca[i - 1, j] * u[i - 1, j + 1]
        + ca[i, j - 1] * u[i + 1, j - 1]
    )


@jit
def descend5(b, u, cx, cy, o, r, w, B, start, end):
    """Red, then black Gauss-Seidel from zero; the rows [start, end) of B = Pᵀ(b - A u).

    After the sweep the residual of a black node is zero, and that of a red node is the sum over its
    black neighbours. Coarse nodes and centres are red, so the weights q are not needed. Adjacent
    ranges of B write the same numbers to the rows of u that both need, so they may run in parallel.
    """
    n, m = b.shape
    M = B.shape[1]
    w00, w01, w10, w11 = w[0], w[1], w[2], w[3]
    above = np.zeros(M + 1, u.dtype)  # residual at the centres of the row of cells before ...
    below = np.zeros(M + 1, u.dtype)  # ... and after a row of coarse nodes
    first, last = 2 * start + 1, min(2 * end + 1, n)  # the rows whose residual B takes
    for i in range(max(first - 2, 1), last + 3):
        if i <= n:
            for j in range(2 - i % 2, m + 1, 2):
                u[i, j] = r[i, j] * b[i - 1, j - 1]
        k = i - 1
        if max(first - 1, 1) <= k <= n:
            for j in range(1 + k % 2, m + 1, 2):
                u[k, j] = r[k, j] * (b[k - 1, j - 1] + _neighbours5(u, cx, cy, o, k, j))
        k = i - 2
        I = k // 2
        if k >= first and k % 2 == 1:
            for J in range((m + 1) // 2):
                below[J] = _neighbours5(u, cx, cy, o, k, 2 * J + 1)
        elif k >= first:
            for J in range(1, M + 1):
                B[I - 1, J - 1] = _neighbours5(u, cx, cy, o, k, 2 * J)
            above, below = below, above
            for J in range(1, M + 1):
                B[I - 1, J - 1] += w10[I - 1, J] * above[J] + w11[I - 1, J - 1] * above[J - 1]
        if k % 2 == 1 and start < I <= end:
            for J in range(1, M + 1):
                B[I - 1, J - 1] += w00[I, J] * below[J] + w01[I, J - 1] * below[J - 1]


@jit
def ascend5(b, u, cx, cy, o, r, w, U, out, rows):
    """u + P U at red nodes, then black, then red Gauss-Seidel; `out` is the result. Finest level.

    Black nodes need no correction: their first step does not read their own value. `rows` are the
    first and the last row of these three stages (`runtime/row_blocks.py`).
    """
    m = b.shape[1]
    w00, w01, w10, w11 = w[0], w[1], w[2], w[3]
    for i in range(min(rows[0, 0], rows[1, 0] + 1, rows[2, 0] + 2), rows[2, 1] + 3):
        I = i // 2
        if rows[0, 0] <= i <= rows[0, 1] and i % 2 == 0:
            for J in range(1, m // 2 + 1):
                u[i, 2 * J] += U[I, J]
        elif rows[0, 0] <= i <= rows[0, 1]:
            for J in range((m + 1) // 2):
                u[i, 2 * J + 1] += (
                    w00[I, J] * U[I, J]
                    + w01[I, J] * U[I, J + 1]
                    + w10[I, J] * U[I + 1, J]
                    + w11[I, J] * U[I + 1, J + 1]
                )
        k = i - 1
        if rows[1, 0] <= k <= rows[1, 1]:
            for j in range(1 + k % 2, m + 1, 2):
                u[k, j] = r[k, j] * (b[k - 1, j - 1] + _neighbours5(u, cx, cy, o, k, j))
        k = i - 2
        if rows[2, 0] <= k <= rows[2, 1]:
            for j in range(2 - k % 2, m + 1, 2):
                u[k, j] = r[k, j] * (b[k - 1, j - 1] + _neighbours5(u, cx, cy, o, k, j))
            for j in range(m):
                out[k - 1, j] = u[k, j + 1]


@jit
def relax9(b, u, cx, cy, cd, ca, r, i0, j0, rows):
    """Gauss-Seidel at the nodes (i0, j0) modulo 2, which are not neighbours of each other.

    `rows` are the first and the last row.
    """
    m = b.shape[1]
    for i in range(rows[0] + (rows[0] + i0) % 2, rows[1] + 1, 2):
        for j in range(j0, m + 1, 2):
            u[i, j] = r[i, j] * (b[i - 1, j - 1] + _neighbours9(u, cx, cy, cd, ca, i, j))


@jit
def relax_from_zero(b, u, cx, cy, cd, ca, r, rows):
    """Four-colour Gauss-Seidel from zero; `rows` of five stages, the first of which sets u = 0."""
    for i in range(rows[0, 0], rows[0, 1] + 1):
        u[i] = 0
    relax9(b, u, cx, cy, cd, ca, r, 2, 2, rows[1])
    relax9(b, u, cx, cy, cd, ca, r, 1, 1, rows[2])
    relax9(b, u, cx, cy, cd, ca, r, 1, 2, rows[3])
    relax9(b, u, cx, cy, cd, ca, r, 2, 1, rows[4])


@jit
def restrict9(b, u, cx, cy, cd, ca, r, q, w, B, start, end):
    """The rows [start, end) of B = Pᵀ(b - A u). The residual of the last colour is zero."""
    n, m = b.shape
    M = B.shape[1]
    w00, w01, w10, w11 = w[0], w[1], w[2], w[3]
    line0 = np.zeros(M + 2, u.dtype)
    line1 = np.zeros(M + 2, u.dtype)
    centre0 = np.zeros(M + 1, u.dtype)
    centre1 = np.zeros(M + 1, u.dtype)
    for I in range(start, end + 1):
        i = 2 * I + 1
        line0, line1, centre0, centre1 = line1, line0, centre1, centre0
        if i <= n:
            for J in range((m + 1) // 2):
                j = 2 * J + 1
                centre1[J] = (
                    b[i - 1, j - 1] + _neighbours9(u, cx, cy, cd, ca, i, j) - u[i, j] / r[i, j]
                )
            for J in range(1, M + 1):
                j = 2 * J
                line1[J] = (
                    b[i - 1, j - 1] + _neighbours9(u, cx, cy, cd, ca, i, j) - u[i, j] / r[i, j]
                )
        else:
            line1[:] = 0
            centre1[:] = 0
        if start == I:  # this row of B belongs to the range before
            continue
        i = 2 * I
        for J in range(1, M + 1):
            j = 2 * J
            B[I - 1, J - 1] = (
                b[i - 1, j - 1]
                + _neighbours9(u, cx, cy, cd, ca, i, j)
                - u[i, j] / r[i, j]
                + q[I, J] * line1[J]
                + (1 - q[I - 1, J]) * line0[J]
                + w00[I, J] * centre1[J]
                + w01[I, J - 1] * centre1[J - 1]
                + w10[I - 1, J] * centre0[J]
                + w11[I - 1, J - 1] * centre0[J - 1]
            )


@jit
def ascend9(b, u, cx, cy, cd, ca, r, q, w, U, rows):
    """u + P U, then four-colour Gauss-Seidel in reversed order: five stages (`row_blocks.py`).

    The first colour needs no correction: its step does not read its own value.
    """
    m = b.shape[1]
    w00, w01, w10, w11 = w[0], w[1], w[2], w[3]
    for i in range(rows[0, 0], rows[0, 1] + 1):
        I = i // 2
        if i % 2 == 0:
            for J in range(1, m // 2 + 1):
                u[i, 2 * J] += U[I, J]
        else:
            for J in range(1, m // 2 + 1):
                u[i, 2 * J] += q[I, J] * U[I, J] + (1 - q[I, J]) * U[I + 1, J]
            for J in range((m + 1) // 2):
                u[i, 2 * J + 1] += (
                    w00[I, J] * U[I, J]
                    + w01[I, J] * U[I, J + 1]
                    + w10[I, J] * U[I + 1, J]
                    + w11[I, J] * U[I + 1, J + 1]
                )
    relax9(b, u, cx, cy, cd, ca, r, 2, 1, rows[1])
    relax9(b, u, cx, cy, cd, ca, r, 1, 2, rows[2])
    relax9(b, u, cx, cy, cd, ca, r, 1, 1, rows[3])
    relax9(b, u, cx, cy, cd, ca, r, 2, 2, rows[4])


@jit
def _level(b, x_faces, y_faces, store, table, num_sparsified, depth):
    """Right-hand side, u, couplings, their offset o, 1 / diagonal and weights of a level."""
    level = table[depth]
    n, m = level.n, level.m
    if depth == 0:
        fx, fy, fd, fa = x_faces, y_faces, x_faces, y_faces
    else:
        fx, fy, fd, fa = couplings(store, level, depth > num_sparsified)
        b = view(store, level.b, n, m)
    r = view(store, level.r, pad(n), pad(m))
    u = view(store, level.u, pad(n), pad(m))
    q, w = weights(store, level, depth > 0)
    return b, u, fx, fy, fd, fa, 1 if depth == 0 else 0, r, q, w


@jit
def relax(b, x_faces, y_faces, store, table, num_sparsified, depth, rows):
    """The sweep from zero on a level with nine points."""
    b, u, fx, fy, fd, fa, _, r, _, _ = _level(
        b, x_faces, y_faces, store, table, num_sparsified, depth
    )
    relax_from_zero(b, u, fx, fy, fd, fa, r, rows)


@jit
def restrict(b, x_faces, y_faces, store, table, num_sparsified, depth, start, end):
    """Rows of the next right-hand side; on a level with five points after the sweep from zero."""
    b, u, fx, fy, fd, fa, o, r, q, w = _level(
        b, x_faces, y_faces, store, table, num_sparsified, depth
    )
    coarse = table[depth + 1]
    B = view(store, coarse.b, coarse.n, coarse.m)
    if depth <= num_sparsified:
        descend5(b, u, fx, fy, o, r, w, B, start, end)
    else:
        restrict9(b, u, fx, fy, fd, fa, r, q, w, B, start, end)


@jit
def correct(b, x_faces, y_faces, store, table, num_sparsified, depth, out, rows):
    """Correction and sweep on a level; `out` is the result on the finest."""
    b, u, fx, fy, fd, fa, o, r, q, w = _level(
        b, x_faces, y_faces, store, table, num_sparsified, depth
    )
    coarse = table[depth + 1]
    U = view(store, coarse.u, pad(coarse.n), pad(coarse.m))
    if depth > num_sparsified:
        ascend9(b, u, fx, fy, fd, fa, r, q, w, U, rows)
    else:  # on coarse levels rows of b serve as `out`: they are not read again
        ascend5(b, u, fx, fy, o, r, w, U, out if depth == 0 else b, rows)


@jit
def cycle(b, x_faces, y_faces, store, table, num_sparsified, first, out):
    """out = M b: one symmetric V(1,1) cycle from zero.

    The first `num_sparsified` coarse levels have five points. The levels before `first` are
    processed by the caller, with `relax`, `restrict` and `correct`.
    """
    last = len(table) - 1
    rows = np.ones((5, 2), np.int64)
    for depth in range(first, last):
        if depth > num_sparsified:
            rows[:, 1] = table[depth].n
            relax(b, x_faces, y_faces, store, table, num_sparsified, depth, rows)
        restrict(b, x_faces, y_faces, store, table, num_sparsified, depth, 0, table[depth + 1].n)
    level = table[last]
    n, m = level.n, level.m
    u = view(store, level.u, pad(n), pad(m))
    solve_band(n, m, factor(store, level), b if last == 0 else view(store, level.b, n, m), u)
    for depth in range(last - 1, first - 1, -1):
        rows[:, 1] = table[depth].n
        correct(b, x_faces, y_faces, store, table, num_sparsified, depth, out, rows)
    if last == 0:
        for i in range(n):
            for j in range(m):
                out[i, j] = u[i + 1, j + 1]
