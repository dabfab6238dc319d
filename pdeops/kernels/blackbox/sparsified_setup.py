"""Set-up of black-box multigrid with sparsified coarse operators (`blackbox/sparsify.py`).

The counterparts of `setup` in `blackbox/plane_setup.py` and `blackbox/box_setup.py`. The first
`num_sparsified` coarse levels of the layout have couplings along the axes only: for each, Pᵀ A P is
computed in arrays of its own, sparsified, and the result is stored.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch

from . import box_setup as box
from . import plane_setup as plane
from .layout import padded
from .plane_layout import Level, nodes
from .sparsify import Shares, Stencil, sparsify


def setup_plane(
    x_faces: np.ndarray,
    y_faces: np.ndarray,
    store: np.ndarray,
    levels: Sequence[Level],
    singular: bool,
    shares: Shares,
    num_sparsified: int,
) -> bool:
    """Fill all levels. False if one is not positive definite (semidefinite if `singular`)."""
    plane.begin(x_faces, y_faces, store, levels)
    num_sparsified = min(num_sparsified, len(levels) - 1)
    for level, coarse in pairwise(levels[: num_sparsified + 1]):
        n = coarse.n, coarse.m
        four = np.zeros((4, padded(n[0]), padded(n[1])), store.dtype)
        plane.descend(store, level, False, *four)
        x, y, d, a = torch.from_numpy(four)
        # a[i, j] couples (i+1, j) and (i, j+1): the offset (1, -1) from (i, j+1).
        stencil = Stencil(n, {(1, 0): x, (0, 1): y, (1, 1): d, (1, -1): a.roll(1, 1)})
        for name, edge in zip(("cx", "cy"), sparsify(stencil, shares(stencil)), strict=True):
            nodes(store, coarse, name)[...] = edge.numpy()
    return plane.complete(store, levels, num_sparsified, num_sparsified, singular)


def setup_box(
    x_faces: np.ndarray,
    y_faces: np.ndarray,
    z_faces: np.ndarray,
    excess: np.ndarray,
    store: np.ndarray,
    table: np.ndarray,
    offsets: np.ndarray,
    number: np.ndarray,
    wrap: np.ndarray,
    has_e: bool,
    singular: bool,
    shares: Shares,
    num_sparsified: int,
) -> bool:
    """Fill all levels; no axis is periodic. False if one is not positive definite."""
    box.begin(x_faces, y_faces, z_faces, excess, store, table, offsets, wrap, has_e)
    num_sparsified = min(num_sparsified, len(table) - 1)
    for level, coarse in pairwise(table[: num_sparsified + 1]):
        full = coarse.copy()
        full["num_neighbours"] = len(offsets)
        num_stored = int(coarse["num_stored"])
        C = np.zeros(len(offsets) * num_stored, store.dtype)
        box.descend(store, level, full, offsets, wrap, has_e, C)
        axes = coarse["present"].nonzero()[0]
        edges = torch.from_numpy(C).view(-1, *coarse["size"][axes].tolist())
        keys = [tuple(o[axes].tolist()) for o in offsets]
        n = tuple(coarse["n"][axes].tolist())
        stencil = Stencil(n, dict(zip(keys, edges, strict=True)))
        for axis, edge in enumerate(sparsify(stencil, shares(stencil))):
            k = keys.index(tuple(int(a == axis) for a in range(len(axes))))
            start = int(coarse["couplings"]) + k * num_stored
            store[start : start + edge.numel()] = edge.numpy().ravel()
    return box.complete(store, table, num_sparsified, offsets, number, wrap, has_e, singular)
