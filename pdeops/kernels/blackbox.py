"""Fused loops of black-box multigrid in one to three dimensions, any boundary (numba).

The plain twin, which says what is computed and why, is `blackbox_reference.py`; the tests compare
the two. A level is described by a row of `table`, and all its arrays lie in one flat `store`
(`blackbox_layout.py`); fields have three axes here, of which leading ones may be missing: those
hold one node at index 0 and no ghosts. Present axes hold the unknowns at 1 .. n between their
ghosts.

Loops run over whole rows, so that they are vectorised, and write every other node; a sum over the
points of the stencil is a sum over rows, so one code serves 3, 5, 7, 9 and 27 points.

One dispatch for a whole set-up and for a whole cycle; set-up is in `blackbox_setup.py`. Numba's
cache of compiled code notices changes in the file of the function that is called, not in those it
calls: `cycle` and `setup` are called, each from its own file, and all they use stands in the same
file or in `blackbox_layout.py`, which holds plain constants.

No fastmath: the last bits must not depend on whether a function was compiled in this process or
read from the cache. Nothing here starts threads, so the loops are safe after fork; they release the
GIL.
"""

import numba
import numpy as np

from .blackbox_layout import (
    ASCEND,
    B_,
    C_,
    COARSEN,
    E_,
    EXACT,
    F_,
    K_,
    L_,
    N_,
    P_,
    PRESENT,
    PROLONG,
    R_,
    RESTRICT,
    S_,
    SIZE,
    START,
    STRIDE,
    U_,
    W_,
)

_jit = numba.njit(cache=True, nogil=True, error_model="numpy")


@_jit
def sync(u, t, wrap):
    """Fill the ghosts of periodic axes."""
    s0, s1, s2 = t[SIZE], t[SIZE + 1], t[SIZE + 2]
    v = u.reshape(s0, s1, s2)
    if wrap[0]:
        n = t[N_]
        v[0] = v[n]
        for g in range(n + 1, s0):
            v[g] = v[g - n]
    if wrap[1]:
        n = t[N_ + 1]
        for i in range(s0):
            v[i, 0] = v[i, n]
            for g in range(n + 1, s1):
                v[i, g] = v[i, g - n]
    if wrap[2]:
        n = t[N_ + 2]
        for i in range(s0):
            for j in range(s1):
                v[i, j, 0] = v[i, j, n]
                for g in range(n + 1, s2):
                    v[i, j, g] = v[i, j, g - n]


@_jit
def steps(t, offsets, out):
    """Distances of the stencil's half of neighbours in a flat array; how many there are."""
    for k in range(t[K_]):
        out[k] = 0
        for a in range(3):
            out[k] += offsets[k, a] * t[STRIDE + a]
    return t[K_]


@_jit
def row_sum(u, c, step, K, S, x, m, y):
    """y += the couplings of the nodes x .. x+m-1 times their neighbours' values; by fours, then one
    by one: y is read and written less often."""
    k = 0
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


@_jit
def rows(t):
    """How many there are along the slowest axis that is not missing; a line is one row."""
    return t[N_] if t[PRESENT] else (t[N_ + 1] if t[PRESENT + 1] else 1)


@_jit
def limits(t, first, end):
    """Where i and j begin and end in the rows [first, end), counted from zero."""
    if t[PRESENT]:
        return first + 1, end + 1, 1, t[N_ + 1] + 1
    if t[PRESENT + 1]:
        return 0, 1, first + 1, end + 1
    return 0, 1, 0, 1


@_jit
def relax_points(u, b, c, r, step, K, S, t, start, alone, y, first, end):
    """Gauss-Seidel at every other node of each axis from `start`; these are no neighbours.

    `alone` says that all others are zero. Here and below [first, end) are the rows to be done.
    """
    m = t[N_ + 2]
    i0, i1, j0, j1 = limits(t, first, end)
    for i in range(i0 + (i0 + start[0]) % 2, i1, 2):
        for j in range(j0 + (j0 + start[1]) % 2, j1, 2):
            x = i * t[STRIDE] + j * t[STRIDE + 1] + 1
            br, rr, ur = b[x : x + m], r[x : x + m], u[x : x + m]
            for q in range(m):
                y[q] = br[q]
            if not alone:
                row_sum(u, c, step, K, S, x, m, y)
            for q in range(start[2] - 1, m, 2):
                ur[q] = rr[q] * y[q]


