"""Sparse approximate inverses on a CPU, in compiled loops (numba)."""

import math
from typing import Any

import numpy as np

from ..runtime.jit import inner, jit
from .layout import LANES, slices_of
from .limits import LONGEST

_U = np.uint64
_POWERS = 10
_NOTHING = (np.zeros(1, np.uint32), np.zeros(0, np.uint32))  # the slices of no matrix


class Inverse:
    """Same as `approximate_inverse.inverse`."""

    def __init__(
        self, A: Any, factor: Any, order: Any, scale: Any, epsilon: float, steps: np.ndarray
    ) -> None:
        dtype = scale.dtype
        self._A = slices_of(A, dtype)
        if factor is None:
            self._factor = ((*_NOTHING, np.zeros(0, dtype)),) * 2
        else:
            first = slices_of(factor[0], dtype)
            same = factor[1] is factor[0]
            self._factor = (first, first if same else slices_of(factor[1], dtype))
        self._order, self._scale = order, scale
        self._epsilon, self.steps = dtype.type(epsilon), steps.astype(dtype)
        self._work = np.zeros((6, LANES * (len(self._A[0]) - 1)), dtype)

    def run(self, b: np.ndarray, x: np.ndarray) -> None:
        """x = M b; b and x have any floating dtype."""
        apply(
            self._A, *self._factor, self._order, self._scale, self._epsilon, self.steps,
            self._work, b, x,
        )  # fmt: skip

    def largest(self, x: np.ndarray, powers: int) -> float:
        """|B x| for B = Gᵀ Â G and x of norm one after `powers` - 1 steps of the power method; x is
        in the order of memory."""
        self._work[2, : len(x)] = x
        return float(power(self._A, *self._factor, self._work, powers))


@inner
def multiply(starts, columns, values, x, y):
    """y = G x for the slices of G (`layout.py`). The lanes are written out, so that their sums stay
    in registers."""
    zero = values.dtype.type(0)
    for s in range(_U(starts.size - 1)):
        a = b = c = d = e = f = g = h = zero
        for p in range(_U(starts[s]), _U(starts[s + _U(1)]), _U(8)):
            a += values[p] * x[columns[p]]
            b += values[p + _U(1)] * x[columns[p + _U(1)]]
            c += values[p + _U(2)] * x[columns[p + _U(2)]]
            d += values[p + _U(3)] * x[columns[p + _U(3)]]
            e += values[p + _U(4)] * x[columns[p + _U(4)]]
            f += values[p + _U(5)] * x[columns[p + _U(5)]]
            g += values[p + _U(6)] * x[columns[p + _U(6)]]
            h += values[p + _U(7)] * x[columns[p + _U(7)]]
        i = s * _U(8)
        y[i], y[i + _U(1)], y[i + _U(2)], y[i + _U(3)] = a, b, c, d
        y[i + _U(4)], y[i + _U(5)], y[i + _U(6)], y[i + _U(7)] = e, f, g, h


@jit
def apply(A, G, GT, order, scale, epsilon, steps, work, b, x):
    """x = M b. Without entries, G stands for the identity."""
    first, r, d, z, t, w = work[0], work[1], work[2], work[3], work[4], work[5]
    n, factored = len(order), len(G[1]) > 0
    for i in range(n):
        first[i] = scale[i] * b[order[i]]
    if factored:
        multiply(GT[0], GT[1], GT[2], first, r)
    else:
        r[:] = first
    for i in range(n):
        d[i] = steps[0, 0] * r[i]
        z[i] = d[i]
    for k in range(1, len(steps)):
        if factored:
            multiply(G[0], G[1], G[2], d, t)
            multiply(A[0], A[1], A[2], t, w)
            multiply(GT[0], GT[1], GT[2], w, t)
        else:
            multiply(A[0], A[1], A[2], d, t)
        advance(steps[k, 0], steps[k, 1], t, r, d, z)
    if factored:
        multiply(G[0], G[1], G[2], z, t)
    else:
        t[:] = z
    for i in range(n):
        x[order[i]] = scale[i] * (t[i] - epsilon * (t[i] - first[i]))


@jit
def power(A, G, GT, work, powers):
    """Same as `Inverse.largest`, from the vector work[2]."""
    d, t, w = work[2], work[4], work[5]
    norm = 0.0
    for _ in range(powers):
        norm = 0.0
        for i in range(len(d)):
            norm += d[i] * d[i]
        norm = math.sqrt(norm)
        for i in range(len(d)):
            d[i] /= norm
        if len(G[1]) > 0:
            multiply(G[0], G[1], G[2], d, t)
            multiply(A[0], A[1], A[2], t, w)
            multiply(GT[0], GT[1], GT[2], w, d)
        else:
            multiply(A[0], A[1], A[2], d, w)
            d[:] = w
    norm = 0.0
    for i in range(len(d)):
        norm += d[i] * d[i]
    return math.sqrt(norm)


