"""Distances in the graph of a sparse matrix (numba)."""

import numpy as np

from ..runtime.jit import jit


@jit
def search(starts, columns, root, seen, queue, first, within):
    """Breadth-first search from `root` (Cuthill & McKee 1969), through rows not seen before.

    The rows it reaches are appended to `queue` from position `first` on, in order of their distance
    from the root; within[r] becomes the number of those at most r edges away. Returns the end of
    the queue and the number of distances.
    """
    queue[first], seen[root] = root, True
    begin, end, radius = first, first + 1, 0
    while begin < end:
        within[radius] = end - first
        radius += 1
        last = end
        for q in range(begin, last):
            i = queue[q]
            for s in range(starts[i], starts[i + 1]):
                j = columns[s]
                if not seen[j]:
                    queue[end], seen[j] = j, True
                    end += 1
        begin = last
    return end, radius


@jit
def breadth_first(starts, columns, seen, queue, within):
    """All rows, component by component, each in the order of `search`."""
    end = 0
    for root in range(len(seen)):
        if not seen[root]:
            end, _ = search(starts, columns, np.uint32(root), seen, queue, end, within)


@jit
def mean_distance(starts, columns):
    """The mean of |j - i| over all entries."""
    total = 0.0
    for i in range(len(starts) - 1):
        for s in range(starts[i], starts[i + 1]):
            total += abs(np.int64(columns[s]) - i)
    return total / max(len(columns), 1)
