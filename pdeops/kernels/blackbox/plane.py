"""Loops of black-box multigrid in a plane without periodic axes, the most frequent case (numba).

The plain twin, which explains the method, is `blackbox/reference.py`. `blackbox/box.py` computes
the same for all other cases. On a plane without excess that is coarsened along both axes, the
set-up here is five times and a cycle 1.5 times as fast: rows are pipelined, so that a smoothing
step, the residual and its restriction read each array once; values that would be overwritten are
not computed; and coarse operators are summed cell by cell from formulas. `blackbox/plane_layout.py`
describes the arrays, the set-up is in `blackbox/plane_setup.py`.

The loops start no threads, so they are safe after a fork, and release the GIL: each thread can
take a block of rows (`runtime/row_blocks.py`). Each is called from Python, level by level
(`plane_hierarchy.py`): a call costs less than 1 µs, and a compiled function that contained them
would be compiled for as long as all of them together. They allocate nothing: `lines` are two rows
of a field, initially zero.
"""

import numpy as np

from ..runtime.jit import inner, jit
from .band import substitute_both

# The colours of four-colour Gauss-Seidel, (i, j) modulo 2: nodes of one colour are not neighbours.
COLOURS = np.array([(2, 2), (1, 1), (1, 2), (2, 1)])
REVERSED = COLOURS[::-1].copy()


@jit
def solve_band(L, b, y, u):
    """u = A⁻¹ b on the coarsest level by the factor of `factor_band`; `y` is a vector."""
    n, m = b.shape
    si, sj = (m, 1) if m <= n else (1, n)
    for i in range(n):
        for j in range(m):
            y[i * si + j * sj] = b[i, j]
    substitute_both(L, y)
    for i in range(n):
        for j in range(m):
            u[i + 1, j + 1] = y[i * si + j * sj]


@inner
def _neighbours5(u, cx, cy, o, i, j):
    return (
        cx[i - 1, j - o] * u[i - 1, j]
        + cx[i, j - o] * u[i + 1, j]
        + cy[i - o, j - 1] * u[i, j - 1]
        + cy[i - o, j] * u[i, j + 1]
    )


@inner
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


@inner
def _residual9(b, u, cx, cy, cd, ca, r, i, j):
    return b[i - 1, j - 1] + _neighbours9(u, cx, cy, cd, ca, i, j) - u[i, j] / r[i, j]


