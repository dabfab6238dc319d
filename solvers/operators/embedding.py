"""Rows of a matrix put back on a grid of which some nodes are not unknowns."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...kernels import recognition
from ...kernels.recognition import Entries

SPARSEST = 8  # a box has at most this many nodes per row
MOST = 15  # entries in most rows: seven points, and zeros that tetrahedra or bricks leave there


@dataclass(frozen=True)
class Places:
    """The nodes of the rows of a matrix.

    Attributes:
        shape: of the grid.
        position: the node of each row, flat in C order.
    """

    shape: tuple[int, ...]
    position: Any

    def spread(self, values: Any) -> Any:
        """Values of the rows at all nodes, 0 where there is no row."""
        field = np.zeros(math.prod(self.shape))
        field[self.position] = values
        return field


def places(A: Entries) -> Iterator[Places]:
    """Grids of two and three axes that the rows may be on, numbered row by row."""
    if np.median(np.diff(A.starts)) > MOST:
        return
    for ndim, default in ((2, 1), (3, 1), (3, 2)):
        found = recognition.embed(A, ndim, default)
        if found is not None and (laid := _lay_out(found[0], found[1][:, 3 - ndim :])):
            yield laid
            return


def _lay_out(component: Any, place: Any) -> Places | None:
    """All components on one grid, one after the other along the first axis; rows without couplings
    at nodes that are free. None if two rows have one node, or too many nodes have none."""
    sizes = np.bincount(component)
    alone = sizes[component] == 1
    extent = np.zeros((len(sizes), place.shape[1]), dtype=np.int64)
    for axis, values in enumerate(place.T):
        if len(sizes) == 1:
            extent[0, axis] = values.max() + 1
        else:
            np.maximum.at(extent[:, axis], component, values + 1)
    extent[sizes == 1] = 0
    first = np.cumsum(extent[:, 0]) - extent[:, 0]
    shape = [int(extent[:, 0].sum()), *(int(n) for n in extent[:, 1:].max(axis=0))]
    across = math.prod(shape[1:])
    if across == 0 or math.prod(shape) > SPARSEST * len(component):
        return None
    shape[0] = max(shape[0], -(-len(component) // across))
    position = first[component]
    for axis, n in enumerate(shape):
        position = position * (n if axis else 1) + place[:, axis]
    taken = np.bincount(position[~alone], minlength=math.prod(shape))
    if taken.max(initial=0) > 1:
        return None
    if alone.any():
        position[alone] = np.flatnonzero(taken == 0)[: int(alone.sum())]
    return Places(tuple(shape), position)
