"""Levels of black-box multigrid in a plane and their memory layout.

As in the twin (`blackbox/reference.py`), nodes (i, j) with i = 0 or i = n+1 (and the same for j)
are boundary nodes. cx couples (i,j)-(i+1,j), cy (i,j)-(i,j+1), cd (i,j)-(i+1,j+1) and ca
(i+1,j)-(i,j+1); r = 1 / diagonal. q is the weight of (2I, 2J) at the node (2I+1, 2J), w are the
weights of the four corners at (2I+1, 2J+1). Capital letters belong to the coarser level. b and the
coarse right-hand side B are stored at interior nodes only.

All arrays lie in one flat array, the store; `layout` returns their offsets. The part of the store
from `kept` on is used by the set-up only: a cycle reads the finest couplings from the faces, which
have no margin of zeros. In these, cx of (i, j) is at (i, j - o) and cy at (i - o, j) with o = 1;
on other levels o = 0.
"""

from functools import lru_cache

import numpy as np

from ..runtime.jit import jit
from .layout import padded

COARSEST = 8  # coarsening ends if an axis has at most this many unknowns

pad = jit(padded)

LEVEL = np.dtype(
    [  # unknowns per axis, then offsets into the store
        ("n", np.int64),
        ("m", np.int64),
        ("cx", np.int64),
        ("cy", np.int64),
        ("cd", np.int64),  # cd and ca: 0 where the level has five points
        ("ca", np.int64),
        ("r", np.int64),
        ("u", np.int64),
        ("b", np.int64),  # 0 on the finest level, where b is the argument
        ("q", np.int64),  # q and w: 0 on the coarsest level
        ("w", np.int64),
        ("factor", np.int64),  # on the coarsest level only
    ]
)


@lru_cache(maxsize=64)  # a third of the set-up time of a small system
def layout(n: int, m: int, num_sparsified: int, direct: int) -> tuple[np.ndarray, int]:
    """The table of levels (`LEVEL`), finest first, and the length of the store.

    Args:
        num_sparsified: number of coarse levels with couplings along the axes only
            (`blackbox/sparsify.py`).
        direct: unknowns times squared bandwidth up to which a level is solved instead of
            coarsened.
    """
    levels: list[np.ndarray] = []
    used = 0

    def take(count: int) -> int:
        nonlocal used
        used += count
        return used - count

    while True:
        coarsest = min(n, m) <= COARSEST or n * m * min(n, m) ** 2 <= direct
        finest, nodes = not levels, padded(n) * padded(m)
        num_lines, num_cells = (n // 2 + 1) * (m // 2 + 2), (n // 2 + 1) * (m // 2 + 1)
        level = np.zeros((), LEVEL)
        level["n"], level["m"] = n, m
        if not finest:
            level["cx"], level["cy"] = take(nodes), take(nodes)
        if len(levels) > num_sparsified:
            level["cd"], level["ca"] = take(nodes), take(nodes)
        level["r"], level["u"] = take(nodes), take(nodes)
        if not finest:
            level["b"] = take(n * m)
        if not (finest or coarsest):
            level["q"] = take(num_lines)
        if not coarsest:
            level["w"] = take(4 * num_cells)
        else:
            level["factor"] = take(n * m * (min(n, m) + 2))
        levels.append(level)
        if coarsest:
            break
        n, m = n // 2, m // 2
    finest_level = levels[0]  # arrays that only the set-up reads come last
    n, m = int(finest_level["n"]), int(finest_level["m"])
    nodes = padded(n) * padded(m)
    finest_level["cx"], finest_level["cy"] = take(nodes), take(nodes)
    if len(levels) > 1:
        finest_level["q"] = take((n // 2 + 1) * (m // 2 + 2))
    return np.stack(levels), used


def kept(table: np.ndarray) -> int:
    """The length of the part of the store that a cycle needs."""
    return int(table[0]["cx"])


@jit
def view(store, offset, rows, cols):
    """A matrix in the store."""
    return store[offset : offset + rows * cols].reshape(rows, cols)


@jit
def couplings(store, level, nine):
    """cx, cy, cd, ca of a level; with five points the last two are not used."""
    rows, cols = pad(level.n), pad(level.m)
    cx, cy = view(store, level.cx, rows, cols), view(store, level.cy, rows, cols)
    if not nine:
        return cx, cy, cx, cy
    return cx, cy, view(store, level.cd, rows, cols), view(store, level.ca, rows, cols)


@jit
def weights(store, level, lines=True):
    """q and w of a level that is not the coarsest; without `lines` q is not used."""
    N, M = level.n // 2, level.m // 2
    size = 4 * (N + 1) * (M + 1)
    q = view(store, level.q if lines else 0, N + 1, M + 2)
    return q, store[level.w : level.w + size].reshape(4, N + 1, M + 1)


@jit
def factor(store, level):
    """The band factor of the coarsest level."""
    return view(store, level.factor, level.n * level.m, min(level.n, level.m) + 2)
