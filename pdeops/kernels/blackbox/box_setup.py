"""Set-up of black-box multigrid on any box: all levels, and the factor of the coarsest (numba).

The plain twin is `blackbox/reference.py`; arrays and indices are those of `blackbox/box.py`.
"""

from itertools import pairwise

import numpy as np

from ..runtime.jit import jit
from .band import cholesky
from .box_geometry import geometry
from .box_tables import PRESENT, STRIDE, N, neighbours, shape_of
from .galerkin import galerkin
from .index import diagonal
from .interpolation import weights
from .lines import pivots
from .relax import sync


@jit
def invert(shape, r):
    """r = 1 / r at the unknowns; 0 at solid ones."""
    for i in range(shape[PRESENT, 0], shape[N, 0] + 1):
        for j in range(shape[PRESENT, 1], shape[N, 1] + 1):
            x = i * shape[STRIDE, 0] + j * shape[STRIDE, 1] + 1
            for q in range(x, x + shape[N, 2]):
                r[q] = 1 / r[q] if r[q] > 0 else 0.0


@jit
def factor_band(c, e, has_e, step, S, number, singular, L):
    """Cholesky factor of the coarsest level (`band.cholesky`); L is initially zero."""
    for x in range(len(number)):
        i = number[x]
        if i < 0:
            continue
        if has_e:
            L[i, 0] += e[x]
        for k in range(len(step)):
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


def begin(f0, f1, f2, excess, store, table, offsets, wrap, has_e) -> None:
    """Fill the finest level from the couplings at the faces; `store` is initially zero."""
    level = table[0]
    first = level["present"]
    axes = offsets[: int(level["num_neighbours"])]
    for a, f in enumerate((f0, f1, f2)):
        if level["present"][a]:
            k = axes[:, a].argmax()  # neighbours along the axes come first
            field = store[level["couplings"] + k * level["num_stored"] :][: level["num_stored"]]
            _inside(field, level, first - (np.arange(3) == a), f)
            if wrap.any():
                sync(field, shape_of(level), wrap)
    if has_e:
        e = store[level["excess"] :][: level["num_stored"]]
        _inside(e, level, first, excess)
        if wrap.any():
            sync(e, shape_of(level), wrap)


def _inside(field: np.ndarray, level: np.void, first: np.ndarray, values: np.ndarray) -> None:
    """Copy values to a field of a level, from the node `first` on."""
    box = tuple(slice(i, i + n) for i, n in zip(first, values.shape, strict=True))
    field.reshape(level["size"])[box] = values


def descend(store, level, coarse, offsets, wrap, has_e, C):
    """Compute inverse diagonal or pivots and interpolation of a level, and the next operator.

    The couplings C and the excess of the next level are initially zero.
    """
    g = geometry(level, coarse, offsets, wrap)
    S = level["num_stored"]
    c = store[level["couplings"] :][: level["num_neighbours"] * S]
    e = store[level["excess"] :][: S if has_e else 0]
    if level["pivots"].any():
        pivots(store, level, g, wrap, c, e, has_e)
    else:
        r = store[level["inverse_diagonal"] :][:S]
        diagonal(c, e, has_e, g.step, g.shape, r)
        invert(g.shape, r)
    w = store[level["weights"] :][: level["num_weights"] * coarse["num_stored"]]
    weights(c, level, g, wrap, offsets, w, store)
    E = store[coarse["excess"] :][: coarse["num_stored"]] if has_e else None
    galerkin(c, e if has_e else None, g, wrap, w, C, E)


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
    step = neighbours(last, offsets)
    return bool(factor_band(c, e, has_e, step, int(S), number, singular, L))


def setup(f0, f1, f2, excess, store, table, offsets, number, wrap, has_e, singular) -> bool:
    """Fill all levels. False if one is not positive definite (semidefinite if `singular`)."""
    begin(f0, f1, f2, excess, store, table, offsets, wrap, has_e)
    return complete(store, table, 0, offsets, number, wrap, has_e, singular)