@_jit
def relax_across(u, b, c, p, step, K, S, t, wrap, axis, start, alone, y, first, end):
    """Lines along an axis that rows of memory do not follow, side by side in a row; every other
    one of each other axis from `start`: these do not touch.

    With u = 0 on its lines, a sweep of Gauss-Seidel with pivots for the diagonal is the elimination
    of their unknowns; b and the neighbours on other lines come in as they do there. [first, end)
    are the indices to be done, from zero, along the other axis of the two that rows do not follow;
    if there is none, along the rows.
    """
    s, n, line = t[STRIDE + axis], t[N_ + axis], (2 - axis) * S
    other = 1 - axis
    g0, g1, q0, q1 = 0, 1, first, end
    if t[PRESENT + other]:
        g0, g1, q0, q1 = first + 1, end + 1, 0, t[N_ + 2]
        g0 += (g0 + start[other]) % 2
    m, odd = q1 - q0, (q0 + 1 + start[2]) % 2  # the first of the lines in a row
    last = n - 1 if wrap[axis] else n
    for g in range(g0, g1, 2):
        base = g * t[STRIDE + other] + q0 + 1
        if not alone:
            for i in range(n + 2):
                row = u[base + i * s : base + i * s + m]
                for q in range(odd, m, 2):
                    row[q] = 0
        for i in range(1, last + 1):
            x = base + i * s
            br, pr, ur = b[x : x + m], p[x : x + m], u[x : x + m]
            if alone:
                cr, before = c[line + x - s : line + x - s + m], u[x - s : x - s + m]
                for q in range(odd, m, 2):
                    ur[q] = pr[q] * (br[q] + cr[q] * before[q])
            else:
                for q in range(m):
                    y[q] = br[q]
                row_sum(u, c, step, K, S, x, m, y)
                for q in range(odd, m, 2):
                    ur[q] = pr[q] * y[q]
        for i in range(last - 1, 0, -1):
            x = base + i * s
            cr, pr = c[line + x : line + x + m], p[x : x + m]
            ur, behind = u[x : x + m], u[x + s : x + s + m]
            for q in range(odd, m, 2):
                ur[q] += pr[q] * (cr[q] * behind[q])
        if wrap[axis]:
            x = base + n * s
            end_row, over = u[x : x + m], u[x + s : x + s + m]
            br, pr, ur = b[x : x + m], p[x : x + m], u[base + s : base + s + m]
            for q in range(odd, m, 2):
                over[q] = ur[q]
            for q in range(m):
                y[q] = br[q]
            row_sum(u, c, step, K, S, x, m, y)
            for q in range(odd, m, 2):
                end_row[q] = pr[q] * y[q]
            for i in range(1, n):
                x = base + i * s
                ur, wr = u[x : x + m], p[S + x : S + x + m]
                for q in range(odd, m, 2):
                    ur[q] += wr[q] * end_row[q]


@_jit
def relax_along(u, b, c, p, step, K, S, t, wrap, start, alone, y, first, end):
    """The same for lines along the rows of memory; [first, end) as for points."""
    n = t[N_ + 2]
    last = n - 1 if wrap[2] else n
    i0, i1, j0, j1 = limits(t, first, end)
    for i in range(i0 + (i0 + start[0]) % 2, i1, 2):
        for j in range(j0 + (j0 + start[1]) % 2, j1, 2):
            x = i * t[STRIDE] + j * t[STRIDE + 1] + 1
            ur, pr, cr = u[x : x + n], p[x : x + n], c[x : x + n]
            for q in range(n):
                y[q] = b[x + q]
            if not alone:
                u[x - 1 : x + n + 1] = 0
                row_sum(u, c, step, K, S, x, n, y)
            ur[0] = pr[0] * y[0]
            for q in range(1, last):
                ur[q] = pr[q] * (y[q] + cr[q - 1] * ur[q - 1])
            for q in range(last - 2, -1, -1):
                ur[q] += pr[q] * (cr[q] * ur[q + 1])
            if wrap[2]:
                value = pr[n - 1] * (y[n - 1] + c[x - 1] * ur[0] + cr[n - 2] * ur[n - 2])
                wr = p[S + x : S + x + n]
                for q in range(n - 1):
                    ur[q] += wr[q] * value
                ur[n - 1] = value


@_jit
def relax(u, b, c, store, step, K, S, t, wrap, what, alone, y, first, end):
    """One step of a sweep (`blackbox_layout.sweep`): a colour of points, or of lines."""
    axis, start = what[0], what[1:]
    if axis < 0:
        r = store[t[R_] : t[R_] + S]
        relax_points(u, b, c, r, step, K, S, t, start, alone, y, first, end)
        return
    p = store[t[P_ + axis] : t[P_ + axis] + (2 if wrap[axis] else 1) * S]
    if axis == 2:
        relax_along(u, b, c, p, step, K, S, t, wrap, start, alone, y, first, end)
    else:
        relax_across(u, b, c, p, step, K, S, t, wrap, axis, start, alone, y, first, end)