@jit
def descend5(b, u, cx, cy, o, r, w, B, lines, start, end):
    """Red, then black Gauss-Seidel from zero; the rows [start, end) of B = Pᵀ(b - A u).

    After the sweep the residual of a black node is zero, and that of a red node is the sum over its
    black neighbours. Coarse nodes and centres are red, so the weights q are not needed. Adjacent
    ranges of B write the same numbers to the rows of u that both need, so they may run in parallel.
    `lines[I % 2]` is the residual at the centres of the cells between the coarse rows I and I + 1.
    """
    n, m = b.shape
    M = B.shape[1]
    first = 2 * start + 1  # the rows whose residual B takes
    last = 2 * end + 1 if 2 * end + 1 < n else n
    for i in range(first - 2 if start > 0 else 1, last + 3):
        if i <= n:
            for j in range(2 - i % 2, m + 1, 2):
                u[i, j] = r[i, j] * b[i - 1, j - 1]
        k = i - 1
        if 1 <= k <= n and k >= first - 1:
            for j in range(1 + k % 2, m + 1, 2):
                u[k, j] = r[k, j] * (b[k - 1, j - 1] + _neighbours5(u, cx, cy, o, k, j))
        k = i - 2
        if k < first:
            continue
        I = k // 2
        if k % 2 == 0:
            before = 1 - I % 2
            for J in range(1, M + 1):
                B[I - 1, J - 1] = _neighbours5(u, cx, cy, o, k, 2 * J) + (
                    w[2, I - 1, J] * lines[before, J] + w[3, I - 1, J - 1] * lines[before, J - 1]
                )
            continue
        here = I % 2
        for J in range((m + 1) // 2):
            lines[here, J] = _neighbours5(u, cx, cy, o, k, 2 * J + 1)
        if start < I <= end:
            for J in range(1, M + 1):
                B[I - 1, J - 1] += w[0, I, J] * lines[here, J] + w[1, I, J - 1] * lines[here, J - 1]


@inner
def correct_centres(u, m, w, U, i):
    """u + P U at the centres of the coarse cells in row i, which is odd."""
    I = i // 2
    for J in range((m + 1) // 2):
        u[i, 2 * J + 1] += (
            w[0, I, J] * U[I, J]
            + w[1, I, J] * U[I, J + 1]
            + w[2, I, J] * U[I + 1, J]
            + w[3, I, J] * U[I + 1, J + 1]
        )


@jit
def ascend5(b, u, cx, cy, o, r, w, U, out, rows):
    """u + P U at red nodes, then black, then red Gauss-Seidel; `out` is the result. Finest level.

    Black nodes need no correction: their first step does not read their own value. `rows` are the
    first and the last row of these three stages (`runtime/row_blocks.py`).
    """
    m = b.shape[1]
    begin = rows[0, 0]  # the first row of a stage is at most two rows after that of the one before
    if rows[1, 0] + 1 < begin:
        begin = rows[1, 0] + 1
    if rows[2, 0] + 2 < begin:
        begin = rows[2, 0] + 2
    for i in range(begin, rows[2, 1] + 3):
        I = i // 2
        if rows[0, 0] <= i <= rows[0, 1]:
            if i % 2 == 0:
                for J in range(1, m // 2 + 1):
                    u[i, 2 * J] += U[I, J]
            else:
                correct_centres(u, m, w, U, i)
        for stage in range(1, 3):
            k = i - stage
            if rows[stage, 0] <= k <= rows[stage, 1]:
                for j in range(1 + (k + stage + 1) % 2, m + 1, 2):
                    u[k, j] = r[k, j] * (b[k - 1, j - 1] + _neighbours5(u, cx, cy, o, k, j))
                if stage == 2:
                    for j in range(m):
                        out[k - 1, j] = u[k, j + 1]


@jit
def sweep9(b, u, cx, cy, cd, ca, r, colours, from_zero, rows):
    """Four-colour Gauss-Seidel, in stages 1 to 4 of `rows`; stage 0 sets u = 0 if `from_zero`."""
    m = b.shape[1]
    if from_zero:
        for i in range(rows[0, 0], rows[0, 1] + 1):
            for j in range(u.shape[1]):
                u[i, j] = 0
    for stage in range(4):
        i0, j0 = colours[stage, 0], colours[stage, 1]
        first, last = rows[stage + 1, 0], rows[stage + 1, 1]
        for i in range(first + (first + i0) % 2, last + 1, 2):
            for j in range(j0, m + 1, 2):
                u[i, j] = r[i, j] * (b[i - 1, j - 1] + _neighbours9(u, cx, cy, cd, ca, i, j))


@jit
def restrict9(b, u, cx, cy, cd, ca, r, q, w, B, lines, start, end):
    """The rows [start, end) of B = Pᵀ(b - A u). The residual of the last colour is zero.

    `lines[I % 2, j]` is the residual at (2I + 1, j).
    """
    n, m = b.shape
    M = B.shape[1]
    for I in range(start, end + 1):
        here, before = I % 2, 1 - I % 2
        i = 2 * I + 1
        if i <= n:
            for j in range(1, m + 1):
                lines[here, j] = _residual9(b, u, cx, cy, cd, ca, r, i, j)
        else:
            for j in range(1, m + 1):
                lines[here, j] = 0
        if start == I:  # this row of B belongs to the range before
            continue
        i = 2 * I
        for J in range(1, M + 1):
            j = 2 * J
            B[I - 1, J - 1] = (
                _residual9(b, u, cx, cy, cd, ca, r, i, j)
                + q[I, J] * lines[here, j]
                + (1 - q[I - 1, J]) * lines[before, j]
                + w[0, I, J] * lines[here, j + 1]
                + w[1, I, J - 1] * lines[here, j - 1]
                + w[2, I - 1, J] * lines[before, j + 1]
                + w[3, I - 1, J - 1] * lines[before, j - 1]
            )


@jit
def correct9(u, m, q, w, U, rows):
    """u + P U, in stage 0 of `rows`, at all nodes but those of the colour that is relaxed next:
    its step does not read its own value."""
    for i in range(rows[0, 0], rows[0, 1] + 1):
        I = i // 2
        if i % 2 == 0:
            for J in range(1, m // 2 + 1):
                u[i, 2 * J] += U[I, J]
            continue
        for J in range(1, m // 2 + 1):
            u[i, 2 * J] += q[I, J] * U[I, J] + (1 - q[I, J]) * U[I + 1, J]
        correct_centres(u, m, w, U, i)
