"""Set-up of black-box multigrid: all levels from the finest, and the factor of the coarsest.

The plain twin is `blackbox/reference.py`; arrays and indices are those of `blackbox/cpu.py`, whose
head says how the compiled code is cached.
"""

from ..runtime.jit import jit
from . import (
    galerkin as blackbox_galerkin,
)
from . import (
    interpolation as blackbox_interpolation,
)
from . import (
    lines as blackbox_lines,
)
from .band import cholesky
from .index import diagonal
from .layout import C_, E_, K_, L_, N_, P_, PRESENT, R_, S_, STRIDE, W_
from .relax import sync


@jit
def invert_diagonal(c, e, has_e, offsets, t, r):
    """r = 1 / diagonal at the unknowns; 0 at solid ones."""
    diagonal(c, e, has_e, offsets, t, r)
    for i in range(t[PRESENT], t[N_] + 1):
        for j in range(t[PRESENT + 1], t[N_ + 1] + 1):
            x = i * t[STRIDE] + j * t[STRIDE + 1] + 1
            for q in range(x, x + t[N_ + 2]):
                r[q] = 1 / r[q] if r[q] > 0 else 0.0


@jit
def factor_band(c, e, has_e, offsets, t, number, singular, L):
    """Cholesky factor of the coarsest level (`blackbox_band.cholesky`)."""
    S, K = t[S_], t[K_]
    L[:] = 0
    for x in range(len(number)):
        i = number[x]
        if i < 0:
            continue
        if has_e:
            L[i, 0] += e[x]
        for k in range(K):
            o = 0
            for a in range(3):
                o += offsets[k, a] * t[STRIDE + a]
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
    """The finest level from the couplings at the faces; `store` comes in as zeros."""
    t = table[0]
    S, K = t[S_], t[K_]
    for a in range(3):
        if t[PRESENT + a]:
            f = f0 if a == 0 else (f1 if a == 1 else f2)
            at = t[C_] + axis_of(offsets, K, a) * S
            first_couplings(f, a, t, wrap, store[at : t[C_] + K * S])
    if has_e:
        e = store[t[E_] : t[E_] + S]
        l, m, n = excess.shape
        for i in range(l):
            for j in range(m):
                for q in range(n):
                    x = (i + t[PRESENT]) * t[STRIDE] + (j + t[PRESENT + 1]) * t[STRIDE + 1]
                    e[x + q + 1] = excess[i, j, q]
        sync(e, t, wrap)


@jit
def axis_of(offsets, K, axis):
    """Which of the first K neighbours lies along an axis."""
    for k in range(K):
        if offsets[k, axis] == 1:
            return k
    return -1


@jit
def first_couplings(f, axis, t, wrap, c):
    """The couplings of the finest level along an axis, from those at its faces."""
    l, m, n = f.shape
    for i in range(l):
        for j in range(m):
            for q in range(n):
                x = (i + t[PRESENT]) * t[STRIDE] + (j + t[PRESENT + 1]) * t[STRIDE + 1] + q + 1
                c[x - t[STRIDE + axis]] = f[i, j, q]
    sync(c[: t[S_]], t, wrap)


def descend(store, t, T, offsets, wrap, has_e, C):
    """What a level needs of its own, and couplings C, given as zeros, and excess of the next."""
    S = int(t[S_])
    c = store[t[C_] : t[C_] + t[K_] * S]
    e = store[t[E_] : t[E_] + (S if has_e else 0)]
    if t[P_ : P_ + 3].any():
        blackbox_lines.pivots(store, t, offsets, wrap, has_e)
    else:
        invert_diagonal(c, e, has_e, offsets, t, store[t[R_] : t[R_] + S])
    w = store[t[W_] : t[W_] + t[W_ + 1] * T[S_]]
    blackbox_interpolation.weights(c, offsets, t, T, wrap, w, store)
    E = store[T[E_] : T[E_] + (T[S_] if has_e else 0)]
    blackbox_galerkin.galerkin(c, e, has_e, offsets, t, T, wrap, w, C, E)


def complete(store, table, first, offsets, number, wrap, has_e, singular) -> bool:
    """All levels below `first`, whose couplings are there. False where one is not positive
    definite."""
    last = len(table) - 1
    for level in range(first, last):
        T = table[level + 1]
        C = store[T[C_] : T[C_] + T[K_] * T[S_]]
        descend(store, table[level], T, offsets, wrap, has_e, C)
    t = table[last]
    S = t[S_]
    c = store[t[C_] : t[C_] + t[K_] * S]
    e = store[t[E_] : t[E_] + (S if has_e else 0)]
    size, width = t[L_ + 1], t[L_ + 2]
    L = store[t[L_] : t[L_] + size * width].reshape(size, width)
    return factor_band(c, e, has_e, offsets, t, number, singular, L)


def setup(f0, f1, f2, excess, store, table, offsets, number, wrap, has_e, singular) -> bool:
    """Fill all levels. False where one is not positive definite."""
    begin(f0, f1, f2, excess, store, table, offsets, wrap, has_e)
    return complete(store, table, 0, offsets, number, wrap, has_e, singular)
