"""Loops of multigrid for stencils of 3^d points (numba); the plain twin is `reference.py`.

Fields are flat (`layout.py`), and a neighbour is a distance between flat indices, so the loops do
not depend on the number of axes. They work on rows: m nodes from each index in `starts`. They start
no threads and release the GIL. Work arrays y are arguments and slices are filled by loops, because
numba's errors about shapes take seconds to compile.
"""

from ..runtime.jit import jit


@jit
def subtract(y, u, a, steps, first, last, x, m):
    """y -= Σ a u over the offsets [first, last) and their opposites, at the nodes x .. x+m-1."""
    for k in range(first, last):
        s, row = steps[k], a[k]
        ahead, behind = row[x : x + m], row[x - s : x - s + m]
        v, w = u[x + s : x + s + m], u[x - s : x - s + m]
        for q in range(m):
            y[q] -= ahead[q] * v[q] + behind[q] * w[q]


@jit
def relax_points(u, b, a, scale, steps, last, starts, m, parity, y):
    """Gauss-Seidel in rows that are not coupled with each other: indices with parity, then others.

    Couplings with other rows are those of the offsets [1, last); offset 0 leads along the row.
    """
    along = a[0]
    for x in starts:
        br = b[x : x + m]
        for q in range(m):
            y[q] = br[q]
        subtract(y, u, a, steps, 1, last, x, m)
        for other in range(2):
            for q in range((parity + other + 1) % 2, m, 2):
                i = x + q
                u[i] = scale[i] * (y[q] - along[i] * u[i + 1] - along[i - 1] * u[i - 1])


@jit
def relax_lines(u, b, a, pivots, steps, slope, colour, colours, n, m, first, last, y):
    """Solve the lines j - slope i = d of one colour, for d in [first, last).

    With u = 0 on these lines, Gauss-Seidel with the pivots in place of the diagonal is the forward
    elimination.
    """
    stride, c = steps[2], a[2 + slope]
    for i in range(1, n + 1):
        low, high = max(1, first + slope * i), min(m + 1, last + slope * i)
        for j in range(low + (colour - low + slope * i) % colours, high, colours):
            u[i * stride + j] = 0
    for i in range(1, n + 1):
        low, high = max(1, first + slope * i), min(m + 1, last + slope * i)
        if low < high:
            x = i * stride + low
            br = b[x : x + high - low]
            for q in range(high - low):
                y[q] = br[q]
            subtract(y, u, a, steps, 0, len(steps), x, high - low)
            for q in range((colour - low + slope * i) % colours, high - low, colours):
                u[x + q] = pivots[x + q] * y[q]
    step = stride + slope
    for i in range(n - 1, 0, -1):
        low, high = max(1, first + slope * i), min(m + 1, last + slope * i)
        start = low + (colour - low + slope * i) % colours
        for x in range(i * stride + start, i * stride + high, colours):
            u[x] -= pivots[x] * c[x] * u[x + step]


@jit
def residual(u, b, a, steps, starts, m, out):
    """out = b - A u in rows."""
    d = a[len(steps)]
    for x in starts:
        y, br, dr, ur = out[x : x + m], b[x : x + m], d[x : x + m], u[x : x + m]
        for q in range(m):
            y[q] = br[q] - dr[q] * ur[q]
        subtract(y, u, a, steps, 0, len(steps), x, m)


@jit
def restrict(r, w, table, cells, nodes, m, stretch, B):
    """B = Pᵀ r in rows of coarse nodes: `cells` their indices, `nodes` those of fine nodes 2I."""
    for row in range(len(cells)):
        X, x = cells[row], nodes[row]
        y = B[X : X + m]
        for q in range(m):
            y[q] = 0
        for t in range(len(table)):
            at = X - table[t, 1]
            weight, value = w[t, at : at + m], r[x + table[t, 2] :]
            if stretch == 2:
                for q in range(m):
                    y[q] += weight[q] * value[2 * q]
            else:
                for q in range(m):
                    y[q] += weight[q] * value[q]


@jit
def prolong(U, w, table, cells, nodes, m, stretch, u, y):
    """u += P U in rows of cells: `cells` their indices, `nodes` those of fine nodes 2I."""
    for row in range(len(cells)):
        X, x = cells[row], nodes[row]
        for q in range(m):
            y[q] = 0
        for t in range(len(table)):
            weight, value = w[t, X : X + m], U[X + table[t, 1] : X + table[t, 1] + m]
            for q in range(m):
                y[q] += weight[q] * value[q]
            if t + 1 < len(table) and table[t + 1, 0] == table[t, 0]:
                continue  # the same fine nodes, another corner
            out = u[x + table[t, 0] :]
            for q in range(m):
                out[stretch * q] += y[q]
                y[q] = 0


@jit
def galerkin(a, w, table, cells, nodes, m, stretch, out):
    """The entries of Pᵀ A P in rows of coarse nodes (`layout.galerkin`)."""
    for row in range(len(cells)):
        X, x = cells[row], nodes[row]
        for t in range(len(table)):
            y, fine = out[table[t, 0], X : X + m], a[table[t, 3], x + table[t, 4] :]
            left, right = X + table[t, 2], X + table[t, 6]
            v1, v2 = w[table[t, 1], left : left + m], w[table[t, 5], right : right + m]
            if stretch == 2:
                for q in range(m):
                    y[q] += v1[q] * v2[q] * fine[2 * q]
            else:
                for q in range(m):
                    y[q] += v1[q] * v2[q] * fine[q]
