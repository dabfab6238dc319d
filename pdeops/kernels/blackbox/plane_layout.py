"""Where black-box multigrid in a plane keeps its levels.

As in the twin (`blackbox/reference.py`): nodes (i, j) with i = 0 and i = n+1 (j alike) on the
boundary; couplings cx (i,j)-(i+1,j), cy (i,j)-(i,j+1), cd (i,j)-(i+1,j+1), ca (i+1,j)-(i,j+1);
r = 1/diagonal. q is the weight of (2I, 2J) at the node (2I+1, 2J), w those of the four corners at
(2I+1, 2J+1). Capital letters belong to the coarser level. b and the coarse right-hand side B hold
interior nodes only.

All levels live in one flat array; `table` says where (`layout`). Its end, from `kept` on, is for
the set-up alone: a cycle reads the finest couplings from the faces themselves, which have no margin
of zeros. There (i, j) is (i, j - o) for cx and (i - o, j) for cy, o = 1; else o = 0.
"""

from functools import lru_cache

import numpy as np

from ..runtime.jit import jit
from .layout import padded

COARSEST = 8  # an axis with at most this many unknowns ends the coarsening, however long the other

pad = jit(padded)

# Columns of `table`: unknowns of the level, then offsets into the flat array.
N_, M_, CX_, CY_, CD_, CA_, R_, U_, B_, Q_, W_, L_ = range(12)


@lru_cache(maxsize=64)  # a third of the set-up of a small solve
def layout(n: int, m: int, thin: int, direct: int) -> tuple[np.ndarray, int]:
    """Where the arrays of each level start in one flat array, and its length.

    thin: so many coarse levels keep couplings along the axes only (`blackbox/collapse.py`).
    direct: unknowns times squared band width up to which a level is solved instead of coarsened.
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
            last = [(CX_, nodes), (CY_, nodes), (Q_, lines)]
        if coarsest:
            for column, count in last:
                rows[0][column] = take(count)
            return np.array(rows, dtype=np.int64), size
        n, m = n // 2, m // 2


def kept(table: np.ndarray) -> int:
    """How much of the flat array a cycle needs."""
    return int(table[0, CX_])


@jit
def view(store, offset, rows, cols):
    """A matrix in the flat array."""
    return store[offset : offset + rows * cols].reshape(rows, cols)


@jit
def stencil(store, t, nine):
    """cx, cy, cd, ca of a level; on five points the last two stand for nothing."""
    rows, cols = pad(t[N_]), pad(t[M_])
    cx, cy = view(store, t[CX_], rows, cols), view(store, t[CY_], rows, cols)
    if not nine:
        return cx, cy, cx, cy
    return cx, cy, view(store, t[CD_], rows, cols), view(store, t[CA_], rows, cols)


@jit
def weights(store, t, lines=True):
    """q and w of a level that is not the coarsest; without `lines` q stands for nothing."""
    N, M = t[N_] // 2, t[M_] // 2
    size = 4 * (N + 1) * (M + 1)
    q = view(store, t[Q_] if lines else 0, N + 1, M + 2)
    return q, store[t[W_] : t[W_] + size].reshape(4, N + 1, M + 1)


@jit
def factor(store, t):
    """The band factor of the coarsest level."""
    return view(store, t[L_], t[N_] * t[M_], min(t[N_], t[M_]) + 2)
