"""Loops of black-box multigrid in one to three dimensions with any boundary (numba).

The plain twin, which explains the method, is `blackbox/reference.py`. A level is a record of
`table`, and its arrays lie in one flat `store` (`blackbox/layout.py`). Fields have three axes, of
which the leading ones may be missing: a missing axis has one node with index 0 and no ghosts. The
other axes have the unknowns at 1 .. n and ghosts around them.

The loops run over whole rows, so that they are vectorised, and write every other node. The sum over
the points of a stencil is a sum over rows, so the same code serves 3, 5, 7, 9 and 27 points.

A whole cycle is one call (`visit`). Smoothers are in `blackbox/relax.py`, the set-up in
`blackbox/box_setup.py`, `blackbox/interpolation.py`, `blackbox/galerkin.py` and
`blackbox/lines.py`. The loops start no threads, so they are safe after a fork.
"""

import numpy as np

from ..runtime.jit import jit
from .band import substitute_both
from .index import steps
from .layout import ASCEND, EXACT, PROLONG, RESTRICT, START
from .relax import limits, relax, residual, richardson, rows, smooth, sync

TILE = 32


@jit
def digits(code, level, out):
    """The ternary digits of the number of a weight, one per axis.

    0 at an even node and on an axis that is not coarsened; 1 and 2 for the weights of the lower and
    the higher coarse neighbour of an odd node.
    """
    for a in range(2, -1, -1):
        out[a] = 0
        if level.coarsen[a]:
            out[a] = code % 3
            code //= 3


@jit
def restrict(res, w, num_weights, level, coarse, B, first, end):
    """B = Pᵀ res at the coarse unknowns; the ghosts of `res` are filled."""
    d = np.empty(3, np.int64)
    M = coarse.n[2]
    I0, I1, J0, J1 = limits(coarse, first, end)
    for I in range(I0, I1):
        for J in range(J0, J1):
            X = I * coarse.stride[0] + J * coarse.stride[1] + 1
            out = B[X : X + M]
            for code in range(num_weights):
                digits(code, level, d)
                x, at = 0, code * coarse.num_stored + X
                for a in range(3):
                    P = I if a == 0 else (J if a == 1 else 1)
                    if level.coarsen[a]:
                        x += (2 * P + (d[a] == 1) - (d[a] == 2)) * level.stride[a]
                        at -= (d[a] == 2) * coarse.stride[a]
                    else:
                        x += P * level.stride[a]
                if level.coarsen[2]:
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
def prolong(U, w, num_weights, level, coarse, u, low, end):
    """u += P U at the unknowns of the coarse rows [low, end); row 0 is the boundary."""
    d = np.empty(3, np.int64)
    first = np.empty(3, np.int64)
    last = np.empty(3, np.int64)
    slowest = 0 if level.present[0] else 1
    for code in range(num_weights):
        digits(code, level, d)
        shift = 0  # to the coarse node that the weight belongs to
        for a in range(3):
            n = level.n[a]
            if not level.present[a]:
                first[a], last[a] = 0, 0
            elif not level.coarsen[a]:
                first[a], last[a] = 1, n
            elif d[a] == 0:
                first[a], last[a] = 1, n // 2
            else:
                first[a], last[a] = 0, (n - 1) // 2
                shift += (d[a] == 2) * coarse.stride[a]
            if a == slowest and level.present[a]:
                first[a], last[a] = max(first[a], low), min(last[a], end - 1)
        M = last[2] - first[2] + 1
        for I in range(first[0], last[0] + 1):
            for J in range(first[1], last[1] + 1):
                X, x = 0, 0
                for a in range(3):
                    P = I if a == 0 else (J if a == 1 else first[2])
                    X += P * coarse.stride[a]
                    x += (2 * P + (d[a] > 0) if level.coarsen[a] else P) * level.stride[a]
                if level.coarsen[2]:
                    fine = u[x : x + 2 * M - 1 : 2]
                else:
                    fine = u[x : x + M : 1]
                coarse_row = U[X + shift : X + shift + M]
                if code == 0:
                    for q in range(M):
                        fine[q] += coarse_row[q]
                else:
                    at = code * coarse.num_stored + X
                    weight = w[at : at + M]
                    for q in range(M):
                        fine[q] += weight[q] * coarse_row[q]


@jit
def solve_band(L, number, b, u):
    """u = A⁻¹ b on the coarsest level by the factor of `factor_band`; fills the ghosts of u."""
    y = np.zeros(len(L), b.dtype)
    for x in range(len(number)):
        # b is read at the unknowns only: their numbers are >= 0, those of ghosts are < -1.
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
    """Copy b to the finest level; in tiles, since b may have any strides."""
    level = table[0]
    B = store[level.b : level.b + level.num_stored].reshape(
        level.size[0], level.size[1], level.size[2]
    )
    n0, n1, n2 = b.shape
    p0, p1 = level.present[0], level.present[1]
    for i in range(n0):
        for J in range(0, n1, TILE):
            for K in range(0, n2, TILE):
                for j in range(J, min(J + TILE, n1)):
                    for k in range(K, min(K + TILE, n2)):
                        B[i + p0, j + p1, k + 1] = b[i, j, k]


@jit
def unload(store, table, out):
    """out = u of the finest level."""
    level = table[0]
    u = store[level.u : level.u + level.num_stored].reshape(
        level.size[0], level.size[1], level.size[2]
    )
    n0, n1, n2 = out.shape
    p0, p1 = level.present[0], level.present[1]
    for i in range(n0):
        for J in range(0, n1, TILE):
            for K in range(0, n2, TILE):
                for j in range(J, min(J + TILE, n1)):
                    for k in range(K, min(K + TILE, n2)):
                        out[i, j, k] = u[i + p0, j + p1, k + 1]


