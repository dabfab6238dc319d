"""Loops over the entries of a CSR matrix and over the faces of a grid (numba).

The plain twin, which defines what is computed, is `recognition/reference.py`; the arguments are
explained in `recognition/__init__.py`. Every row is read in order and no array is copied. The loops
return codes; errors are raised in Python.
"""

import numpy as np

from ..runtime.jit import jit
from .layout import AMBIGUOUS, ASYMMETRIC, FINE, NOT_FINITE, OUT_OF_RANGE, UNORDERED, WEAK


@jit
def rows(starts, columns, values, diagonal, largest):
    """Same as `recognition.rows`; returns a code and the row it is about."""
    n = len(diagonal)
    for i in range(n):
        before, centre, top = -1, 0.0, 0.0
        for s in range(starts[i], starts[i + 1]):
            j, size = columns[s], abs(values[s])
            if j <= before:
                return (UNORDERED if 0 <= j else OUT_OF_RANGE), i
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
def pairs(starts, columns, values, largest, tolerance, negligible, distances, place):
    """Same as `recognition.pairs`; returns a code and the number of distances.

    In row j the lower entries are met in order as the rows i < j above it are read; `cursor` marks
    how far. So the matrix is compared with its transpose without building it.

    Args:
        distances: receives the distances j - i > 0 that occur, in order of appearance; once it is
            full, no more are looked for.
        place: receives the row and the column of the entry that the code is about, and of the first
            positive entry.
    """
    n, known = len(largest), 0
    cursor = starts[:-1].copy()
    for i in range(n):
        s, end, mine = cursor[i], starts[i + 1], largest[i]
        while s < end and columns[s] < i:  # lower entries without a partner above
            j = columns[s]
            if abs(values[s]) > tolerance * min(mine, largest[j]):
                place[0], place[1] = i, j
                return ASYMMETRIC, known
            s += 1
        guess = -1
        for u in range(s, end):
            j, a = columns[u], values[u]
            if j == i:
                continue
            t, last, partner = cursor[j], starts[j + 1], 0.0
            while t < last and columns[t] < i:
                k = columns[t]
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
def arrange(
    starts, columns, values, largest, negligible, position, grid, slots, sign, store, place
):
    """Same as `recognition.arrange`; returns False if an entry has no slot.

    Args:
        position: the node of each row; empty if they are the same.
        grid: (3) nodes per axis, 1 where the axis is missing.
        slots: (slots, 8) per slot the distance in nodes, the offset per axis, and in `store` the
            first element and the distance of neighbours per axis.
        place: receives the row and the column of the entry without a slot.
    """
    n, moved = len(largest), len(position) > 0
    x0, x1, x2 = 0, 0, -1
    for i in range(n):
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
            j, a = columns[s], values[s]
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
                store[at] = sign * a
            elif not small:
                place[0], place[1] = i, j
                return False
    return True


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
def root_of(parent, i):
    """The root of i; the path to it is halved."""
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


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
                    if x == grid[axis] - 1 and not periodic[axis]:
                        if open_[at + slots[axis, 5 + axis]]:
                            held[node] = 1
                    if not open_[at]:
                        continue
                    other = node - slots[axis, 0]
                    if x == 0:
                        if not periodic[axis]:
                            continue
                        other = node + (grid[axis] - 1) * slots[axis, 0]
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


@jit
def across(starts, columns, values, largest, negligible, i, sign, found):
    """The couplings of i to rows after it (sign 1) or before it (-1), next ones aside.

    Returns their number, 3 for more than two; `found` receives their columns in ascending order.
    """
    number = 0
    for s in range(starts[i], starts[i + 1]):
        j, a = columns[s], abs(values[s])
        if sign * (j - i) < 2 or a <= negligible * min(largest[i], largest[j]):
            continue
        if number == 2:
            return 3
        found[number] = j
        number += 1
    return number


@jit
def embed(starts, columns, values, largest, negligible, line, plane, default, parent, shift):
    """Same as `recognition.embed`; returns FINE, or AMBIGUOUS if the rows fit no grid.

    Places are x + line * y + plane * z, relative to the root of a component.

    Args:
        line, plane: the steps from one line to the next and from one plane to the next; plane 0 in
            two dimensions.
        default: the step of a coupling that neither its ends nor other couplings tell.
    """
    n = len(largest)
    after, before = np.empty(2, np.int64), np.empty(2, np.int64)
    for i in range(n):
        for s in range(starts[i], starts[i + 1]):
            if columns[s] == i + 1:
                if abs(values[s]) > negligible * min(largest[i], largest[i + 1]):
                    join(parent, shift, i, i + 1, 1)
    for i in range(n):
        up = across(starts, columns, values, largest, negligible, i, 1, after)
        down = across(starts, columns, values, largest, negligible, i, -1, before)
        if max(up, down) > (2 if plane else 1):
            return AMBIGUOUS
        if plane == 0:
            if up == 1 and not join(parent, shift, i, after[0], line):
                return AMBIGUOUS
            continue
        if up == 2:  # the next line comes before the next plane
            if not join(parent, shift, i, after[0], line):
                return AMBIGUOUS
            if not join(parent, shift, i, after[1], plane):
                return AMBIGUOUS
        if down == 2:
            if not join(parent, shift, before[0], i, plane):
                return AMBIGUOUS
            if not join(parent, shift, before[1], i, line):
                return AMBIGUOUS
    if plane == 0:
        return FINE
    for decide in range(2):  # couplings within a component first: they need no decision
        for i in range(n):
            if across(starts, columns, values, largest, negligible, i, 1, after) != 1:
                continue
            j = after[0]
            if settle(parent, shift, i) == settle(parent, shift, j):
                step = shift[j] - shift[i]
                if step not in (line, plane):
                    return AMBIGUOUS
            elif decide:
                join(parent, shift, i, j, default)
    return FINE


@jit
def settled(parent, shift, roots, shifts):
    """The root of each row, the first row of its component, and its place relative to it."""
    for i in range(len(parent)):
        roots[i] = settle(parent, shift, i)
        shifts[i] = shift[i]


@jit
def totals(starts, columns, values, signed, absolute):
    """Same as `recognition.totals`."""
    for i in range(len(signed)):
        plus, size = 0.0, 0.0
        for s in range(starts[i], starts[i + 1]):
            plus += values[s]
            if columns[s] != i:
                size += abs(values[s])
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
                a, b = root_of(root, i), root_of(root, columns[s])
                if a < b:
                    root[b] = a
                elif b < a:
                    root[a] = b
    for i in range(n):
        root[i] = root[root[i]]
