"""Residual and smoothers of black-box multigrid: Gauss-Seidel by points and lines, Richardson.

The plain twin is `blackbox/relax_reference.py`; arrays and indices are those of `blackbox/box.py`.
`step` are the flat distances to one of each pair of opposite neighbours. A smoother takes the
colours `starts` one after the other: the first index of each colour per axis.
"""

import numpy as np

from ..runtime.jit import inner, jit
from .box_tables import PRESENT, SIZE, STRIDE, N


@inner
def _copy(u, to, source, count):
    """u[to:][:count] = u[source:][:count]; numba's assignment of slices compiles error texts."""
    for k in range(count):
        u[to + k] = u[source + k]


@jit
def sync(u, shape, wrap):
    """Fill the ghosts of periodic axes."""
    s0, s1, s2 = shape[SIZE, 0], shape[SIZE, 1], shape[SIZE, 2]
    if wrap[0]:
        n, plane = shape[N, 0], s1 * s2
        _copy(u, 0, n * plane, plane)
        _copy(u, (n + 1) * plane, plane, (s0 - n - 1) * plane)
    if wrap[1]:
        n = shape[N, 1]
        for i in range(s0):
            start = i * s1 * s2
            _copy(u, start, start + n * s2, s2)
            _copy(u, start + (n + 1) * s2, start + s2, (s1 - n - 1) * s2)
    if wrap[2]:
        n = shape[N, 2]
        for row in range(s0 * s1):
            start = row * s2
            u[start] = u[start + n]
            _copy(u, start + n + 1, start + 1, s2 - n - 1)


@inner
def row_sum(u, c, step, S, x, m, y):
    """y += Σ c u over the neighbours, for the nodes x .. x+m-1.

    Four pairs of neighbours at a time, then the rest: y is read and written less often.
    """
    k, K = 0, len(step)
    while K - k >= 4:
        o0, o1, o2, o3 = step[k], step[k + 1], step[k + 2], step[k + 3]
        at = k * S + x
        a0, b0 = c[at : at + m], c[at - o0 : at - o0 + m]
        at += S
        a1, b1 = c[at : at + m], c[at - o1 : at - o1 + m]
        at += S
        a2, b2 = c[at : at + m], c[at - o2 : at - o2 + m]
        at += S
        a3, b3 = c[at : at + m], c[at - o3 : at - o3 + m]
        u0, v0 = u[x + o0 : x + o0 + m], u[x - o0 : x - o0 + m]
        u1, v1 = u[x + o1 : x + o1 + m], u[x - o1 : x - o1 + m]
        u2, v2 = u[x + o2 : x + o2 + m], u[x - o2 : x - o2 + m]
        u3, v3 = u[x + o3 : x + o3 + m], u[x - o3 : x - o3 + m]
        for q in range(m):
            y[q] += (
                (a0[q] * u0[q] + b0[q] * v0[q])
                + (a1[q] * u1[q] + b1[q] * v1[q])
                + (a2[q] * u2[q] + b2[q] * v2[q])
                + (a3[q] * u3[q] + b3[q] * v3[q])
            )
        k += 4
    if K - k >= 2:
        o0, o1 = step[k], step[k + 1]
        at = k * S + x
        a0, b0 = c[at : at + m], c[at - o0 : at - o0 + m]
        at += S
        a1, b1 = c[at : at + m], c[at - o1 : at - o1 + m]
        u0, v0 = u[x + o0 : x + o0 + m], u[x - o0 : x - o0 + m]
        u1, v1 = u[x + o1 : x + o1 + m], u[x - o1 : x - o1 + m]
        for q in range(m):
            y[q] += (a0[q] * u0[q] + b0[q] * v0[q]) + (a1[q] * u1[q] + b1[q] * v1[q])
        k += 2
    if K - k == 1:
        o0, at = step[k], k * S + x
        a0, b0 = c[at : at + m], c[at - o0 : at - o0 + m]
        u0, v0 = u[x + o0 : x + o0 + m], u[x - o0 : x - o0 + m]
        for q in range(m):
            y[q] += a0[q] * u0[q] + b0[q] * v0[q]


@inner
def limits(shape, first, end):
    """The ranges of i and j that are the rows [first, end), counted from zero."""
    if shape[PRESENT, 0]:
        return first + 1, end + 1, 1, shape[N, 1] + 1
    if shape[PRESENT, 1]:
        return 0, 1, first + 1, end + 1
    return 0, 1, 0, 1


