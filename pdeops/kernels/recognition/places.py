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
    most = 2 if plane else 1
    for i in range(n):  # most other matrices end here
        if across(starts, columns, values, largest, negligible, i, 1, after) > most:
            return AMBIGUOUS
    for i in range(n):
        for s in range(starts[i], starts[i + 1]):
            if columns[s] != i + 1:
                continue
            if abs(values[s]) > negligible * min(largest[i], largest[i + 1]):
                join(parent, shift, i, i + 1, 1)
    low, high, step = np.empty(4, np.int64), np.empty(4, np.int64), np.empty(4, np.int64)
    for i in range(n):
        up = across(starts, columns, values, largest, negligible, i, 1, after)
        down = across(starts, columns, values, largest, negligible, i, -1, before)
        if down > most:
            return AMBIGUOUS
        count = 0
        if up == most:
            for k in range(up):  # the next line comes before the next plane
                low[count], high[count], step[count] = i, after[k], plane if k else line
                count += 1
        if down == 2:
            for k in range(2):
                low[count], high[count], step[count] = before[k], i, line if k else plane
                count += 1
        for k in range(count):
            if not join(parent, shift, low[k], high[k], step[k]):
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
def settled(parent, shift, line, component, place):
    """The component of each row, by its first row, and its place in the component from 0.

    Args:
        place: (rows, 3) plane, line and place in the line.
    """
    n, known = len(parent), 0
    half = line // 2  # so that the digits are not negative
    middle = half * (1 + line + line * line)
    for i in range(n):
        root = settle(parent, shift, i)
        if root == i:
            component[i] = known
            known += 1
        else:
            component[i] = component[root]
        digits = shift[i] + middle
        place[i, 2] = digits % line
        place[i, 1] = digits // line % line
        place[i, 0] = digits // (line * line)
    least = np.full((known, 3), line, np.int64)
    for i in range(n):
        for axis in range(3):
            least[component[i], axis] = min(least[component[i], axis], place[i, axis])
    for i in range(n):
        for axis in range(3):
            place[i, axis] -= least[component[i], axis]
