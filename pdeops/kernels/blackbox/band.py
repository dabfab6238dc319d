"""Cholesky factorisation of a banded matrix, for the coarsest level of black-box multigrid.

L[k, i] is the entry (k, k - i) of the factor; the diagonal is stored inverted.
"""

import numpy as np

from ..runtime.jit import inner


@inner
def cholesky(L, singular):
    """Factor A in place; L contains its lower half. False if A is not positive definite.

    If `singular`, A may be semidefinite: a pivot at round-off level is skipped, and its unknown
    becomes zero in `substitute_both`.
    """
    size, width = L.shape
    small = (
        1e-12 if L.itemsize == 8 else 1e-5
    )  # round-off level of a pivot, relative to the diagonal
    for k in range(size):
        original = L[k, 0]
        most = k if k < width else width - 1
        for i in range(most, -1, -1):
            value = L[k, i]
            for j in range(i + 1, most + 1):
                if j - i < width:
                    value -= L[k, j] * L[k - i, j - i]
            if i > 0:
                L[k, i] = value * L[k - i, 0]
            elif value > (small * original if singular else 0 * original):
                L[k, 0] = 1 / np.sqrt(value)
            elif singular and value >= -100 * small * original:
                L[k, 0] = 0
            else:
                return False
    return True


@inner
def substitute_both(L, y):
    """y = A⁻¹ y by forward and backward substitution."""
    size, width = L.shape
    for k in range(size):
        value = y[k]
        for c in range(1, (k if k < width else width - 1) + 1):
            value -= L[k, c] * y[k - c]
        y[k] = value * L[k, 0]
    for k in range(size - 1, -1, -1):
        y[k] *= L[k, 0]
        for c in range(1, (k if k < width else width - 1) + 1):
            y[k - c] -= L[k, c] * y[k]
