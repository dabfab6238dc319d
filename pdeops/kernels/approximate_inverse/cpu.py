"""Loops of sparse approximate inverses on CSR arrays (numba); threads share long products."""

import math
from functools import partial
from typing import Any

import numpy as np

from ..amg.cpu import product
from ..runtime import row_blocks
from ..runtime.jit import jit

LONG = 1 << 19  # entries of a matrix from which threads share a product


class Inverse:
    """Same as `approximate_inverse.inverse`."""

    def __init__(self, A: Any, factor: Any, scale: Any, epsilon: float, steps: np.ndarray) -> None:
        self.A, self.factor, self.scale = A, factor, scale
        number = scale.dtype.type
        self._epsilon = number(epsilon)
        self._steps = [(number(first), number(carry)) for first, carry in steps]
        self._b, self._d, self._r, self._z, self._t, self._w = np.empty((6, len(scale)), number)

    def run(self, b: np.ndarray, x: np.ndarray) -> None:
        """x = M b."""
        scaled, d, r, z = self._b, self._d, self._r, self._z
        np.multiply(self.scale, b, out=scaled)
        if self.factor is None:
            r[:] = scaled
        else:
            self._each(product, *self.factor[1], scaled, r)
        np.multiply(self._steps[0][0], r, out=d)
        z[:] = d
        for first, carry in self._steps[1:]:
            self._step(first, carry)
        if self.factor is None:
            x[:] = z
        else:
            self._each(product, *self.factor[0], z, x)
        finish(self._epsilon, self.scale, scaled, x)

    def _step(self, first: Any, carry: Any) -> None:
        """r -= Gᵀ Â G d, d = carry d + first r, z += d."""
        d, t, w = self._d, self._t, self._w
        if self.factor is None:
            # Other rows read d: its new values come after the product.
            self._each(product, *self.A, d, w)
            advance(first, carry, w, self._r, d, self._z)
            return
        self._each(product, *self.factor[0], d, t)
        self._each(product, *self.A, t, w)
        self._each(product_and_advance, *self.factor[1], w, first, carry, self._r, d, self._z)

    def _each(self, loop: Any, starts: np.ndarray, *arguments: Any) -> None:
        parts = row_blocks.count(len(arguments[0]), LONG)
        if parts == 1:
            loop(starts, *arguments, 0, len(starts) - 1)
        else:
            row_blocks.split(partial(loop, starts, *arguments), len(starts) - 1, parts)


@jit
def product_and_advance(starts, columns, values, w, first, carry, r, d, z, lo, hi):
    """r -= B w, d = carry d + first r, z += d on the rows [lo, hi)."""
    for i in range(lo, hi):
        total = r[i]
        for s in range(starts[i], starts[i + 1]):
            total -= values[s] * w[columns[s]]
        r[i] = total
        d[i] = carry * d[i] + first * total
        z[i] += d[i]


@jit
def advance(first, carry, w, r, d, z):
    """The same with B w as w."""
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
