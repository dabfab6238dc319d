"""Strong couplings and the splitting into coarse and fine unknowns (numba).

The plain twin is `amg/setup_reference.py`. Couplings are those of a symmetric matrix with sorted
columns; a flag of two bits belongs to each entry a_ij.
"""

from ..runtime.jit import inner, jit

DEPENDS, INFLUENCES = 1, 2  # i depends strongly on j; j depends strongly on i
FINE, COARSE, UNDECIDED = 0, 1, -1
NONE = -1  # the end of a list


@jit
def strong_couplings(starts, columns, values, theta, cursor, strong):
    """Set the flags of each entry: i depends strongly on j if -a_ij >= θ max_k(-a_ik) > 0.

    Rows are read in order, and columns are sorted: the entry of the transpose that belongs to a_ij
    is the next one of row j. `cursor` is work memory, one number per row.
    """
    n = len(starts) - 1
    for i in range(n):
        cursor[i] = starts[i]
    for i in range(n):
        least = 0.0
        for s in range(starts[i], starts[i + 1]):
            if values[s] < least and columns[s] != i:
                least = values[s]
        limit = theta * least
        for s in range(starts[i], starts[i + 1]):
            j = columns[s]
            t = cursor[j]
            cursor[j] = t + 1
            if least < 0 and values[s] <= limit and j != i:
                strong[s] |= DEPENDS
                strong[t] |= INFLUENCES


@inner
def put(i, weight, head, after, before):
    """Insert i at the front of the list of a weight."""
    first = head[weight]
    after[i], before[i], head[weight] = first, NONE, i
    if first != NONE:
        before[first] = i


@inner
def take(i, weight, head, after, before):
    """Remove i from the list of its weight."""
    a, b = after[i], before[i]
    if b != NONE:
        after[b] = a
    else:
        head[weight] = a
    if a != NONE:
        before[a] = b


@jit
def splitting(starts, columns, strong, kind, head, weight, after, before):
    """The first pass of Ruge and Stüben; returns the number of coarse unknowns.

    The undecided unknown that most undecided and, counted twice, fine unknowns depend on becomes
    coarse, and those that depend on it fine. One on which none depends becomes fine if it depends
    on a coarse one, else coarse. An unknown without strong couplings is fine.

    Undecided unknowns are in lists, one for each weight, the latest first; so the coarse unknowns
    spread from one region into its surroundings. kind[i] receives FINE or COARSE; the others are
    work memory: `head` has one number per weight, the others one per row.
    """
    n = len(starts) - 1
    count, top = 0, 0
    for k in range(len(head)):
        head[k] = NONE
    for i in range(n - 1, -1, -1):
        depending, coupled = 0, False
        for s in range(starts[i], starts[i + 1]):
            coupled |= strong[s] != 0
            depending += strong[s] >> 1
        kind[i] = FINE
        if coupled:
            kind[i] = UNDECIDED
            weight[i] = depending
            put(i, depending, head, after, before)
            top = max(top, depending)
    while top >= 0:
        i = head[top]
        if i == NONE:
            top -= 1
            continue
        take(i, top, head, after, before)
        if top == 0:
            kind[i] = COARSE
            for s in range(starts[i], starts[i + 1]):
                if strong[s] & DEPENDS and kind[columns[s]] == COARSE:
                    kind[i] = FINE
            count += kind[i]
            continue
        kind[i] = COARSE
        count += 1
        for s in range(starts[i], starts[i + 1]):
            j = columns[s]
            if not (strong[s] & INFLUENCES and kind[j] == UNDECIDED):
                continue
            kind[j] = FINE
            take(j, weight[j], head, after, before)
            for t in range(starts[j], starts[j + 1]):
                k = columns[t]
                if strong[t] & DEPENDS and kind[k] == UNDECIDED:
                    take(k, weight[k], head, after, before)
                    weight[k] += 1
                    put(k, weight[k], head, after, before)
                    top = max(top, weight[k])
        for s in range(starts[i], starts[i + 1]):
            k = columns[s]
            if strong[s] & DEPENDS and kind[k] == UNDECIDED and weight[k] > 0:
                take(k, weight[k], head, after, before)
                weight[k] -= 1
                put(k, weight[k], head, after, before)
    return count
