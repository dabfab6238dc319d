"""Fused loops of black-box multigrid where it is wanted most: a plane, not periodic (numba).

The plain twin, which says what is computed and why, is `blackbox_reference.py`; the tests compare
the two. `blackbox.py` does the same for all other cases; on a plane without reaction, coarsened
along both axes, this one sets up five times and solves one and a half times as fast: rows are
pipelined so that a smoothing step, the residual and its restriction read each array once, no work
is done on values that are overwritten, and coarse operators are summed cell by cell from formulas.

Layout as in the twin: nodes (i, j) with i = 0 and i = n+1 (j alike) on the boundary; couplings
cx (i,j)-(i+1,j), cy (i,j)-(i,j+1), cd (i,j)-(i+1,j+1), ca (i+1,j)-(i,j+1); r = 1/diagonal. q is the
weight of (2I, 2J) at the node (2I+1, 2J), w those of the four corners at (2I+1, 2J+1). Capital
letters belong to the coarser level. b and the coarse right-hand side B hold interior nodes only.

All levels live in one flat array; `table` says where (`layout`). Its end, from `kept` on, is for
the set-up alone: a cycle reads the finest couplings from the faces themselves, which have no margin
of zeros. There (i, j) is (i, j - o) for cx and (i - o, j) for cy, o = 1; else o = 0.

One file, because numba's cache of compiled code notices changes only in the file of the function
that is called. Nothing here starts threads, so the loops are safe after fork; they release the GIL,
so that others can give each thread a band of rows (`bands.py`).
"""

from functools import lru_cache

import numba
import numpy as np

from .blackbox_layout import padded

COARSEST = 8  # an axis with at most this many unknowns ends the coarsening, however long the other

# No fastmath: with it the last bits depend on what a function was inlined into, hence on whether
# it was compiled in this process or read from numba's cache, and generated files would differ. It
# gained nothing (a solve at 419 x 419: 32 ms with and without).
_jit = numba.njit(cache=True, nogil=True, error_model="numpy")
_pad = _jit(padded)

# Columns of `table`: unknowns of the level, then offsets into the flat array.
_N, _M, _CX, _CY, _CD, _CA, _R, _U, _B, _Q, _W, _L = range(12)