@jit
def relax_points(u, b, c, r, step, shape, wrap, starts, from_zero, y, first, end):
    """Gauss-Seidel at every other node of each axis from a start; these nodes are not neighbours.

    If `from_zero`, u is zero at all nodes of other colours than the first. Here and below,
    [first, end) are the rows to be processed.
    """
    m, S = shape[N, 2], len(u)
    i0, i1, j0, j1 = limits(shape, first, end)
    for colour in range(len(starts)):
        s0, s1, s2 = starts[colour, 0], starts[colour, 1], starts[colour, 2]
        for i in range(i0 + (i0 + s0) % 2, i1, 2):
            for j in range(j0 + (j0 + s1) % 2, j1, 2):
                x = i * shape[STRIDE, 0] + j * shape[STRIDE, 1] + 1
                br, rr, ur = b[x : x + m], r[x : x + m], u[x : x + m]
                for q in range(m):
                    y[q] = br[q]
                if not (from_zero and colour == 0):
                    row_sum(u, c, step, S, x, m, y)
                for q in range(s2 - 1, m, 2):
                    ur[q] = rr[q] * y[q]
        sync(u, shape, wrap)


@inner
def blank(u, x, lead, m):
    """u = 0 at every other of the m nodes from x on."""
    row = u[x : x + m]
    for q in range(lead, m, 2):
        row[q] = 0


@jit
def relax_across(u, b, c, p, step, shape, wrap, axis, starts, from_zero, y, first, end):
    """Solve lines along an axis across the rows; neighbouring lines are adjacent in a row.

    Every other line of each of the other axes, from a start: these lines are not coupled. With
    u = 0 on the lines, Gauss-Seidel with the pivots in place of the diagonal is the forward
    elimination; b and the other lines enter as in Gauss-Seidel. [first, end) are zero-based indices
    along the third axis, or along the rows if there is no third axis.
    """
    S, other = len(u), 1 - axis
    s, n, line = shape[STRIDE, axis], shape[N, axis], (2 - axis) * S
    for colour in range(len(starts)):
        zero = from_zero and colour == 0
        g0, g1, q0, q1 = 0, 1, first, end
        if shape[PRESENT, other]:
            g0, g1, q0, q1 = first + 1, end + 1, 0, shape[N, 2]
            g0 += (g0 + starts[colour, other]) % 2
        m, lead = q1 - q0, (q0 + 1 + starts[colour, 2]) % 2  # the first of the lines in a row
        last = n - 1 if wrap[axis] else n
        for g in range(g0, g1, 2):
            base = g * shape[STRIDE, other] + q0 + 1
            if not zero:
                blank(u, base, lead, m)
                blank(u, base + s, lead, m)
            for i in range(1, last + 1):
                x = base + i * s
                br, pr, ur = b[x : x + m], p[x : x + m], u[x : x + m]
                if zero:
                    cr, before = c[line + x - s : line + x - s + m], u[x - s : x - s + m]
                    for q in range(lead, m, 2):
                        ur[q] = pr[q] * (br[q] + cr[q] * before[q])
                else:
                    blank(u, x + s, lead, m)
                    for q in range(m):
                        y[q] = br[q]
                    row_sum(u, c, step, S, x, m, y)
                    for q in range(lead, m, 2):
                        ur[q] = pr[q] * y[q]
            for i in range(last - 1, 0, -1):
                x = base + i * s
                cr, pr = c[line + x : line + x + m], p[x : x + m]
                ur, behind = u[x : x + m], u[x + s : x + s + m]
                for q in range(lead, m, 2):
                    ur[q] += pr[q] * (cr[q] * behind[q])
            if wrap[axis]:
                x = base + n * s
                end_row, over = u[x : x + m], u[x + s : x + s + m]
                br, pr, ur = b[x : x + m], p[x : x + m], u[base + s : base + s + m]
                for q in range(lead, m, 2):
                    over[q] = ur[q]
                for q in range(m):
                    y[q] = br[q]
                row_sum(u, c, step, S, x, m, y)
                for q in range(lead, m, 2):
                    end_row[q] = pr[q] * y[q]
                for i in range(1, n):
                    x = base + i * s
                    ur, wr = u[x : x + m], p[S + x : S + x + m]
                    for q in range(lead, m, 2):
                        ur[q] += wr[q] * end_row[q]
        sync(u, shape, wrap)


@inner
def substitute(u, c, p, x, n):
    """Solve a line of n nodes along a row from x on; u is first the right-hand side."""
    u[x] *= p[x]
    for q in range(x + 1, x + n):
        u[q] = p[q] * u[q] + p[q] * c[q - 1] * u[q - 1]
    for q in range(x + n - 2, x - 1, -1):
        u[q] += p[q] * c[q] * u[q + 1]


