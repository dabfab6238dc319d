"""Set-up of black-box multigrid whose first coarse levels are collapsed (`blackbox/collapse.py`).

The counterparts of `setup` in `blackbox/plane_setup.py` and `blackbox/setup.py`, on layouts with as
many thin levels.
"""

from collections.abc import Sequence

import numpy as np
import torch

from . import plane_setup as plane
from . import setup as box
from .collapse import Shares, Stencil, collapse
from .layout import C_, K_, N_, PRESENT, S_, SIZE, padded


def setup_plane(
    x_faces: np.ndarray,
    y_faces: np.ndarray,
    store: np.ndarray,
    table: np.ndarray,
    singular: bool,
    shares: Shares,
    thin: int,
) -> bool:
    """Fill all levels. False where one is not positive definite, or semidefinite if `singular`."""
    plane.begin(x_faces, y_faces, store, table)
    thin = min(thin, len(table) - 1)
    for level, T in enumerate(table[1 : thin + 1]):
        n = int(T[0]), int(T[1])
        four = np.zeros((4, padded(n[0]), padded(n[1])), store.dtype)
        plane.descend(store, table, level, False, *four)
        x, y, d, a = torch.from_numpy(four)
        # a[i, j] couples (i+1, j) and (i, j+1): the offset (1, -1) from (i, j+1).
        stencil = Stencil(n, {(1, 0): x, (0, 1): y, (1, 1): d, (1, -1): a.roll(1, 1)})
        for start, edge in zip(T[2:4], collapse(stencil, shares(stencil)), strict=True):
            store[start : start + edge.numel()] = edge.numpy().ravel()
    return bool(plane.complete(store, table, thin, thin, singular))


def setup_box(
    faces: Sequence[np.ndarray],
    excess: np.ndarray,
    store: np.ndarray,
    table: np.ndarray,
    offsets: np.ndarray,
    number: np.ndarray,
    wrap: np.ndarray,
    has_e: bool,
    singular: bool,
    shares: Shares,
    thin: int,
) -> bool:
    """Fill all levels; no axis is periodic. False where one is not positive definite."""
    x, y, z = faces
    box.begin(x, y, z, excess, store, table, offsets, wrap, has_e)
    thin = min(thin, len(table) - 1)
    for level, T in enumerate(table[1 : thin + 1]):
        full = T.copy()
        full[K_] = len(offsets)
        C = np.zeros(len(offsets) * int(T[S_]), store.dtype)
        box.descend(store, table[level], full, offsets, wrap, has_e, C)
        axes = [a for a in range(3) if T[PRESENT + a]]
        edges = torch.from_numpy(C).view(-1, *[int(T[SIZE + a]) for a in axes])
        keys = [tuple(o[axes].tolist()) for o in offsets]
        n = tuple(int(T[N_ + a]) for a in axes)
        stencil = Stencil(n, dict(zip(keys, edges, strict=True)))
        for axis, edge in enumerate(collapse(stencil, shares(stencil))):
            k = keys.index(tuple(int(a == axis) for a in range(len(axes))))
            start = int(T[C_]) + k * int(T[S_])
            store[start : start + edge.numel()] = edge.numpy().ravel()
    return bool(box.complete(store, table, thin, offsets, number, wrap, has_e, singular))
