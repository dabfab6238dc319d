"""Sparse approximate inverses on a CPU: products by scipy, the other work in few loops (numba)."""

import math
from typing import Any

import numpy as np

from ..runtime.jit import jit


class Inverse:
    """Same as `approximate_inverse.inverse`.

    The products are scipy's, in the dtype of the entries: a loop of ours over short rows takes
    longer, because numba tests each signed index for being negative.
    """

    def __init__(self, A: Any, factor: Any, scale: Any, epsilon: float, steps: np.ndarray) -> None:
        n = len(scale)
        self.A, self.scale = _matrix(A, n), scale
        self.factor = None if factor is None else [_matrix(G, n) for G in factor]
        number = scale.dtype.type
        self._epsilon = number(epsilon)
        self._steps = [(number(first), number(carry)) for first, carry in steps]
        self._b, self._d, self._z = np.empty((3, n), number)

    def run(self, b: np.ndarray, x: np.ndarray) -> None:
        """x = M b."""
        scaled, d, z = self._b, self._d, self._z
        np.multiply(self.scale, b, out=scaled)
        r = scaled.copy() if self.factor is None else self.factor[1] @ scaled
        np.multiply(self._steps[0][0], r, out=d)
        z[:] = d
        for first, carry in self._steps[1:]:
            advance(first, carry, self._inner(d), r, d, z)
        x[:] = z if self.factor is None else self.factor[0] @ z
        finish(self._epsilon, self.scale, scaled, x)

    def _inner(self, d: np.ndarray) -> np.ndarray:
        """Gᵀ Â G d."""
        if self.factor is None:
            return self.A @ d
        return self.factor[1] @ (self.A @ (self.factor[0] @ d))


def _matrix(arrays: Any, size: int) -> Any:
    import scipy.sparse

    starts, columns, values = arrays
    return scipy.sparse.csr_array((values, columns, starts), shape=(size, size))


@jit
def advance(first, carry, w, r, d, z):
    """r -= w, d = carry d + first r, z += d."""
    for i in range(len(w)):
        r[i] -= w[i]
        d[i] = carry * d[i] + first * r[i]
        z[i] += d[i]


@jit
def finish(epsilon, scale, b, x):
    """x = S ((1 - ε) x + ε b)."""
    for i in range(len(x)):
        x[i] = scale[i] * (x[i] - epsilon * (x[i] - b[i]))


@jit
def factored(starts, columns, values, lower, places, out):
    """Same as `approximate_inverse.factored`; A is (starts, columns, values)."""
    longest = 1
    for i in range(len(lower) - 1):
        longest = max(longest, lower[i + 1] - lower[i])
    C, y = np.empty((longest, longest)), np.empty(longest)
    for i in range(len(lower) - 1):
        first, m = lower[i], lower[i + 1] - lower[i]
        for p in range(m):
            row = places[first + p]
            s = starts[row]
            for q in range(p + 1):
                column = places[first + q]
                while s < starts[row + 1] and columns[s] < column:
                    s += 1
                found = s < starts[row + 1] and columns[s] == column
                C[p, q] = values[s] if found else 0.0
        for p in range(m):  # Cholesky, and C y = e_i: only the last entry of e_i is not zero
            for q in range(p + 1):
                total = C[p, q]
                for k in range(q):
                    total -= C[p, k] * C[q, k]
                C[p, q] = math.sqrt(total) if p == q else total / C[q, q]
        # y = C⁻ᵀ C⁻¹ e; y_last = 1 / c², and the row is y / √y_last.
        for p in range(m - 1, -1, -1):
            total = 1.0 if p == m - 1 else 0.0
            for k in range(p + 1, m):
                total -= C[k, p] * y[k]
            y[p] = total / C[p, p]
            out[first + p] = y[p]
