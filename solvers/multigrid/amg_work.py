"""Work of a hierarchy of PyAMG, in products with the matrix of its finest level."""

from typing import Any

import numpy as np


def cycle_products(hierarchy: Any, passes: int, cycle: str = "V") -> float:
    """Work of one cycle: multiplications with stored entries, divided by nnz(A).

    Level l is visited γ^l times, γ = 1 in a V-cycle and 2 in a W-cycle; the coarsest as often as
    the one above it. A visit costs (passes + 1) nnz(A_l) for relaxation and the residual, and
    nnz(R_l) + nnz(P_l) for the transfers; on the coarsest level n² for the product with its
    inverse.

    Args:
        passes: passes over the rows of a level in a visit: 2 for a forward sweep before and a
            backward sweep after the correction, 4 for a symmetric sweep before and one after.
    """
    *levels, last = hierarchy.levels
    visits, gamma, total = 1, 2 if cycle == "W" else 1, 0
    for k, level in enumerate(levels):
        visits = gamma**k
        total += visits * ((passes + 1) * _entries(level.A) + 2 * _entries(level.P))
    total += visits * last.A.shape[0] ** 2
    return total / _entries(hierarchy.levels[0].A)


def setup_products(hierarchy: Any, passes: float | int, first: float | int = 0) -> float:
    """Work of the set-up in the same unit.

    On each level the multiplications of the two sparse products R (A P), counted exactly, and
    `passes` nnz(A_l) for what comes before them: strength, interpolation, spectral radius. `first`
    is added once for work on the finest level.
    """
    total = 0.0
    for level in hierarchy.levels[:-1]:
        AP = level.A @ level.P
        total += _multiplications(level.A, level.P) + _multiplications(level.R, AP)
        total += passes * _entries(level.A)
    return first + total / _entries(hierarchy.levels[0].A)


def _entries(matrix: Any) -> int:
    """Stored entries, also of a matrix in blocks."""
    return int(matrix.nnz)


def _multiplications(left: Any, right: Any) -> float:
    """Multiplications of the product of two sparse matrices by rows (Gustavson 1978)."""
    left, right = left.tocsr(), right.tocsr()
    return float(np.diff(right.indptr)[left.indices].sum())