@_jit
def extent(t, axis):
    """How many indices a step of a sweep can be divided by: points, or lines along an axis."""
    if axis < 0 or axis == 2:
        return rows(t)
    return t[N_ + 1 - axis] if t[PRESENT + 1 - axis] else t[N_ + 2]


@_jit
def smooth(u, b, c, store, step, K, S, t, wrap, sweep, backward, from_zero, y):
    """One sweep, its steps in their order or in the reversed one."""
    for s in range(len(sweep)):
        what = sweep[len(sweep) - 1 - s] if backward else sweep[s]
        alone = from_zero and s == 0
        relax(u, b, c, store, step, K, S, t, wrap, what, alone, y, 0, extent(t, what[0]))
        sync(u, t, wrap)


@_jit
def residual(u, b, c, e, has_e, step, K, S, t, out, first, end):
    """out = b - A u at the unknowns; other entries are left as they are: zero, or ghosts."""
    m = t[N_ + 2]
    i0, i1, j0, j1 = limits(t, first, end)
    for i in range(i0, i1):
        for j in range(j0, j1):
            x = i * t[STRIDE] + j * t[STRIDE + 1] + 1
            br, ur, y = b[x : x + m], u[x : x + m], out[x : x + m]
            if has_e:
                er = e[x : x + m]
                for q in range(m):
                    y[q] = br[q] - er[q] * ur[q]
            else:
                for q in range(m):
                    y[q] = br[q]
            for k in range(K):
                o, at = step[k], k * S + x
                a, d = c[at : at + m], c[at - o : at - o + m]
                ua, ud = u[x + o : x + o + m], u[x - o : x - o + m]
                for q in range(m):
                    y[q] += a[q] * (ua[q] - ur[q]) + d[q] * (ud[q] - ur[q])


@_jit
def richardson(u, b, c, e, has_e, r, step, K, S, t, wrap, res, lengths):
    """u += ω D⁻¹ (b - A u) for each step length ω."""
    m = t[N_ + 2]
    for s in range(len(lengths)):
        residual(u, b, c, e, has_e, step, K, S, t, res, 0, rows(t))
        i0, i1, j0, j1 = limits(t, 0, rows(t))
        for i in range(i0, i1):
            for j in range(j0, j1):
                x = i * t[STRIDE] + j * t[STRIDE + 1] + 1
                ur, rr, d = u[x : x + m], r[x : x + m], res[x : x + m]
                for q in range(m):
                    ur[q] += lengths[s] * (rr[q] * d[q])
        sync(u, t, wrap)


@_jit
def digits(code, t, out):
    """The ternary digits of a weight: per axis 0 at even nodes, 1 and 2 from the low and the high
    coarse node to the odd node between them; always 0 on an axis that is not coarsened."""
    for a in range(2, -1, -1):
        out[a] = 0
        if t[COARSEN + a]:
            out[a] = code % 3
            code //= 3


@_jit
def restrict(res, w, num_weights, t, T, B, first, end):
    """B = Pᵀ res at the coarse unknowns; `res` with its ghosts."""
    d = np.empty(3, np.int64)
    M = T[N_ + 2]
    I0, I1, J0, J1 = limits(T, first, end)
    for I in range(I0, I1):
        for J in range(J0, J1):
            X = I * T[STRIDE] + J * T[STRIDE + 1] + 1
            out = B[X : X + M]
            for code in range(num_weights):
                digits(code, t, d)
                x, at = 0, code * T[S_] + X
                for a in range(3):
                    P = I if a == 0 else (J if a == 1 else 1)
                    if t[COARSEN + a]:
                        x += (2 * P + (d[a] == 1) - (d[a] == 2)) * t[STRIDE + a]
                        at -= (d[a] == 2) * T[STRIDE + a]
                    else:
                        x += P * t[STRIDE + a]
                if t[COARSEN + 2]:
                    fine = res[x : x + 2 * M - 1 : 2]
                else:
                    fine = res[x : x + M : 1]
                if code == 0:
                    for q in range(M):
                        out[q] = fine[q]
                else:
                    weight = w[at : at + M]
                    for q in range(M):
                        out[q] += weight[q] * fine[q]


