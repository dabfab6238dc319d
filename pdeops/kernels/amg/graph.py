"""Distances in the graph of a sparse matrix (numba)."""

import numpy as np

from ..runtime.jit import jit


@jit
def distances(starts, columns, root, depth, queue):
    """Breadth-first search from `root` (Cuthill & McKee 1969).

    depth[i] becomes the number of edges from the root to row i, for the rows that are reached;
    the others keep their value, which must be -1 at the start. queue[:n] lists the n rows reached,
    in order of distance; n is returned.
    """
    depth[root], queue[0], last = 0, root, 1
    first = 0
    while first < last:
        i = queue[first]
        first += 1
        for s in range(starts[i], starts[i + 1]):
            j = columns[s]
            if depth[j] < 0:
                depth[j] = depth[i] + 1
                queue[last] = j
                last += 1
    return last


@jit
def breadth_first(starts, columns, order, seen):
    """All rows, component by component, each by breadth-first search; `seen` is False for each."""
    first, last = 0, 0
    for root in range(len(seen)):
        if seen[root]:
            continue
        order[last], seen[root] = root, True
        last += 1
        while first < last:
            i = order[first]
            first += 1
            for s in range(starts[i], starts[i + 1]):
                j = columns[s]
                if not seen[j]:
                    order[last], seen[j] = j, True
                    last += 1


@jit
def mean_distance(starts, columns):
    """The mean of |j - i| over all entries."""
    total = 0.0
    for i in range(len(starts) - 1):
        for s in range(starts[i], starts[i + 1]):
            total += abs(np.int64(columns[s]) - i)
    return total / max(len(columns), 1)
