"""Union-find: the root of a row, and its place relative to the root (numba)."""

import numpy as np

from ..runtime.jit import jit


@jit
def root_of(parent, i):
    """The root of i; the path to it is halved."""
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@jit
def settle(parent, shift, i):
    """The root of i; after it parent[i] is the root and shift[i] the place of i relative to it."""
    root, total = i, np.int64(0)
    while parent[root] != root:
        total += shift[root]
        root = parent[root]
    while parent[i] != root and i != root:
        above, part = parent[i], shift[i]
        parent[i], shift[i] = root, total
        total -= part
        i = above
    return root


@jit
def join(parent, shift, i, j, step):
    """Put j at the place of i plus `step`; False if it already has another place."""
    a, b = settle(parent, shift, i), settle(parent, shift, j)
    if a == b:
        return shift[j] - shift[i] == step
    if a < b:
        parent[b], shift[b] = a, shift[i] + step - shift[j]
    else:
        parent[a], shift[a] = b, shift[j] - step - shift[i]
    return True