@inner
def advance(first, carry, w, r, d, z):
    """r -= w, d = carry d + first r, z += d."""
    for i in range(len(w)):
        r[i] -= w[i]
        d[i] = carry * d[i] + first * r[i]
        z[i] += d[i]


@jit
def spectral_bound(starts, columns, values):
    """max_i (|A| x)_i / x_i after ten steps of the power method from 1: an upper bound of the
    largest eigenvalue (Collatz 1942, Wielandt 1950)."""
    n = len(starts) - 1
    x, y = np.ones(n), np.empty(n)
    largest = 1.0
    for _ in range(_POWERS):
        largest = 0.0
        for i in range(n):
            total = 0.0
            for p in range(_U(starts[i]), _U(starts[i + 1])):
                total += abs(values[p]) * x[_U(columns[p])]
            y[i] = total
            largest = max(largest, total / x[i])
        for i in range(n):
            x[i] = y[i] / largest
    return largest


@jit
def squares(starts, columns, values, scale, out):
    """Σ_j â_ij² with the diagonal, for Â = S A S."""
    for i in range(len(out)):
        total = 0.0
        for p in range(starts[i], starts[i + 1]):
            a = values[p] * scale[i] * scale[columns[p]]
            total += a * a
        out[i] = total


@inner
def precedes(key, j, i):
    """Whether unknown j comes before i: by the key, and by the number where keys are equal."""
    return key[j] < key[i] or (key[j] == key[i] and j < i)


@jit
def lengths(starts, columns, key, before, after):
    """The numbers of entries off the diagonal that come before and after their row."""
    for i in range(len(before)):
        count = 0
        for p in range(starts[i], starts[i + 1]):
            count += precedes(key, columns[p], i)
        before[i] = count
        after[i] = starts[i + 1] - starts[i] - 1 - count


@jit
def triangle(starts, columns, values, key, out_starts, out_columns, out_values):
    """The entries on the diagonal and those that come before their row; their number."""
    end = 0
    for i in range(len(key)):
        out_starts[i] = end
        for p in range(starts[i], starts[i + 1]):
            j = columns[p]
            if j == i or precedes(key, j, i):
                out_columns[end] = j
                out_values[end] = values[p]
                end += 1
    out_starts[len(key)] = end
    return end


@jit
def factored(starts, columns, values, key, out):
    """Same as `approximate_inverse.factored`; A is (starts, columns, values)."""
    n, longest = len(key), 1
    for i in range(n):
        longest = max(longest, min(starts[i + 1] - starts[i], LONGEST))
    # Entries outside J are written to one more column, which saves a branch.
    U, y = np.empty((longest, longest + 1)), np.empty(longest)
    J, place = np.empty(longest, np.int64), np.full(n, longest, np.int64)
    for i in range(n):
        m = 0
        for p in range(starts[i], starts[i + 1]):
            out[p] = 0
            if precedes(key, columns[p], i):
                if m < longest:
                    J[m] = columns[p]
                m += 1
        if m >= longest:  # a hub: its row has the diagonal alone
            m = 0
        J[m] = i  # the last, so that only the last entry of e_i is not zero
        m += 1
        for p in range(m):
            place[J[p]] = p
            for q in range(m):
                U[p, q] = 0
        for p in range(m):
            for s in range(starts[J[p]], starts[J[p] + 1]):
                U[p, place[columns[s]]] = values[s]
        for p in range(m):
            place[J[p]] = longest
        for k in range(m):  # A_JJ = Uᵀ U
            root = 1 / math.sqrt(U[k, k])
            for q in range(k, m):
                U[k, q] *= root
            for p in range(k + 1, m):
                first = U[k, p]
                for q in range(p, m):
                    U[p, q] -= first * U[k, q]
        for p in range(m - 1, -1, -1):  # y = U⁻¹ U⁻ᵀ e; the row is y / √y_last = U⁻¹ e
            total = 1.0 if p == m - 1 else 0.0
            for q in range(p + 1, m):
                total -= U[p, q] * y[q]
            y[p] = total / U[p, p]
        q = 0
        for p in range(starts[i], starts[i + 1]):
            if columns[p] == i:
                out[p] = y[m - 1]
            elif precedes(key, columns[p], i) and m > 1:
                out[p] = y[q]
                q += 1