@_jit
def prolong(U, w, num_weights, t, T, u, low, end):
    """u += P U at the unknowns between the coarse rows [low, end), of which row 0 is the side."""
    d = np.empty(3, np.int64)
    first = np.empty(3, np.int64)
    last = np.empty(3, np.int64)
    slowest = 0 if t[PRESENT] else 1
    for code in range(num_weights):
        digits(code, t, d)
        shift = 0  # to the coarse node that the weight belongs to
        for a in range(3):
            n = t[N_ + a]
            if not t[PRESENT + a]:
                first[a], last[a] = 0, 0
            elif not t[COARSEN + a]:
                first[a], last[a] = 1, n
            elif d[a] == 0:
                first[a], last[a] = 1, n // 2
            else:
                first[a], last[a] = 0, (n - 1) // 2
                shift += (d[a] == 2) * T[STRIDE + a]
            if a == slowest and t[PRESENT + a]:
                first[a], last[a] = max(first[a], low), min(last[a], end - 1)
        M = last[2] - first[2] + 1
        for I in range(first[0], last[0] + 1):
            for J in range(first[1], last[1] + 1):
                X, x = 0, 0
                for a in range(3):
                    P = I if a == 0 else (J if a == 1 else first[2])
                    X += P * T[STRIDE + a]
                    x += (2 * P + (d[a] > 0) if t[COARSEN + a] else P) * t[STRIDE + a]
                if t[COARSEN + 2]:
                    fine = u[x : x + 2 * M - 1 : 2]
                else:
                    fine = u[x : x + M : 1]
                coarse = U[X + shift : X + shift + M]
                if code == 0:
                    for q in range(M):
                        fine[q] += coarse[q]
                else:
                    at = code * T[S_] + X
                    weight = w[at : at + M]
                    for q in range(M):
                        fine[q] += weight[q] * coarse[q]


@_jit
def solve_band(L, number, b, u):
    """u = A⁻¹ b on the coarsest level by the factor of `factor_band`; ghosts included."""
    size, width = L.shape
    y = np.zeros(size, b.dtype)
    for x in range(len(number)):
        # A ghost has the number of its unknown, but b is right at the unknown only, which stands at
        # the smallest index but for ghosts at the low end: those are numbered below -1.
        if number[x] >= 0:
            y[number[x]] = b[x]
    for k in range(size):
        value = y[k]
        for c in range(1, min(width - 1, k) + 1):
            value -= L[k, c] * y[k - c]
        y[k] = value * L[k, 0]
    for k in range(size - 1, -1, -1):
        y[k] *= L[k, 0]
        for c in range(1, min(width - 1, k) + 1):
            y[k - c] -= L[k, c] * y[k]
    for x in range(len(number)):
        if number[x] >= 0:
            u[x] = y[number[x]]
        elif number[x] < -1:
            u[x] = y[-2 - number[x]]


@_jit
def fill(u, value):
    for x in range(len(u)):
        u[x] = value


@_jit
def load(b, store, table):
    """b to the finest level."""
    t = table[0]
    B = store[t[B_] : t[B_] + t[S_]].reshape(t[SIZE], t[SIZE + 1], t[SIZE + 2])
    n0, n1, n2 = b.shape
    p0, p1 = t[PRESENT], t[PRESENT + 1]
    for i in range(n0):
        for j in range(n1):
            for k in range(n2):
                B[i + p0, j + p1, k + 1] = b[i, j, k]


@_jit
def unload(store, table, out):
    """out = u of the finest level."""
    t = table[0]
    u = store[t[U_] : t[U_] + t[S_]].reshape(t[SIZE], t[SIZE + 1], t[SIZE + 2])
    n0, n1, n2 = out.shape
    p0, p1 = t[PRESENT], t[PRESENT + 1]
    for i in range(n0):
        for j in range(n1):
            for k in range(n2):
                out[i, j, k] = u[i + p0, j + p1, k + 1]


@_jit
def own(store, t, has_e):
    """u, right-hand side, couplings, reaction, 1 / diagonal and residual of a level."""
    S = t[S_]
    u, b = store[t[U_] : t[U_] + S], store[t[B_] : t[B_] + S]
    c, e = store[t[C_] : t[C_] + t[K_] * S], store[t[E_] : t[E_] + (S if has_e else 0)]
    return u, b, c, e, store[t[R_] : t[R_] + S], store[t[F_] : t[F_] + S]


