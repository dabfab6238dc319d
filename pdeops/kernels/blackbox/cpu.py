"""Fused loops of black-box multigrid in one to three dimensions, any boundary (numba).

The plain twin, which says what is computed and why, is `blackbox/reference.py`; the tests compare
the two. A level is described by a row of `table`, and all its arrays lie in one flat `store`
(`blackbox/layout.py`); fields have three axes here, of which leading ones may be missing: those
hold one node at index 0 and no ghosts. Present axes hold the unknowns at 1 .. n between their
ghosts.

Loops run over whole rows, so that they are vectorised, and write every other node; a sum over the
points of the stencil is a sum over rows, so one code serves 3, 5, 7, 9 and 27 points.

One dispatch for a whole cycle (`visit`). Smoothers are in `blackbox/relax.py`; set-up is in
`blackbox/setup.py`, with `blackbox/interpolation.py`, `blackbox/galerkin.py`, `blackbox/lines.py`.

No fastmath: the last bits must not depend on whether a function was compiled in this process or
read from the cache. Nothing here starts threads, so the loops are safe after fork; they release the
GIL.
"""

import numpy as np

from ..runtime.jit import jit
from .band import substitute_both
from .layout import (
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
from .relax import limits, relax, residual, richardson, rows, smooth, steps, sync

TILE = 32


@jit
def digits(code, t, out):
    """The ternary digits of a weight: per axis 0 at even nodes, 1 and 2 from the low and the high
    coarse node to the odd node between them; always 0 on an axis that is not coarsened."""
    for a in range(2, -1, -1):
        out[a] = 0
        if t[COARSEN + a]:
            out[a] = code % 3
            code //= 3


@jit
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


@jit
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


@jit
def solve_band(L, number, b, u):
    """u = A⁻¹ b on the coarsest level by the factor of `factor_band`; ghosts included."""
    y = np.zeros(len(L), b.dtype)
    for x in range(len(number)):
        # A ghost has the number of its unknown, but b is right at the unknown only, which stands at
        # the smallest index but for ghosts at the low end: those are numbered below -1.
        if number[x] >= 0:
            y[number[x]] = b[x]
    substitute_both(L, y)
    for x in range(len(number)):
        if number[x] >= 0:
            u[x] = y[number[x]]
        elif number[x] < -1:
            u[x] = y[-2 - number[x]]


@jit
def fill(u, value):
    for x in range(len(u)):
        u[x] = value


@jit
def load(b, store, table):
    """b, of any strides, to the finest level: in tiles, for rows of b may be columns in memory."""
    t = table[0]
    B = store[t[B_] : t[B_] + t[S_]].reshape(t[SIZE], t[SIZE + 1], t[SIZE + 2])
    n0, n1, n2 = b.shape
    p0, p1 = t[PRESENT], t[PRESENT + 1]
    for i in range(n0):
        for J in range(0, n1, TILE):
            for K in range(0, n2, TILE):
                for j in range(J, min(J + TILE, n1)):
                    for k in range(K, min(K + TILE, n2)):
                        B[i + p0, j + p1, k + 1] = b[i, j, k]


@jit
def unload(store, table, out):
    """out = u of the finest level."""
    t = table[0]
    u = store[t[U_] : t[U_] + t[S_]].reshape(t[SIZE], t[SIZE + 1], t[SIZE + 2])
    n0, n1, n2 = out.shape
    p0, p1 = t[PRESENT], t[PRESENT + 1]
    for i in range(n0):
        for J in range(0, n1, TILE):
            for K in range(0, n2, TILE):
                for j in range(J, min(J + TILE, n1)):
                    for k in range(K, min(K + TILE, n2)):
                        out[i, j, k] = u[i + p0, j + p1, k + 1]


@jit
def own(store, t, has_e):
    """u, right-hand side, couplings, reaction, 1 / diagonal and residual of a level."""
    S = t[S_]
    u, b = store[t[U_] : t[U_] + S], store[t[B_] : t[B_] + S]
    c, e = store[t[C_] : t[C_] + t[K_] * S], store[t[E_] : t[E_] + (S if has_e else 0)]
    return u, b, c, e, store[t[R_] : t[R_] + S], store[t[F_] : t[F_] + S]


@jit
def below(store, t, T):
    """u and right-hand side of the next level, and the weights of P from it."""
    S = T[S_]
    U, B = store[T[U_] : T[U_] + S], store[T[B_] : T[B_] + S]
    return U, B, store[t[W_] : t[W_] + t[W_ + 1] * S]


@jit
def visit(store, table, offsets, sweep, number, wrap, has_e, schedule, sweeps, lengths):
    """The steps of `schedule`, pairs of what to do and on which level.

    sweep: steps of a sweep of Gauss-Seidel (`blackbox_layout.sweep`). sweeps: how many before and
    after the correction; whether their steps are reversed after it. lengths: of the steps of damped
    Jacobi or Chebyshev that are one sweep; empty for Gauss-Seidel.
    """
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


# What `visit` does on a level without periodic axes, in parts: each can be done in bands of rows,
# side by side, when the one before is done.


@jit
def relax_part(store, table, offsets, level, wrap, what, alone, first, end):
    """One step of a sweep."""
    t = table[level]
    u, b, c, _, _, _ = own(store, t, False)
    step = np.empty(len(offsets), np.int64)
    K = steps(t, offsets, step)
    y = np.empty(t[N_ + 2], store.dtype)
    relax(u, b, c, store, step, K, t[S_], t, wrap, what, alone, y, first, end)


@jit
def residual_rows(store, table, offsets, level, has_e, first, end):
    """The residual."""
    t = table[level]
    u, b, c, e, _, res = own(store, t, has_e)
    step = np.empty(len(offsets), np.int64)
    K = steps(t, offsets, step)
    residual(u, b, c, e, has_e, step, K, t[S_], t, res, first, end)


@jit
def restrict_rows(store, table, level, first, end):
    """The right-hand side of the next level."""
    t, T = table[level], table[level + 1]
    _, B, w = below(store, t, T)
    restrict(store[t[F_] : t[F_] + t[S_]], w, t[W_ + 1], t, T, B, first, end)


@jit
def prolong_rows(store, table, level, first, end):
    """The correction from the next level."""
    t, T = table[level], table[level + 1]
    U, _, w = below(store, t, T)
    prolong(U, w, t[W_ + 1], t, T, store[t[U_] : t[U_] + t[S_]], first, end)


@jit
def clear(store, table, level, first, end):
    """u = 0 at so many of a level's nodes."""
    start = table[level, U_]
    fill(store[start + first : start + end], 0)
