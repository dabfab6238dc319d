"""Set-up of black-box multigrid whose coarse levels are collapsed (`collapse.py`), level by level.

The counterparts of `blackbox_plane.setup` and `blackbox_setup.setup`, on layouts that are `thin`.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch

from . import blackbox_plane as plane
from . import blackbox_setup as box
from .blackbox_layout import C_, K_, N_, PRESENT, S_, SIZE, padded
from .collapse import Shares, Stencil, collapse


def setup_plane(
    x_faces: np.ndarray,
    y_faces: np.ndarray,
    store: np.ndarray,
    table: np.ndarray,
    shares: Shares,
) -> bool:
    """Fill all levels. False where one is not positive definite."""
    plane.begin(x_faces, y_faces, store, table)
    for level, T in enumerate(table[1:]):
        n = int(T[0]), int(T[1])
        shape = padded(n[0]), padded(n[1])
        four = np.zeros((4, *shape), store.dtype)
        plane.descend(store, table, level, False, *four)
        x, y, d, a = torch.from_numpy(four)
        # a[i, j] couples (i+1, j) and (i, j+1): the offset (1, -1) from (i, j+1).
        stencil = Stencil(n, {(1, 0): x, (0, 1): y, (1, 1): d, (1, -1): a.roll(1, 1)})
        for start, edge in zip(T[2:4], collapse(stencil, shares(stencil)), strict=True):
            store[start : start + edge.numel()] = edge.numpy().ravel()
    return bool(plane.finish(store, table, False))


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
) -> bool:
    """Fill all levels; no axis is periodic. False where one is not positive definite."""
    box.begin(*faces, excess, store, table, offsets, wrap, has_e)
    axes = [a for a in range(3) if table[0, PRESENT + a]]
    for t, T in pairwise(table):
        full = T.copy()
        full[K_] = len(offsets)
        C = np.zeros(len(offsets) * int(T[S_]), store.dtype)
        box.descend(store, t, full, offsets, wrap, has_e, C)
        size = [int(T[SIZE + a]) for a in axes]
        edges = torch.from_numpy(C).view(-1, *size)
        keys = [tuple(o[axes].tolist()) for o in offsets]
        stencil = Stencil(tuple(int(T[N_ + a]) for a in axes), dict(zip(keys, edges, strict=True)))
        thin = collapse(stencil, shares(stencil))
        for axis, edge in enumerate(thin):
            k = keys.index(tuple(int(a == axis) for a in range(len(axes))))
            start = int(T[C_]) + k * int(T[S_])
            store[start : start + edge.numel()] = edge.numpy().ravel()
    return bool(box.finish(store, table[-1], offsets, number, has_e, singular))
