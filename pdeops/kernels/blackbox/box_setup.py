"""Set-up of black-box multigrid on any box: all levels, and the factor of the coarsest (numba).

The plain twin is `blackbox/reference.py`; arrays and indices are those of `blackbox/box.py`.
"""

from itertools import pairwise

import numpy as np

from ..runtime.jit import jit
from .band import cholesky
from .galerkin import galerkin
from .index import diagonal, steps
from .interpolation import weights
from .lines import pivots
from .relax import sync


@jit
def invert_diagonal(c, e, has_e, offsets, level, r):
    """r = 1 / diagonal at the unknowns; 0 at solid ones."""
    diagonal(c, e, has_e, offsets, level, r)
    for i in range(level.present[0], level.n[0] + 1):
        for j in range(level.present[1], level.n[1] + 1):
            x = i * level.stride[0] + j * level.stride[1] + 1
            for q in range(x, x + level.n[2]):
                r[q] = 1 / r[q] if r[q] > 0 else 0.0


@jit
def factor_band(c, e, has_e, offsets, level, number, singular, L):
    """Cholesky factor of the coarsest level (`band.cholesky`)."""
    S = level.num_stored
    step = np.empty(len(offsets), np.int64)
    K = steps(level, offsets, step)
    L[:] = 0
    for x in range(len(number)):
        i = number[x]
        if i < 0:
            continue
        if has_e:
            L[i, 0] += e[x]
        for k in range(K):
            o = step[k]
            for side in range(2):
                there = number[x + o] if side == 0 else number[x - o]
                coupling = c[k * S + x] if side == 0 else c[k * S + x - o]
                j = there if there >= -1 else -2 - there
                if j != i:
                    L[i, 0] += coupling
                if side == 0 and j >= 0 and j != i:
                    L[max(i, j), abs(i - j)] -= coupling
    return cholesky(L, singular)


@jit
def begin(f0, f1, f2, excess, store, table, offsets, wrap, has_e):
    """Fill the finest level from the couplings at the faces; `store` is initially zero."""
    level = table[0]
    S, K = level.num_stored, level.num_neighbours
    for a in range(3):
        if level.present[a]:
            f = f0 if a == 0 else (f1 if a == 1 else f2)
            at = level.couplings + axis_of(offsets, K, a) * S
            first_couplings(f, a, level, wrap, store[at : level.couplings + K * S])
    if has_e:
        e = store[level.excess : level.excess + S]
        l, m, n = excess.shape
        for i in range(l):
            for j in range(m):
                for q in range(n):
                    x = (i + level.present[0]) * level.stride[0] + (
                        j + level.present[1]
                    ) * level.stride[1]
                    e[x + q + 1] = excess[i, j, q]
        sync(e, level, wrap)


@jit
def axis_of(offsets, K, axis):
    """The number of the neighbour along an axis among the first K neighbours."""
    for k in range(K):
        if offsets[k, axis] == 1:
            return k
    return -1


@jit
def first_couplings(f, axis, level, wrap, c):
    """The couplings of the finest level along an axis, from those at its faces."""
    l, m, n = f.shape
    for i in range(l):
        for j in range(m):
            for q in range(n):
                x = (
                    (i + level.present[0]) * level.stride[0]
                    + (j + level.present[1]) * level.stride[1]
                    + q
                    + 1
                )
                c[x - level.stride[axis]] = f[i, j, q]
    sync(c[: level.num_stored], level, wrap)


def descend(store, level, coarse, offsets, wrap, has_e, C):
    """Compute inverse diagonal or pivots and interpolation of a level, and the next operator.

    The couplings C and the excess of the next level are initially zero.
    """
    S = level["num_stored"]
    c = store[level["couplings"] :][: level["num_neighbours"] * S]
    e = store[level["excess"] :][: S if has_e else 0]
    if level["pivots"].any():
        pivots(store, level, offsets, wrap, has_e)
    else:
        invert_diagonal(c, e, has_e, offsets, level, store[level["inverse_diagonal"] :][:S])
    w = store[level["weights"] :][: level["num_weights"] * coarse["num_stored"]]
    weights(c, offsets, level, coarse, wrap, w, store)
    E = store[coarse["excess"] :][: coarse["num_stored"] if has_e else 0]
    galerkin(c, e, has_e, offsets, level, coarse, wrap, w, C, E)


def complete(store, table, first, offsets, number, wrap, has_e, singular) -> bool:
    """Fill all levels from `first` on, whose couplings are given.

    False if a level is not positive definite (semidefinite if `singular`).
    """
    for level, coarse in pairwise(table[first:]):
        C = store[coarse["couplings"] :][: coarse["num_neighbours"] * coarse["num_stored"]]
        descend(store, level, coarse, offsets, wrap, has_e, C)
    last = table[-1]
    S = last["num_stored"]
    c = store[last["couplings"] :][: last["num_neighbours"] * S]
    e = store[last["excess"] :][: S if has_e else 0]
    size, width = last["num_unknowns"], last["factor_width"]
    L = store[last["factor"] :][: size * width].reshape(size, width)
    return factor_band(c, e, has_e, offsets, last, number, singular, L)


def setup(f0, f1, f2, excess, store, table, offsets, number, wrap, has_e, singular) -> bool:
    """Fill all levels. False if one is not positive definite (semidefinite if `singular`)."""
    begin(f0, f1, f2, excess, store, table, offsets, wrap, has_e)
    return complete(store, table, 0, offsets, number, wrap, has_e, singular)
