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
from typing import NamedTuple

import numpy as np

from .layout import padded

COARSEST = 8  # coarsening ends if an axis has at most this many unknowns


class Level(NamedTuple):
    """Unknowns per axis of a level, then the offsets of its arrays in the store."""

    n: int
    m: int
    cx: int = 0
    cy: int = 0
    cd: int = 0  # cd and ca: 0 where the level has five points
    ca: int = 0
    r: int = 0
    u: int = 0
    b: int = 0  # 0 on the finest level, where b is the argument
    q: int = 0  # q and w: 0 on the coarsest level
    w: int = 0
    factor: int = 0  # on the coarsest level only


@lru_cache(maxsize=64)  # a third of the set-up time of a small system
def layout(n: int, m: int, num_sparsified: int, direct: int) -> tuple[tuple[Level, ...], int]:
    """The levels, finest first, and the length of the store.

    Args:
        num_sparsified: number of coarse levels with couplings along the axes only
            (`blackbox/sparsify.py`).
        direct: unknowns times squared bandwidth up to which a level is solved instead of
            coarsened.
    """
    levels: list[Level] = []
    used = 0

    def take(count: int) -> int:
        nonlocal used
        used += count
        return used - count

    while True:
        coarsest = min(n, m) <= COARSEST or n * m * min(n, m) ** 2 <= direct
        finest, nodes = not levels, padded(n) * padded(m)
        num_lines, num_cells = (n // 2 + 1) * (m // 2 + 2), (n // 2 + 1) * (m // 2 + 1)
        arrays: dict[str, int] = {}
        if not finest:
            arrays["cx"], arrays["cy"] = take(nodes), take(nodes)
        if len(levels) > num_sparsified:
            arrays["cd"], arrays["ca"] = take(nodes), take(nodes)
        arrays["r"], arrays["u"] = take(nodes), take(nodes)
        if not finest:
            arrays["b"] = take(n * m)
        if not (finest or coarsest):
            arrays["q"] = take(num_lines)
        if not coarsest:
            arrays["w"] = take(4 * num_cells)
        else:
            arrays["factor"] = take(n * m * (min(n, m) + 2))
        levels.append(Level(n, m, **arrays))
        if coarsest:
            break
        n, m = n // 2, m // 2
    first = levels[0]  # arrays that only the set-up reads come last
    nodes = padded(first.n) * padded(first.m)
    first = first._replace(cx=take(nodes), cy=take(nodes))
    if len(levels) > 1:
        first = first._replace(q=take((first.n // 2 + 1) * (first.m // 2 + 2)))
    return (first, *levels[1:]), used


def kept(levels: tuple[Level, ...]) -> int:
    """The length of the part of the store that a cycle needs."""
    return levels[0].cx


def nodes(store: np.ndarray, level: Level, name: str) -> np.ndarray:
    """A field of a level in the store with its boundary nodes: cx, cy, cd, ca, r or u."""
    rows, cols = padded(level.n), padded(level.m)
    start = getattr(level, name)
    return store[start : start + rows * cols].reshape(rows, cols)


def couplings(store: np.ndarray, level: Level, nine: bool) -> tuple[np.ndarray, ...]:
    """cx, cy, cd, ca of a level; with five points the last two are not used."""
    cx, cy = nodes(store, level, "cx"), nodes(store, level, "cy")
    if not nine:
        return cx, cy, cx, cy
    return cx, cy, nodes(store, level, "cd"), nodes(store, level, "ca")


def right_side(store: np.ndarray, level: Level) -> np.ndarray:
    """b of a level that is not the finest, at interior nodes."""
    return store[level.b : level.b + level.n * level.m].reshape(level.n, level.m)


def line_weights(store: np.ndarray, level: Level) -> np.ndarray:
    """q of a level that is not the coarsest; that of the finest is for the set-up only."""
    shape = level.n // 2 + 1, level.m // 2 + 2
    return store[level.q : level.q + shape[0] * shape[1]].reshape(shape)


def cell_weights(store: np.ndarray, level: Level) -> np.ndarray:
    """w of a level that is not the coarsest."""
    shape = 4, level.n // 2 + 1, level.m // 2 + 1
    return store[level.w : level.w + 4 * shape[1] * shape[2]].reshape(shape)


def factor(store: np.ndarray, level: Level) -> np.ndarray:
    """The band factor of the coarsest level."""
    shape = level.n * level.m, min(level.n, level.m) + 2
    return store[level.factor : level.factor + shape[0] * shape[1]].reshape(shape)