@inner
def substitute_four(u, c, p, x, gap, n):
    """`substitute` for four lines, `gap` apart: independent recurrences hide latency."""
    for k in range(4):
        u[x + k * gap] *= p[x + k * gap]
    a0, a1, a2, a3 = u[x], u[x + gap], u[x + 2 * gap], u[x + 3 * gap]
    for q in range(x + 1, x + n):
        q1, q2, q3 = q + gap, q + 2 * gap, q + 3 * gap
        a0 = p[q] * u[q] + p[q] * c[q - 1] * a0
        a1 = p[q1] * u[q1] + p[q1] * c[q1 - 1] * a1
        a2 = p[q2] * u[q2] + p[q2] * c[q2 - 1] * a2
        a3 = p[q3] * u[q3] + p[q3] * c[q3 - 1] * a3
        u[q], u[q1], u[q2], u[q3] = a0, a1, a2, a3
    for q in range(x + n - 2, x - 1, -1):
        q1, q2, q3 = q + gap, q + 2 * gap, q + 3 * gap
        a0 = u[q] + p[q] * c[q] * a0
        a1 = u[q1] + p[q1] * c[q1] * a1
        a2 = u[q2] + p[q2] * c[q2] * a2
        a3 = u[q3] + p[q3] * c[q3] * a3
        u[q], u[q1], u[q2], u[q3] = a0, a1, a2, a3


@jit
def relax_along(u, b, c, p, step, shape, wrap, starts, from_zero, y, first, end):
    """Solve lines along the rows, every other one per axis across; [first, end) as for points."""
    n, gap, S = shape[N, 2], 2 * shape[STRIDE, 1], len(u)
    last = n - 1 if wrap[2] else n
    i0, i1, low, j1 = limits(shape, first, end)
    for colour in range(len(starts)):
        j0 = low + (low + starts[colour, 1]) % 2
        count = (j1 - j0 + 1) // 2 if shape[PRESENT, 1] else 1
        for i in range(i0 + (i0 + starts[colour, 0]) % 2, i1, 2):
            x0 = i * shape[STRIDE, 0] + j0 * shape[STRIDE, 1] + 1
            for k in range(count):
                x = x0 + k * gap
                for q in range(n):
                    y[q] = b[x + q]
                if not (from_zero and colour == 0):
                    for q in range(x - 1, x + n + 1):
                        u[q] = 0
                    row_sum(u, c, step, S, x, n, y)
                for q in range(n):
                    u[x + q] = y[q]
                if k % 4 == 3:
                    substitute_four(u, c, p, x - 3 * gap, gap, last)
            for k in range(count // 4 * 4, count):
                substitute(u, c, p, x0 + k * gap, last)
            if not wrap[2]:
                continue
            for k in range(count):  # the last node of each line
                x = x0 + k * gap
                e = x + last
                u[e] = p[e] * (u[e] + c[x - 1] * u[x] + c[e - 1] * u[e - 1])
                for q in range(x, e):
                    u[q] += p[S + q] * u[e]
        sync(u, shape, wrap)


@jit
def residual(u, b, c, e, has_e, step, shape, out, first, end):
    """out = b - A u at the unknowns; other entries are not changed."""
    m, S = shape[N, 2], len(u)
    i0, i1, j0, j1 = limits(shape, first, end)
    for i in range(i0, i1):
        for j in range(j0, j1):
            x = i * shape[STRIDE, 0] + j * shape[STRIDE, 1] + 1
            br, ur, y = b[x : x + m], u[x : x + m], out[x : x + m]
            if has_e:
                er = e[x : x + m]
                for q in range(m):
                    y[q] = br[q] - er[q] * ur[q]
            else:
                for q in range(m):
                    y[q] = br[q]
            for k in range(len(step)):
                o, at = step[k], k * S + x
                a, d = c[at : at + m], c[at - o : at - o + m]
                ua, ud = u[x + o : x + o + m], u[x - o : x - o + m]
                for q in range(m):
                    y[q] += a[q] * (ua[q] - ur[q]) + d[q] * (ud[q] - ur[q])


@jit
def correct(u, r, res, length, shape, wrap):
    """u += ω D⁻¹ res for the step length ω, after `residual`."""
    m = shape[N, 2]
    last0, last1 = shape[N, 0], shape[N, 1]
    for i in range(shape[PRESENT, 0], last0 + 1):
        for j in range(shape[PRESENT, 1], last1 + 1):
            x = i * shape[STRIDE, 0] + j * shape[STRIDE, 1] + 1
            ur, rr, d = u[x : x + m], r[x : x + m], res[x : x + m]
            for q in range(m):
                ur[q] += length * (rr[q] * d[q])
    sync(u, shape, wrap)


def rows(level: np.void) -> int:
    """The number of rows along the slowest axis that is not missing; a 1D problem has one row."""
    return next((int(level["n"][a]) for a in range(2) if level["present"][a]), 1)


def extent(level: np.void, axis: int) -> int:
    """The number of row indices of a colour: of points (-1), or of lines along an axis."""
    if axis < 0 or axis == 2:
        return rows(level)
    return int(level["n"][1 - axis] if level["present"][1 - axis] else level["n"][2])