@lru_cache(maxsize=64)  # a third of the set-up of a small solve
def layout(n: int, m: int, thin: int, direct: int) -> tuple[np.ndarray, int]:
    """Where the arrays of each level start in one flat array, and its length.

    thin: so many coarse levels keep couplings along the axes only (`collapse.py`). direct: unknowns
    times squared band width up to which a level is solved instead of coarsened.
    """
    rows: list[list[int]] = []
    size, last = 0, []

    def take(count: int) -> int:
        nonlocal size
        size += count
        return size - count

    while True:
        coarsest = min(n, m) <= COARSEST or n * m * min(n, m) ** 2 <= direct
        finest = not rows
        nodes = padded(n) * padded(m)
        cells = (n // 2 + 1) * (m // 2 + 1)
        row = [n, m]
        row += [0, 0] if finest else [take(nodes), take(nodes)]
        row += [0, 0] if len(rows) <= thin else [take(nodes), take(nodes)]  # five points
        row += [take(nodes), take(nodes), 0 if finest else take(n * m)]
        lines = 0 if coarsest else (n // 2 + 1) * (m // 2 + 2)
        row += [0 if finest else take(lines), 0 if coarsest else take(4 * cells)]
        row += [take(n * m * (min(n, m) + 2)) if coarsest else 0]
        rows.append(row)
        if finest:
            last = [(_CX, nodes), (_CY, nodes), (_Q, lines)]
        if coarsest:
            for column, count in last:
                rows[0][column] = take(count)
            return np.array(rows, dtype=np.int64), size
        n, m = n // 2, m // 2


def kept(table: np.ndarray) -> int:
    """How much of the flat array a cycle needs."""
    return int(table[0, _CX])


@_jit
def _view(store, offset, rows, cols):
    return store[offset : offset + rows * cols].reshape(rows, cols)


@_jit
def _share(a, b, low, high):
    """a / (a + b), the part of the first of two neighbours; none is negative.

    Where neither couples, halves; but a node beside a side (`low`, `high`) takes the value of
    unknowns alone, for a constant must not leak through a closed side.
    """
    if not a > 0:
        a *= 0
    if not b > 0:
        b *= 0
    if a + b > 0:
        return a / (a + b)
    return 0.5 + 0.5 * high - 0.5 * low


@_jit
def coarsen(n, m, cx, cy, cd, ca, nine, q, w, CX, CY, CD, CA):
    """Interpolation q, w of a level and the couplings of the next, cell by cell.

    `nine` is False on the finest level, where cd and ca do not exist.
    """
    N, M = n // 2, m // 2
    w00, w01, w10, w11 = w[0], w[1], w[2], w[3]
    p0 = np.full(M + 1, 0.5, cx.dtype)
    p1 = np.full(M + 1, 0.5, cx.dtype)
    for I in range(N + 1):
        i = 2 * I
        # Nodes (i+1, j) on lines of coarse nodes along x.
        q[I, 0] = q[I, M + 1] = 0.5
        for J in range(1, M + 1):
            j = 2 * J
            before, after = cx[i, j], cx[i + 1, j]
            if nine:
                before += ca[i, j] + cd[i, j - 1]
                after += cd[i + 1, j] + ca[i + 1, j - 1]
            q[I, J] = _share(before, after, i == 0, i + 2 > n) if i < n else 0.0
            CX[I, J] += cx[i, j] * (1 - q[I, J]) ** 2 + cx[i + 1, j] * q[I, J] ** 2
        # Nodes (i+2, j+1) on lines of coarse nodes along y.
        p0, p1 = p1, p0
        x = i + 2
        for J in range(M + 1):
            j = 2 * J
            p1[J] = 0.5
            if I < N:
                before, after = cy[x, j], cy[x, j + 1]
                if nine:
                    before += cd[x - 1, j] + ca[x, j]
                    after += cd[x, j + 1] + ca[x - 1, j + 1]
                p1[J] = _share(before, after, j == 0, j + 2 > m) if j < m else 0.0
                CY[I + 1, J] += cy[x, j] * (1 - p1[J]) ** 2 + cy[x, j + 1] * p1[J] ** 2
        # Centres (i+1, j+1), and what each coarse cell adds to the couplings of its corners.
        for J in range(M + 1):
            j = 2 * J
            l0, l1 = cx[i, j + 1], cx[i + 1, j + 1]
            k0, k1 = cy[i + 1, j], cy[i + 1, j + 1]
            p, P, r, R = p0[J], p1[J], q[I, J], q[I, J + 1]
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
            else:  # the centre itself lies on the boundary: known, like the corners beyond it
                a00 = 0.0
                a01 = 0.5 if i < n else 0.0
                a10 = 0.5 if j < m else 0.0
                a11 = 1 - a01 - a10
            w00[I, J], w01[I, J], w10[I, J], w11[I, J] = a00, a01, a10, a11
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


@_jit
def invert_diagonal(n, m, cx, cy, cd, ca, nine, r):
    """r = 1 / diagonal at interior nodes; the diagonal is the sum of a node's couplings.

    Where it is zero, at solid nodes, r is as good as zero, but can be divided by.
    """
    nothing = r.dtype.type(1e-30)
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            d = cx[i - 1, j] + cx[i, j] + cy[i, j - 1] + cy[i, j]
            if nine:
                d += cd[i - 1, j - 1] + cd[i, j] + ca[i - 1, j] + ca[i, j - 1]
            r[i, j] = 1 / d if d > 0 else nothing


@_jit
def factor_band(n, m, cx, cy, cd, ca, nine, r, singular, L):
    """Cholesky factor of the coarsest level's band matrix, numbered along the shorter axis.

    L[k, c] = entry (k, k - c); the diagonal is stored inverted. Returns False where A is not
    positive. A `singular` A may be semidefinite: a pivot of round-off is left out, and its unknown
    becomes zero.
    """
    small = 1e-12 if L.itemsize == 8 else 1e-5  # pivots of round-off, against the diagonal
    si, sj = (m, 1) if m <= n else (1, n)
    size, width = n * m, min(n, m) + 1
    L[:] = 0
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
            # (i, j) and (i-1, j+1): the one with the higher number holds the entry.
            if nine and i > 1 and j < m:
                other = k - si + sj
                L[max(k, other), abs(k - other)] = -ca[i - 1, j]
    for k in range(size):
        own = L[k, 0]
        for c in range(min(width, k), -1, -1):
            value = L[k, c]
            for e in range(c + 1, min(width, k) + 1):
                if e - c <= width:
                    value -= L[k, e] * L[k - c, e - c]
            if c > 0:
                L[k, c] = value * L[k - c, 0]
            elif value > (small * own if singular else 0 * own):
                L[k, 0] = 1 / np.sqrt(value)
            elif singular and value >= -100 * small * own:
                L[k, 0] = 0
            else:
                return False
    return True


@_jit
def solve_band(n, m, L, b, u):
    """u = A⁻¹ b on the coarsest level by the factor of `factor_band`."""
    si, sj = (m, 1) if m <= n else (1, n)
    size, width = n * m, min(n, m) + 1
    y = np.empty(size, b.dtype)
    for i in range(n):
        for j in range(m):
            y[i * si + j * sj] = b[i, j]
    for k in range(size):
        value = y[k]
        for c in range(1, min(width, k) + 1):
            value -= L[k, c] * y[k - c]
        y[k] = value * L[k, 0]
    for k in range(size - 1, -1, -1):
        y[k] *= L[k, 0]
        for c in range(1, min(width, k) + 1):
            y[k - c] -= L[k, c] * y[k]
    for i in range(n):
        for j in range(m):
            u[i + 1, j + 1] = y[i * si + j * sj]


@_jit
def _neighbours5(u, cx, cy, o, i, j):
    return (
        cx[i - 1, j - o] * u[i - 1, j]
        + cx[i, j - o] * u[i + 1, j]
        + cy[i - o, j - 1] * u[i, j - 1]
        + cy[i - o, j] * u[i, j + 1]
    )


@_jit
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


@_jit
def descend5(b, u, cx, cy, o, r, w, B, start, end):
    """Red, then black Gauss-Seidel from zero; the rows [start, end) of B = Pᵀ(b - A u).

    After the sweep the residual of a black node is zero and that of a red one is what its black
    neighbours added. Coarse nodes and centres are red, so the weights q of the lines are not
    needed. Beside each other, ranges of B write the same numbers to the rows of u that they share.
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


@_jit
def ascend5(b, u, cx, cy, o, r, w, U, out, rows):
    """u + P U at red nodes, then black, then red Gauss-Seidel; `out` is the result. Finest level.

    Black nodes need no correction: their first step does not read their own value. `rows` are the
    first and the last of these three stages (`bands.py`).
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


@_jit
def relax9(b, u, cx, cy, cd, ca, r, i0, j0, rows):
    """Gauss-Seidel at the nodes (i0, j0) modulo 2, which are not neighbours of each other, from the
    first to the last of `rows`."""
    m = b.shape[1]
    for i in range(rows[0] + (rows[0] + i0) % 2, rows[1] + 1, 2):
        for j in range(j0, m + 1, 2):
            u[i, j] = r[i, j] * (b[i - 1, j - 1] + _neighbours9(u, cx, cy, cd, ca, i, j))


@_jit
def relax_from_zero(b, u, cx, cy, cd, ca, r, rows):
    """Four-colour Gauss-Seidel from zero; `rows` of five stages, the first of which is zero."""
    for i in range(rows[0, 0], rows[0, 1] + 1):
        u[i] = 0
    relax9(b, u, cx, cy, cd, ca, r, 2, 2, rows[1])
    relax9(b, u, cx, cy, cd, ca, r, 1, 1, rows[2])
    relax9(b, u, cx, cy, cd, ca, r, 1, 2, rows[3])
    relax9(b, u, cx, cy, cd, ca, r, 2, 1, rows[4])


@_jit
def restrict9(b, u, cx, cy, cd, ca, r, q, w, B, start, end):
    """The rows [start, end) of B = Pᵀ(b - A u). The last colour's residual is zero."""
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
        if start == I:  # its own row of B belongs to the range before
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


@_jit
def ascend9(b, u, cx, cy, cd, ca, r, q, w, U, rows):
    """u + P U, then four-colour Gauss-Seidel in the reversed order: five stages (`bands.py`).

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


@_jit
def _stencil(store, t, nine):
    """cx, cy, cd, ca of a level; on five points the last two stand for nothing."""
    rows, cols = _pad(t[_N]), _pad(t[_M])
    cx, cy = _view(store, t[_CX], rows, cols), _view(store, t[_CY], rows, cols)
    if not nine:
        return cx, cy, cx, cy
    return cx, cy, _view(store, t[_CD], rows, cols), _view(store, t[_CA], rows, cols)


@_jit
def _weights(store, t, lines=True):
    """q and w of a level that is not the coarsest; without `lines` q stands for nothing."""
    N, M = t[_N] // 2, t[_M] // 2
    size = 4 * (N + 1) * (M + 1)
    q = _view(store, t[_Q] if lines else 0, N + 1, M + 2)
    return q, store[t[_W] : t[_W] + size].reshape(4, N + 1, M + 1)


@_jit
def _factor(store, t):
    return _view(store, t[_L], t[_N] * t[_M], min(t[_N], t[_M]) + 2)


@_jit
def begin(x_faces, y_faces, store, table):
    """The finest level from the couplings at all faces; `store` comes in as zeros."""
    n, m = table[0][_N], table[0][_M]
    cx, cy, _, _ = _stencil(store, table[0], False)
    cx[: n + 1, 1 : m + 1] = x_faces
    cy[1 : n + 1, : m + 1] = y_faces


@_jit
def descend(store, table, level, nine, CX, CY, CD, CA):
    """What a level needs of its own, and the couplings of the next, which come in as zeros."""
    t = table[level]
    n, m = t[_N], t[_M]
    fx, fy, fd, fa = _stencil(store, t, nine)
    invert_diagonal(n, m, fx, fy, fd, fa, nine, _view(store, t[_R], _pad(n), _pad(m)))
    q, w = _weights(store, t)
    coarsen(n, m, fx, fy, fd, fa, nine, q, w, CX, CY, CD, CA)


@_jit
def complete(store, table, first, thin, singular):
    """All levels below `first`, whose couplings are there; those after the first `thin` coarse ones
    have nine points. False where one is not positive definite, or semidefinite if `singular`."""
    last = len(table) - 1
    for level in range(first, last):
        CX, CY, CD, CA = _stencil(store, table[level + 1], level + 1 > thin)
        descend(store, table, level, level > thin, CX, CY, CD, CA)
    t, nine = table[last], last > thin
    n, m = t[_N], t[_M]
    fx, fy, fd, fa = _stencil(store, t, nine)
    r = _view(store, t[_R], _pad(n), _pad(m))
    invert_diagonal(n, m, fx, fy, fd, fa, nine, r)
    return factor_band(n, m, fx, fy, fd, fa, nine, r, singular, _factor(store, t))


@_jit
def setup(x_faces, y_faces, store, table, singular):
    """Fill all levels. False where one is not positive definite, or semidefinite if `singular`."""
    begin(x_faces, y_faces, store, table)
    return complete(store, table, 0, 0, singular)


@_jit
def _level(b, x_faces, y_faces, store, table, thin, level):
    """Right-hand side, u, couplings, their offset and 1 / diagonal of a level, and its weights."""
    t = table[level]
    n, m = t[_N], t[_M]
    if level == 0:
        fx, fy, fd, fa = x_faces, y_faces, x_faces, y_faces
    else:
        fx, fy, fd, fa = _stencil(store, t, level > thin)
        b = _view(store, t[_B], n, m)
    r = _view(store, t[_R], _pad(n), _pad(m))
    u = _view(store, t[_U], _pad(n), _pad(m))
    q, w = _weights(store, t, level > 0)
    return b, u, fx, fy, fd, fa, 1 if level == 0 else 0, r, q, w


@_jit
def relax(b, x_faces, y_faces, store, table, thin, level, rows):
    """The sweep from zero on a level of nine points."""
    b, u, fx, fy, fd, fa, _, r, _, _ = _level(b, x_faces, y_faces, store, table, thin, level)
    relax_from_zero(b, u, fx, fy, fd, fa, r, rows)


@_jit
def restrict(b, x_faces, y_faces, store, table, thin, level, start, end):
    """Rows of the next level's right-hand side; on five points the sweep from zero goes with it."""
    b, u, fx, fy, fd, fa, o, r, q, w = _level(b, x_faces, y_faces, store, table, thin, level)
    T = table[level + 1]
    B = _view(store, T[_B], T[_N], T[_M])
    if level <= thin:
        descend5(b, u, fx, fy, o, r, w, B, start, end)
    else:
        restrict9(b, u, fx, fy, fd, fa, r, q, w, B, start, end)


@_jit
def correct(b, x_faces, y_faces, store, table, thin, level, out, rows):
    """Correction and sweep on a level; `out` is the result on the finest."""
    b, u, fx, fy, fd, fa, o, r, q, w = _level(b, x_faces, y_faces, store, table, thin, level)
    T = table[level + 1]
    U = _view(store, T[_U], _pad(T[_N]), _pad(T[_M]))
    if level > thin:
        ascend9(b, u, fx, fy, fd, fa, r, q, w, U, rows)
    else:  # below the finest, rows of b serve as `out`: they are not read any more
        ascend5(b, u, fx, fy, o, r, w, U, out if level == 0 else b, rows)


@_jit
def cycle(b, x_faces, y_faces, store, table, thin, first, out):
    """out = M b: one symmetric V(1,1) cycle from zero; `thin` coarse levels have five points.

    Levels above `first` have been and will be visited by others (`relax`, `restrict`, `correct`).
    """
    last = len(table) - 1
    rows = np.ones((5, 2), np.int64)
    for level in range(first, last):
        if level > thin:
            rows[:, 1] = table[level, _N]
            relax(b, x_faces, y_faces, store, table, thin, level, rows)
        restrict(b, x_faces, y_faces, store, table, thin, level, 0, table[level + 1, _N])
    t = table[last]
    n, m = t[_N], t[_M]
    u = _view(store, t[_U], _pad(n), _pad(m))
    solve_band(n, m, _factor(store, t), b if last == 0 else _view(store, t[_B], n, m), u)
    for level in range(last - 1, first - 1, -1):
        rows[:, 1] = table[level, _N]
        correct(b, x_faces, y_faces, store, table, thin, level, out, rows)
    if last == 0:
        for i in range(n):
            for j in range(m):
                out[i, j] = u[i + 1, j + 1]
