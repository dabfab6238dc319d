"""Levels, arrays and index tables of multigrid for stencils of 3^d points.

**Nodes.** An axis with n unknowns stores n + 3 nodes; the unknowns have the indices 1 .. n, all
values at other nodes are zero. Coarse nodes are those with even indices on the axes that are
coarsened: coarse node I is fine node 2I, and N = n // 2.

**Entries** of A are stored as K + 1 fields: the couplings a(p, p + δ_k) for the K offsets of
`stencil_offsets`, then the diagonal.

**Weights** of P are stored by cells: cell I of a coarsened axis contains the nodes 2I and 2I + 1.
A weight is named by its parity (1 on the axes where the node's index is odd) and its corner (1 on
the axes where it belongs to the higher of the two coarse neighbours); weight t of the node
2I + parity to the coarse node I + corner is `weights[t, I]`. On an axis that is not coarsened, both
are 0 and nodes and cells are the same.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product
from typing import Any

import numpy as np

from ..blackbox.layout import STRONG
from ..stencil import stencil_offsets

DIRECT = 256  # a level of at most so many unknowns is solved by the inverse of its matrix

Index = tuple[int, ...]


@dataclass(frozen=True)
class Grid:
    """The grid of a level.

    Attributes:
        n: number of unknowns per axis.
        coarsen: the axes that the next level coarsens; none on the coarsest level.
    """

    n: Index
    coarsen: tuple[bool, ...]

    @property
    def ndim(self) -> int:
        return len(self.n)

    @property
    def size(self) -> Index:
        """Stored nodes per axis."""
        return tuple(k + 3 for k in self.n)

    @property
    def num_stored(self) -> int:
        return math.prod(self.size)

    @cached_property
    def stride(self) -> Index:
        return strides(self.size)

    @property
    def coarse(self) -> Index:
        """Number of unknowns per axis of the next level."""
        return tuple(k // 2 if c else k for k, c in zip(self.n, self.coarsen, strict=True))

    @cached_property
    def coarse_size(self) -> Index:
        return tuple(k + 3 for k in self.coarse)

    @cached_property
    def offsets(self) -> list[Index]:
        return stencil_offsets(self.ndim)

    @cached_property
    def weights(self) -> list[tuple[Index, Index]]:
        """Parity and corner of each weight; the nodes that are coarse nodes come first."""
        per_axis = [((0, 0), (1, 0), (1, 1)) if c else ((0, 0),) for c in self.coarsen]
        pairs = [tuple(zip(*choice, strict=True)) for choice in product(*per_axis)]
        return sorted(pairs, key=lambda pair: (sum(pair[0]), pair))  # type: ignore[arg-type]

    def inside(self) -> tuple[Any, ...]:
        """The unknowns in an array of stored nodes, as an index of the last axes."""
        return (..., *(slice(1, k + 1) for k in self.n))


def strides(size: Index) -> Index:
    """Distances between neighbours in a flat array."""
    return tuple(math.prod(size[axis + 1 :]) for axis in range(len(size)))


def levels(n: Sequence[int], strength: Sequence[float], with_lines: bool) -> list[Grid]:
    """The grids of all levels, finest first.

    Args:
        strength: mean coupling per axis. Only axes with strong coupling are coarsened, because
            smoothing by points has no effect along the others.
        with_lines: lines are solved along the strongest direction; all axes are coarsened.
    """
    shape, strong = tuple(n), list(strength)
    result = []
    while math.prod(shape) > DIRECT:
        able = [k > 1 for k in shape]
        best = max(s for s, a in zip(strong, able, strict=True) if a)
        coarsen = tuple(
            a and (with_lines or s >= STRONG * best) for s, a in zip(strong, able, strict=True)
        )
        result.append(Grid(shape, coarsen))
        shape = result[-1].coarse
        strong = [s / 4 if c else s for s, c in zip(strong, coarsen, strict=True)]
    return [*result, Grid(shape, (False,) * len(shape))]


def flat(index: Index, stride: Index) -> int:
    """The distance of an index vector in a flat array."""
    return sum(i * s for i, s in zip(index, stride, strict=True))


def transfers(grid: Grid) -> np.ndarray:
    """Rows (fine, coarse): for each weight the distance of its node from fine node 2I, and of its
    coarse node from coarse node I."""
    coarse = strides(grid.coarse_size)
    rows = [(flat(p, grid.stride), flat(c, coarse)) for p, c in grid.weights]
    return np.array(rows, np.int64)


def galerkin(grid: Grid) -> np.ndarray:
    """The terms of Pᵀ A P: rows (result, w, at w, entry, at entry, v, at v).

    Entry `result` of the coarse matrix at coarse node I is the sum of w[I] a[2I] v[I] over its
    rows, at the given distances, where w and v are weights and a an entry of A. Row x of P, with
    weight w to coarse node I, meets row x + δ, with weight v to coarse node I + Δ, for Δ = 0 and
    one of each pair of opposite neighbours.
    """
    numbers, places = _terms(grid.coarsen)
    coarse = np.array(strides(grid.coarse_size))
    at = [places[:, 0] @ coarse, places[:, 1] @ np.array(grid.stride), places[:, 2] @ coarse]
    result, w, entry, v = numbers.T
    return np.ascontiguousarray(np.column_stack((result, w, at[0], entry, at[1], v, at[2])))


@lru_cache(maxsize=32)
def _terms(coarsen: tuple[bool, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The terms of Pᵀ A P as (result, w, entry, v), and index vectors of the places of w, a, v."""
    ndim = len(coarsen)
    grid = Grid((1,) * ndim, coarsen)
    number = {pair: t for t, pair in enumerate(grid.weights)}
    results = {delta: k for k, delta in enumerate([*grid.offsets, (0,) * ndim])}
    terms = []
    for w, (parity, corner) in enumerate(grid.weights):
        cell = tuple(-c for c in corner)
        x = tuple(2 * i + p for i, p in zip(cell, parity, strict=True))
        for delta in product((-1, 0, 1), repeat=ndim):
            y = tuple(i + o for i, o in zip(x, delta, strict=True))
            entry, at = _entry(delta, x, grid.offsets)
            odd = tuple(i % 2 if c else 0 for i, c in zip(y, coarsen, strict=True))
            low = tuple(i // 2 if c else i for i, c in zip(y, coarsen, strict=True))
            for corner_y in product(*[(0, 1) if p else (0,) for p in odd]):
                target = tuple(i + c for i, c in zip(low, corner_y, strict=True))
                if target in results:
                    v = number[odd, corner_y]
                    terms.append(((results[target], w, entry, v), (cell, at, low)))
    terms.sort()
    return np.array([t for t, _ in terms]), np.array([p for _, p in terms])


def _entry(delta: Index, x: Index, offsets: list[Index]) -> tuple[int, Index]:
    """The field that stores a(x, x + δ), and the node where it is stored."""
    if delta in offsets:
        return offsets.index(delta), x
    if not any(delta):
        return len(offsets), x
    opposite = tuple(-o for o in delta)
    return offsets.index(opposite), tuple(i + o for i, o in zip(x, delta, strict=True))


def rows(ranges: Sequence[Sequence[int]], stride: Index, first: int) -> np.ndarray:
    """Flat indices of the nodes with last index `first`, for all indices of the leading axes."""
    starts = np.full((1,) * (len(stride) - 1), first, np.int64)
    for axis, indices in enumerate(ranges):
        shape = [1] * (len(stride) - 1)
        shape[axis] = len(indices)
        starts = starts + (np.array(indices, np.int64) * stride[axis]).reshape(shape)
    return np.ascontiguousarray(starts.reshape(-1))
