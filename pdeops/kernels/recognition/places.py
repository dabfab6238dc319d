"""Loops that put the rows of a matrix on a grid, by their couplings (numba)."""

import numpy as np

from ..runtime.jit import jit
from .layout import AMBIGUOUS, FINE
from .trees import join, settle


@jit
def across(starts, columns, values, largest, negligible, i, sign, found):
    """The couplings of i to rows after it (sign 1) or before it (-1), next ones aside.

    Returns their number, 3 for more than two; `found` receives their columns in ascending order.
    """
    number = 0
    for s in range(starts[i], starts[i + 1]):
        j, a = np.int64(columns[s]), abs(values[s])
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
            if columns[s] != i + 1:
                continue
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