@jit
def arrays(store, level, has_e):
    """u, right-hand side, couplings, excess, 1 / diagonal and residual of a level."""
    S = level.num_stored
    u, b = store[level.u : level.u + S], store[level.b : level.b + S]
    c, e = (
        store[level.couplings : level.couplings + level.num_neighbours * S],
        store[level.excess : level.excess + (S if has_e else 0)],
    )
    return (
        u,
        b,
        c,
        e,
        store[level.inverse_diagonal : level.inverse_diagonal + S],
        store[level.residual : level.residual + S],
    )


@jit
def coarse_arrays(store, level, coarse):
    """u and right-hand side of the next level, and the weights of the interpolation from it."""
    S = coarse.num_stored
    U, B = store[coarse.u : coarse.u + S], store[coarse.b : coarse.b + S]
    return U, B, store[level.weights : level.weights + level.num_weights * S]


@jit
def visit(store, table, offsets, sweep, number, wrap, has_e, schedule, sweeps, lengths):
    """Run the steps of `schedule`, whose rows are (action, level).

    Args:
        sweep: the colours of a sweep of Gauss-Seidel (`layout.sweep`).
        sweeps: number of sweeps before and after the correction; whether the order of the
            colours is reversed after it.
        lengths: step lengths of damped Jacobi or Chebyshev; empty for Gauss-Seidel.
    """
    pre, post, mirrored = sweeps
    swept = len(lengths) == 0
    step = np.empty(len(offsets), np.int64)
    y = np.empty(table[0].n[2] + 2, store.dtype)
    for s in range(len(schedule)):
        action, depth = schedule[s, 0], schedule[s, 1]
        level = table[depth]
        S = level.num_stored
        u, b, c, e, r, res = arrays(store, level, has_e)
        if action == EXACT:
            size, width = level.num_unknowns, level.factor_width
            L = store[level.factor : level.factor + size * width].reshape(size, width)
            solve_band(L, number, b, u)
            continue
        coarse = table[depth + 1]
        K = steps(level, offsets, step)
        U, B, w = coarse_arrays(store, level, coarse)
        if action == RESTRICT:
            sync(b, level, wrap)
            restrict(b, w, level.num_weights, level, coarse, B, 0, rows(coarse))
        elif action == PROLONG:
            fill(u, 0)
            prolong(U, w, level.num_weights, level, coarse, u, 0, rows(coarse) + 1)
            sync(u, level, wrap)
        elif action == ASCEND:
            prolong(U, w, level.num_weights, level, coarse, u, 0, rows(coarse) + 1)
            sync(u, level, wrap)
            for _ in range(post):
                if swept:
                    smooth(u, b, c, store, step, K, S, level, wrap, sweep, mirrored, False, y)
                else:
                    richardson(u, b, c, e, has_e, r, step, K, S, level, wrap, res, lengths)
        else:
            if action == START:
                fill(u, 0)
            for k in range(pre):
                zero = action == START and k == 0
                if swept:
                    smooth(u, b, c, store, step, K, S, level, wrap, sweep, False, zero, y)
                else:
                    richardson(u, b, c, e, has_e, r, step, K, S, level, wrap, res, lengths)
            residual(u, b, c, e, has_e, step, K, S, level, res, 0, rows(level))
            sync(res, level, wrap)
            restrict(res, w, level.num_weights, level, coarse, B, 0, rows(coarse))


# The parts of `visit` on a level without periodic axes. The rows of each can be divided into blocks
# that run in parallel, after the part before is finished.


@jit
def relax_part(store, table, offsets, depth, wrap, colour, from_zero, first, end):
    """Relax one colour of a sweep in a block of rows."""
    level = table[depth]
    u, b, c, _, _, _ = arrays(store, level, False)
    step = np.empty(len(offsets), np.int64)
    K = steps(level, offsets, step)
    y = np.empty(level.n[2], store.dtype)
    relax(u, b, c, store, step, K, level.num_stored, level, wrap, colour, from_zero, y, first, end)


@jit
def residual_rows(store, table, offsets, depth, has_e, first, end):
    """The residual in a block of rows."""
    level = table[depth]
    u, b, c, e, _, res = arrays(store, level, has_e)
    step = np.empty(len(offsets), np.int64)
    K = steps(level, offsets, step)
    residual(u, b, c, e, has_e, step, K, level.num_stored, level, res, first, end)


@jit
def restrict_rows(store, table, depth, first, end):
    """Rows of the right-hand side of the next level."""
    level, coarse = table[depth], table[depth + 1]
    _, B, w = coarse_arrays(store, level, coarse)
    restrict(
        store[level.residual : level.residual + level.num_stored],
        w,
        level.num_weights,
        level,
        coarse,
        B,
        first,
        end,
    )


@jit
def prolong_rows(store, table, depth, first, end):
    """Add the correction from the next level in a block of rows."""
    level, coarse = table[depth], table[depth + 1]
    U, _, w = coarse_arrays(store, level, coarse)
    prolong(
        U,
        w,
        level.num_weights,
        level,
        coarse,
        store[level.u : level.u + level.num_stored],
        first,
        end,
    )


@jit
def clear(store, table, depth, first, end):
    """u = 0 at the stored nodes [first, end) of a level."""
    start = table[depth].u
    fill(store[start + first : start + end], 0)
