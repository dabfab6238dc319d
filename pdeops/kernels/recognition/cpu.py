"""Loops over the entries of a CSR matrix (numba).

The plain twin, which defines what is computed, is `recognition/reference.py`; the arguments are
explained in `recognition/__init__.py`. Rows are read in order and no array is copied. The loops
return codes; errors are raised in Python. Loops over grids are in `grids.py`, those over rows
that are put on a grid in `places.py`.
"""

import numpy as np

from ..runtime.jit import jit
from .layout import ASYMMETRIC, FINE, NOT_FINITE, OUT_OF_RANGE, UNORDERED
from .trees import root_of


@jit
def rows(starts, columns, values, diagonal, largest):
    """Same as `recognition.rows`; returns a code and the row it is about."""
    n = len(diagonal)
    for i in range(n):
        before, centre, top = np.int64(-1), 0.0, 0.0
        for s in range(starts[i], starts[i + 1]):
            j, size = np.int64(columns[s]), abs(values[s])
            if j <= before:
                return (UNORDERED if j < n else OUT_OF_RANGE), i
            before = j
            if not size < np.inf:
                return NOT_FINITE, i
            top = max(top, size)
            if j == i:
                centre = values[s]
        if before >= n:
            return OUT_OF_RANGE, i
        diagonal[i], largest[i] = centre, top
    return FINE, -1


@jit
def pairs(starts, columns, values, largest, tolerance, negligible, cursor, distances, place):
    """Same as `recognition.pairs`; returns a code and the number of distances.

    In row j the lower entries are met in order as the rows i < j above it are read; `cursor` marks
    how far. So the matrix is compared with its transpose without building it.

    Args:
        cursor: a copy of `starts`, which is used up (a copy made here would load more of numba).
        distances: receives the distances j - i > 0 that occur, in order of appearance; once it is
            full, no more are looked for.
        place: receives the row and the column of the entry that the code is about, and of the first
            positive entry.
    """
    n, known = len(largest), 0
    for i in range(n):
        s, end, mine = cursor[i], starts[i + 1], largest[i]
        while s < end and columns[s] < i:  # lower entries without a partner above
            j = np.int64(columns[s])
            if abs(values[s]) > tolerance * min(mine, largest[j]):
                place[0], place[1] = i, j
                return ASYMMETRIC, known
            s += 1
        guess = -1
        for u in range(s, end):
            j, a = np.int64(columns[u]), values[u]
            if j == i:
                continue
            t, last, partner = cursor[j], starts[j + 1], 0.0
            while t < last and columns[t] < i:
                k = np.int64(columns[t])
                if abs(values[t]) > tolerance * min(largest[j], largest[k]):
                    place[0], place[1] = j, k
                    return ASYMMETRIC, known
                t += 1
            if t < last and columns[t] == i:
                partner = values[t]
                t += 1
            cursor[j] = t
            if partner != a and abs(partner - a) > tolerance * min(mine, largest[j]):
                place[0], place[1] = i, j
                return ASYMMETRIC, known
            if abs(a) <= negligible * mine and abs(a) <= negligible * largest[j]:
                continue
            if a > 0 and place[2] < 0:
                place[2], place[3] = i, j
            if known > len(distances):
                continue
            guess += 1  # neighbours come in the same order in most rows
            if guess >= known or distances[guess] != j - i:
                guess = 0
                while guess < known and distances[guess] != j - i:
                    guess += 1
                if guess == known:
                    if known < len(distances):
                        distances[known] = j - i
                    known += 1
    return FINE, known


@jit
def node_distances(starts, columns, values, largest, negligible, width, period, found):
    """Same as `recognition.node_distances`; returns the number of distances, which are in `found`,
    or one more than it holds as soon as there are more."""
    known = 0
    for i in range(len(largest)):
        node = i // width % period
        for s in range(starts[i], starts[i + 1]):
            j = np.int64(columns[s])
            distance = j // width % period - node
            if distance <= 0 or abs(values[s]) <= negligible * min(largest[i], largest[j]):
                continue
            guess = 0
            while guess < known and found[guess] != distance:
                guess += 1
            if guess == known:
                if known == len(found):
                    return known + 1
                found[known] = distance
                known += 1
    return known


@jit
def totals(starts, columns, values, diagonal, signed, absolute, place):
    """Same as `recognition.totals`; `place` receives row and column of the first minor below 0."""
    for i in range(len(signed)):
        plus, size = 0.0, 0.0
        for s in range(starts[i], starts[i + 1]):
            j, a = columns[s], values[s]
            plus += a
            if j != i:
                size += abs(a)
                if place[0] >= 0 or abs(a) <= diagonal[i]:
                    continue
                if a * a > (1 + 1e-12) * diagonal[i] * diagonal[j]:
                    place[0], place[1] = i, j
        signed[i], absolute[i] = plus, size


@jit
def linked(starts, columns, values, root):
    """Same as `recognition.linked`."""
    n = len(root)
    for i in range(n):
        root[i] = i
    for i in range(n):
        for s in range(starts[i], starts[i + 1]):
            if columns[s] < i and values[s] != 0:
                if root[i] == root[columns[s]]:
                    continue
                a, b = root_of(root, i), root_of(root, columns[s])
                if a < b:
                    root[b] = a
                elif b < a:
                    root[a] = b
    for i in range(n):
        root[i] = root[root[i]]


@jit
def arrange(
    starts, columns, values, largest, negligible, position, grid, slots, sign, stop, store, place
):
    """Same as `recognition.arrange`; returns False if an entry has no slot.

    Args:
        position: the node of each row; empty if they are the same.
        grid: (3) nodes per axis, 1 where the axis is missing.
        slots: (slots, 8) per slot the distance in nodes, the offset per axis, and in `store` the
            first element and the distance of neighbours per axis.
        stop: the number of rows to read.
        store: if empty, nothing is stored.
        place: receives the row and the column of the entry without a slot.
    """
    moved = len(position) > 0
    x0, x1, x2 = 0, 0, -1
    for i in range(stop):
        if moved:
            node = position[i]
            x0, x1, x2 = node // (grid[1] * grid[2]), node // grid[2] % grid[1], node % grid[2]
        else:
            node = i
            x2 += 1
            if x2 == grid[2]:
                x2 = 0
                x1 += 1
                if x1 == grid[1]:
                    x1 = 0
                    x0 += 1
        guess = -1
        for s in range(starts[i], starts[i + 1]):
            j, a = np.int64(columns[s]), values[s]
            distance = (position[j] if moved else j) - node
            if distance <= 0 or a == 0:
                continue
            small = abs(a) <= negligible * min(largest[i], largest[j])
            if small and sign < 0 < a:  # a face holds no negative coupling
                continue
            guess += 1  # neighbours come in the same order in most rows
            at = -1
            for attempt in range(-1, len(slots)):
                slot = guess if attempt < 0 else attempt
                if slot < len(slots) and slots[slot, 0] == distance:
                    y0, y1, y2 = x0 + slots[slot, 1], x1 + slots[slot, 2], x2 + slots[slot, 3]
                    if 0 <= y0 < grid[0] and 0 <= y1 < grid[1] and 0 <= y2 < grid[2]:
                        at = slots[slot, 4] + x0 * slots[slot, 5] + x1 * slots[slot, 6]
                        at += x2 * slots[slot, 7]
                        guess = slot
                        break
            if at >= 0:
                if len(store):
                    store[at] = sign * a
            elif not small:
                place[0], place[1] = i, j
                return False
    return True
