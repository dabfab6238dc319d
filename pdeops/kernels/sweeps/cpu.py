"""Loops over the rows of a sparse matrix: incomplete Cholesky, triangular solves, SOR (numba).

The plain twin, which defines what is computed, is `sweeps/reference.py`. Matrices are CSR with
sorted columns. No fastmath, no threads; the loops release the GIL.
"""

import math

import numpy as np

from ..runtime.jit import jit
from .pivots import NULL


@jit
def factor(starts, columns, values, dropped):
    """Same as `sweeps.factor`."""
    n = len(starts) - 1
    original = values[starts[:-1]].copy()
    for k in range(n):
        first, last = starts[k], starts[k + 1]
        pivot = values[first]
        if abs(pivot) <= NULL * original[k]:
            pivot = original[k] if original[k] > 0 else 1.0
        if not pivot > 0:
            return k
        root = math.sqrt(pivot)
        values[first] = root
        for s in range(first + 1, last):
            values[s] /= root
        for s in range(first + 1, last):
            j = columns[s]
            values[starts[j]] -= values[s] * values[s]
            t = starts[j] + 1
            for q in range(s + 1, last):
                i = columns[q]
                fill = values[s] * values[q]
                while t < starts[j + 1] and columns[t] < i:
                    t += 1
                if t < starts[j + 1] and columns[t] == i:
                    values[t] -= fill
                else:
                    values[starts[j]] -= dropped * fill
                    values[starts[i]] -= dropped * fill
    return -1


@jit
def solve(starts, columns, values, b, x):
    """Same as `sweeps.solve`."""
    n = len(starts) - 1
    for c in range(len(b)):
        y = x[c]
        y[:] = b[c]
        for k in range(n):
            first = starts[k]
            y[k] *= values[first]
            for s in range(first + 1, starts[k + 1]):
                y[columns[s]] -= values[s] * y[k]
        for k in range(n - 1, -1, -1):
            first = starts[k]
            total = y[k]
            for s in range(first + 1, starts[k + 1]):
                total -= values[s] * y[columns[s]]
            y[k] = total * values[first]


@jit
def _relax(starts, columns, values, scale, b, x, i):
    total = b[i]
    for s in range(starts[i], starts[i + 1]):
        total -= values[s] * x[columns[s]]
    x[i] += scale[i] * total


@jit
def sweep(starts, columns, values, scale, symmetric, b, x):
    """One SOR sweep on x in place, followed by a reversed one if `symmetric`; scale = ω / D."""
    n = len(b)
    for i in range(n):
        _relax(starts, columns, values, scale, b, x, i)
    if symmetric:
        for i in range(n - 1, -1, -1):
            _relax(starts, columns, values, scale, b, x, i)


@jit
def sweep_from_zero(starts, columns, values, scale, symmetric, b, x):
    """Same as `sweeps.sweep_from_zero`."""
    for c in range(len(b)):
        x[c] = 0
        sweep(starts, columns, values, scale, symmetric, b[c], x[c])


@jit
def relax(starts, columns, values, scale, b, x, tolerance, norms):
    """Same as `sweeps.relax`."""
    n = len(b)
    for count in range(len(norms)):
        if count > 0:
            sweep(starts, columns, values, scale, False, b, x)
        square = 0.0
        for i in range(n):
            r = b[i]
            for s in range(starts[i], starts[i + 1]):
                r -= values[s] * x[columns[s]]
            square += r * r
        norms[count] = math.sqrt(square)
        if norms[count] <= tolerance or not math.isfinite(norms[count]):
            return count
    return len(norms) - 1


@jit
def relax_many(starts, columns, values, scale, b, x, tolerances, limit, counts):
    """Same as `sweeps.relax_many`.

    The loops over systems are vector instructions. All systems are swept until the last one has
    converged, so group systems of similar counts.
    """
    # The residual of a row is written out twice: a separate function takes 1.45 times as long (16
    # systems of 100 unknowns).
    n, size = b.shape
    total, square = np.empty(size), np.empty(size)
    counts[:] = limit
    for count in range(limit + 1):
        square[:] = 0
        left = 0
        for i in range(n):
            for l in range(size):
                total[l] = b[i, l]
            for s in range(starts[i], starts[i + 1]):
                j = columns[s]
                for l in range(size):
                    total[l] -= values[s, l] * x[j, l]
            for l in range(size):
                square[l] += total[l] * total[l]
        for l in range(size):
            if counts[l] == limit:
                if math.sqrt(square[l]) <= tolerances[l]:
                    counts[l] = count
                else:
                    left += 1
        if left == 0:
            return
        for i in range(n):
            for l in range(size):
                total[l] = b[i, l]
            for s in range(starts[i], starts[i + 1]):
                j = columns[s]
                for l in range(size):
                    total[l] -= values[s, l] * x[j, l]
            for l in range(size):
                x[i, l] += scale[i, l] * total[l]
