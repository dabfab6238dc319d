"""The coarsest level of black-box multigrid: Cholesky factor of a band matrix, and its solution.

L[k, i] is the entry (k, k - i), the diagonal inverted."""

import numpy as np

from ..runtime.jit import jit


@jit
def cholesky(L, singular):
    """The lower half of A, in L, to its factor. False where A is not positive definite.

    A `singular` A may be semidefinite: a pivot of round-off is left out, its unknown becomes zero.
    """
    size, width = L.shape
    small = 1e-12 if L.itemsize == 8 else 1e-5  # pivots of round-off, against the diagonal
    for k in range(size):
        own = L[k, 0]
        for i in range(min(width - 1, k), -1, -1):
            value = L[k, i]
            for j in range(i + 1, min(width - 1, k) + 1):
                if j - i < width:
                    value -= L[k, j] * L[k - i, j - i]
            if i > 0:
                L[k, i] = value * L[k - i, 0]
            elif value > (small * own if singular else 0 * own):
                L[k, 0] = 1 / np.sqrt(value)
            elif singular and value >= -100 * small * own:
                L[k, 0] = 0
            else:
                return False
    return True


@jit
def substitute_both(L, y):
    """y = A⁻¹ y by the factor."""
    size, width = L.shape
    for k in range(size):
        value = y[k]
        for c in range(1, min(width - 1, k) + 1):
            value -= L[k, c] * y[k - c]
        y[k] = value * L[k, 0]
    for k in range(size - 1, -1, -1):
        y[k] *= L[k, 0]
        for c in range(1, min(width - 1, k) + 1):
            y[k - c] -= L[k, c] * y[k]
