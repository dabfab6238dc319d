"""Loops over the nodes of a grid and the couplings at their faces (numba)."""

import numpy as np

from ..runtime.jit import jit
from .layout import FINE, WEAK
from .trees import root_of


@jit
def balance(diagonal, grid, periodic, slots, tolerance, store, excess, hanging, counts, bounds):
    """Same as `recognition.balance`; returns a code and the node it is about.

    Args:
        slots: those of the faces, see `arrange`; the distance 0 marks a missing axis.
        store: the couplings at the faces; those at the ends of axes that are not periodic are
            written.
        hanging: receives 1 at nodes with one neighbour and no excess.
        counts: receives the numbers of nodes with an excess inside, hanging nodes, inner faces
            without coupling and nodes with a zero row.
        bounds: receives the smallest positive and the largest coupling.
    """
    node = -1
    low, high = np.inf, 0.0
    for x0 in range(grid[0]):
        for x1 in range(grid[1]):
            for x2 in range(grid[2]):
                node += 1
                total, degree, open_ends, closed = 0.0, 0, 0, 0
                for axis in range(3):
                    if slots[axis, 0] == 0:
                        continue
                    x = x0 if axis == 0 else (x1 if axis == 1 else x2)
                    at = slots[axis, 4] + x0 * slots[axis, 5]
                    at += x1 * slots[axis, 6] + x2 * slots[axis, 7]
                    step = slots[axis, 5 + axis]
                    # slots place the face above a node: face x + 1
                    for side in range(2):
                        c = store[at - step + side * step]
                        total += c
                        if c > 0:
                            degree += 1
                            low, high = min(low, c), max(high, c)
                        elif not periodic[axis] and x == (grid[axis] - 1) * side:
                            open_ends += 1
                        else:
                            counts[2] += 1
                            beyond = (2 * side - 1) * slots[axis, 0]
                            if not periodic[axis] and diagonal[node + beyond] == 0:
                                closed += 1
                centre = diagonal[node]
                surplus = centre - total
                bound = tolerance * (abs(centre) + total)
                if surplus < -bound:
                    return WEAK, node
                if surplus <= bound:
                    if degree == 1:
                        hanging[node] = 1
                        counts[1] += 1
                    if degree == 0:
                        counts[3] += 1
                    continue
                share = surplus / max(open_ends + closed, 1)
                if open_ends < 1 or closed > 0:
                    excess[node] = surplus - share * open_ends
                    counts[0] += 1
                if open_ends == 0:
                    continue
                low, high = min(low, share), max(high, share)
                for axis in range(3):
                    if slots[axis, 0] == 0 or periodic[axis]:
                        continue
                    x = x0 if axis == 0 else (x1 if axis == 1 else x2)
                    at = slots[axis, 4] + x0 * slots[axis, 5]
                    at += x1 * slots[axis, 6] + x2 * slots[axis, 7]
                    if x == 0:
                        store[at - slots[axis, 5 + axis]] = share
                    if x == grid[axis] - 1:
                        store[at] = share
    bounds[0], bounds[1] = low, high
    return FINE, -1


@jit
def components(grid, periodic, slots, open_, fluid, held, labels):
    """Same as `recognition.components`; returns the number of floating components."""
    n = len(fluid)
    parent = np.arange(n).astype(np.int32)
    node = -1
    for x0 in range(grid[0]):
        for x1 in range(grid[1]):
            for x2 in range(grid[2]):
                node += 1
                for axis in range(3):
                    if slots[axis, 0] == 0:
                        continue
                    x = x0 if axis == 0 else (x1 if axis == 1 else x2)
                    at = slots[axis, 4] + x0 * slots[axis, 5]
                    at += x1 * slots[axis, 6] + x2 * slots[axis, 7] - slots[axis, 5 + axis]
                    if x == 0 and open_[at] and not periodic[axis]:
                        held[node] = 1
                    last = x == grid[axis] - 1 and not periodic[axis]
                    if last and open_[at + slots[axis, 5 + axis]]:
                        held[node] = 1
                    if not open_[at]:
                        continue
                    other = node - slots[axis, 0]
                    if x == 0:
                        if not periodic[axis]:
                            continue
                        other = node + (grid[axis] - 1) * slots[axis, 0]
                    if parent[node] == parent[other]:
                        continue
                    a, b = root_of(parent, node), root_of(parent, other)
                    if a < b:
                        parent[b] = a
                    elif b < a:
                        parent[a] = b
    for i in range(n):  # roots come before their nodes
        parent[i] = parent[parent[i]]
        if held[i] and fluid[i]:
            labels[parent[i]] = -2
    number = 0
    for i in range(n):
        root = parent[i]
        if not fluid[i]:
            labels[i] = -1
        elif root == i:
            if labels[i] == -2:
                labels[i] = 0
            else:
                number += 1
                labels[i] = number
        else:
            labels[i] = labels[root]
    return number