@_jit
def below(store, t, T):
    """u and right-hand side of the next level, and the weights of P from it."""
    S = T[S_]
    U, B = store[T[U_] : T[U_] + S], store[T[B_] : T[B_] + S]
    return U, B, store[t[W_] : t[W_] + t[W_ + 1] * S]


@_jit
def visit(store, table, offsets, sweep, number, wrap, has_e, schedule, sweeps, lengths):
    """The steps of `schedule`, pairs of what to do and on which level."""
    pre, post, mirrored = sweeps
    swept = len(lengths) == 0
    step = np.empty(len(offsets), np.int64)
    y = np.empty(table[0, N_ + 2] + 2, store.dtype)
    for s in range(len(schedule)):
        what, level = schedule[s, 0], schedule[s, 1]
        t = table[level]
        S = t[S_]
        u, b, c, e, r, res = own(store, t, has_e)
        if what == EXACT:
            size, width = t[L_ + 1], t[L_ + 2]
            L = store[t[L_] : t[L_] + size * width].reshape(size, width)
            solve_band(L, number, b, u)
            continue
        T = table[level + 1]
        K = steps(t, offsets, step)
        U, B, w = below(store, t, T)
        if what == RESTRICT:
            sync(b, t, wrap)
            restrict(b, w, t[W_ + 1], t, T, B, 0, rows(T))
        elif what == PROLONG:
            fill(u, 0)
            prolong(U, w, t[W_ + 1], t, T, u, 0, rows(T) + 1)
            sync(u, t, wrap)
        elif what == ASCEND:
            prolong(U, w, t[W_ + 1], t, T, u, 0, rows(T) + 1)
            sync(u, t, wrap)
            for _ in range(post):
                if swept:
                    smooth(u, b, c, store, step, K, S, t, wrap, sweep, mirrored, False, y)
                else:
                    richardson(u, b, c, e, has_e, r, step, K, S, t, wrap, res, lengths)
        else:
            if what == START:
                fill(u, 0)
            for k in range(pre):
                zero = what == START and k == 0
                if swept:
                    smooth(u, b, c, store, step, K, S, t, wrap, sweep, False, zero, y)
                else:
                    richardson(u, b, c, e, has_e, r, step, K, S, t, wrap, res, lengths)
            residual(u, b, c, e, has_e, step, K, S, t, res, 0, rows(t))
            sync(res, t, wrap)
            restrict(res, w, t[W_ + 1], t, T, B, 0, rows(T))


@_jit
def cycle(b, store, table, offsets, sweep, number, wrap, has_e, schedule, sweeps, lengths, out):
    """out = M b: from zero through the steps of `schedule`.

    sweeps: before and after the correction; whether they are reversed after it. lengths: of
    the steps of damped Jacobi or Chebyshev that are one sweep; empty for Gauss-Seidel.
    """
    load(b, store, table)
    visit(store, table, offsets, sweep, number, wrap, has_e, schedule, sweeps, lengths)
    unload(store, table, out)


# What `visit` does on a level without periodic axes, in parts: each can be done in bands of rows,
# side by side, when the one before is done.


@_jit
def relax_part(store, table, offsets, level, wrap, what, alone, first, end):
    """One step of a sweep."""
    t = table[level]
    u, b, c, _, _, _ = own(store, t, False)
    step = np.empty(len(offsets), np.int64)
    K = steps(t, offsets, step)
    y = np.empty(t[N_ + 2], store.dtype)
    relax(u, b, c, store, step, K, t[S_], t, wrap, what, alone, y, first, end)


@_jit
def residual_rows(store, table, offsets, level, has_e, first, end):
    """The residual."""
    t = table[level]
    u, b, c, e, _, res = own(store, t, has_e)
    step = np.empty(len(offsets), np.int64)
    K = steps(t, offsets, step)
    residual(u, b, c, e, has_e, step, K, t[S_], t, res, first, end)


@_jit
def restrict_rows(store, table, level, first, end):
    """The right-hand side of the next level."""
    t, T = table[level], table[level + 1]
    _, B, w = below(store, t, T)
    restrict(store[t[F_] : t[F_] + t[S_]], w, t[W_ + 1], t, T, B, first, end)


@_jit
def prolong_rows(store, table, level, first, end):
    """The correction from the next level."""
    t, T = table[level], table[level + 1]
    U, _, w = below(store, t, T)
    prolong(U, w, t[W_ + 1], t, T, store[t[U_] : t[U_] + t[S_]], first, end)


@_jit
def clear(store, table, level, first, end):
    """u = 0 at so many of a level's nodes."""
    start = table[level, U_]
    fill(store[start + first : start + end], 0)
