"""Layout of sparse matrices for fast products (numba): order of the unknowns, slices of rows.

A product with rows of few entries takes most of its time for mispredicted ends of rows, and, where
neighbours have distant numbers, for the cache. The unknowns are therefore numbered breadth first,
as Cuthill & McKee (1969) do without their sorting, and rows are sorted by their number of entries
within windows of a few hundred. LANES successive rows are a slice, padded to its longest row and
stored column by column (sliced ELLPACK; Kreutzer, Hager, Wellein, Fehske & Bishop 2014).

Arrays are CSR with int32 indices; slices have uint32 ones, because numba tests each signed index
for being negative.
"""

import numpy as np

from ..runtime.jit import jit
from .limits import LONGEST_SORTED, WINDOW

LANES = 8  # rows of a slice; `cpu.py` writes them out


def order_of(starts: np.ndarray, columns: np.ndarray, first: np.ndarray, second: np.ndarray):
    """The order of the unknowns in memory, new -> given, for a symmetric pattern.

    Args:
        first, second: numbers of entries; within a window, rows are sorted by `first`, and by
            `second` where that is equal.
    """
    n = len(starts) - 1
    order = np.empty(n, np.int32)
    breadth_first(starts, columns, order)
    scratch, counts = np.empty(WINDOW, np.int32), np.empty(LONGEST_SORTED + 2, np.int64)
    for lengths in (second, first):  # stable, so that the last one dominates
        sort_windows(lengths, order, scratch, counts)
    return order


def slices_of(
    matrix: tuple[np.ndarray, np.ndarray, np.ndarray], dtype: np.typing.DTypeLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The slices of a CSR matrix: (starts, columns, values). Padding has the value 0."""
    starts, columns, values = matrix
    bounds = np.zeros(-(-(len(starts) - 1) // LANES) + 1, np.uint32)
    slice_starts(starts, bounds)
    wide = np.empty(bounds[-1], np.uint32), np.empty(bounds[-1], dtype)
    fill_slices(starts, columns, values, bounds, *wide)
    return bounds, wide[0], wide[1]


@jit
def breadth_first(starts, columns, order):
    """Unknowns by their distance from the first of their component."""
    n = len(order)
    found = np.zeros(n, np.bool_)
    end = 0
    for root in range(n):
        if found[root]:
            continue
        found[root] = True
        order[end] = root
        here, end = end, end + 1
        while here < end:
            i = order[here]
            here += 1
            for p in range(starts[i], starts[i + 1]):
                j = columns[p]
                if not found[j]:
                    found[j] = True
                    order[end] = j
                    end += 1


@jit
def sort_windows(lengths, order, scratch, counts):
    """Sort each window of the order by descending lengths; stable (counting sort)."""
    longest = len(counts) - 2
    for begin in range(0, len(order), len(scratch)):
        end = min(begin + len(scratch), len(order))
        counts[:] = 0
        for k in range(begin, end):
            counts[longest - min(lengths[order[k]], longest) + 1] += 1
        for c in range(longest):
            counts[c + 1] += counts[c]
        for k in range(begin, end):
            key = longest - min(lengths[order[k]], longest)
            scratch[counts[key]] = order[k]
            counts[key] += 1
        order[begin:end] = scratch[: end - begin]


@jit
def renumbered(starts, columns, values, order, scale, out_starts, out_columns, out_values):
    """S P Aᵀ Pᵀ S with sorted columns, P the order (new -> given), S the diagonal `scale` in the
    new order."""
    n = len(order)
    place = np.empty(n, np.int32)
    for i in range(n):
        place[order[i]] = i
    out_starts[:] = 0
    for p in range(len(columns)):
        out_starts[place[columns[p]] + 1] += 1
    for i in range(n):
        out_starts[i + 1] += out_starts[i]
    following = out_starts[:-1].copy()
    for i in range(n):  # row i of A is column i of the transposed matrix
        for p in range(starts[order[i]], starts[order[i] + 1]):
            j = place[columns[p]]
            q = following[j]
            following[j] = q + 1
            out_columns[q] = i
            out_values[q] = values[p] * scale[i] * scale[j]


@jit
def has_symmetric_pattern(starts, columns):
    """Whether (j, i) is an entry where (i, j) is one, for sorted columns."""
    following = starts[:-1].copy()
    for i in range(len(starts) - 1):
        for p in range(starts[i], starts[i + 1]):
            j = columns[p]
            q = following[j]
            if q >= starts[j + 1] or columns[q] != i:
                return False
            following[j] = q + 1
    return True


@jit
def slice_starts(starts, bounds):
    """The first entry of each slice."""
    n = len(starts) - 1
    for s in range(len(bounds) - 1):
        longest = 0
        for i in range(s * LANES, min(s * LANES + LANES, n)):
            longest = max(longest, starts[i + 1] - starts[i])
        bounds[s + 1] = bounds[s] + longest * LANES


@jit
def fill_slices(starts, columns, values, bounds, out_columns, out_values):
    """Entry k of lane l of a slice has the place k LANES + l; padding refers to the first row of
    its slice."""
    n = len(starts) - 1
    for s in range(len(bounds) - 1):
        begin = np.int64(bounds[s])
        longest = (np.int64(bounds[s + 1]) - begin) // LANES
        for lane in range(LANES):
            i = s * LANES + lane
            length = starts[i + 1] - starts[i] if i < n else 0
            for k in range(longest):
                q = begin + k * LANES + lane
                if k < length:
                    out_columns[q] = columns[starts[i] + k]
                    out_values[q] = values[starts[i] + k]
                else:
                    out_columns[q] = s * LANES
                    out_values[q] = 0
