"""Incomplete Cholesky and SOR with scipy's triangular solves: twin of `sweeps/cpu.py`.

Arguments and results are those of `sweeps/__init__.py`.
"""

import math
from typing import Any

import numpy as np
from numpy import ndarray

from .pivots import NULL


def factor(starts: ndarray, columns: ndarray, values: ndarray, dropped: float) -> int:
    """Same as `sweeps.factor`: Uᵀ U = A on the pattern (Meijerink & van der Vorst 1977).

    Fill outside the pattern is dropped (IC(0), `dropped` = 0), or subtracted from the diagonals of
    its row and its column (MIC(0), `dropped` = 1): then Uᵀ U and A have the same row sums
    (Gustafsson 1978).
    """
    bounds = list(zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True))
    rows = [dict(zip(columns[a:b].tolist(), values[a:b].tolist(), strict=True)) for a, b in bounds]
    diagonal = [row[k] for k, row in enumerate(rows)]
    failed = -1
    for k, row in enumerate(rows):
        pivot = row.pop(k)
        if abs(pivot) <= NULL * diagonal[k]:
            pivot = diagonal[k] if diagonal[k] > 0 else 1.0
        if not pivot > 0:
            row[k], failed = pivot, k
            break
        root = math.sqrt(pivot)
        u = {j: a / root for j, a in row.items()}
        row.clear()
        row.update({k: root} | u)
        for j, u_j in u.items():
            rows[j][j] -= u_j * u_j
            for i, u_i in u.items():
                if i > j and i in rows[j]:
                    rows[j][i] -= u_j * u_i
                elif i > j:
                    rows[j][j] -= dropped * u_j * u_i
                    rows[i][i] -= dropped * u_j * u_i
    for (a, b), row in zip(bounds, rows, strict=True):
        values[a:b] = [row[j] for j in columns[a:b].tolist()]
    return failed


def solve(starts: ndarray, columns: ndarray, values: ndarray, b: ndarray, x: ndarray) -> None:
    """Same as `sweeps.solve`."""
    from scipy.sparse.linalg import spsolve_triangular

    values = values.astype(np.float64)
    values[starts[:-1]] = 1 / values[starts[:-1]]
    U = _matrix(starts, columns, values)
    y = spsolve_triangular(U.T.tocsr(), b.T.astype(np.float64), lower=True)
    x[:] = spsolve_triangular(U, y, lower=False).T


def sweep(
    starts: ndarray,
    columns: ndarray,
    values: ndarray,
    scale: ndarray,
    symmetric: bool,
    b: ndarray,
    x: ndarray,
) -> None:
    """x + (D/ω + L)⁻¹ (b - A x) in place, D the diagonal of A and L the part below it (Young 1950),
    computed as x + (1 + S L)⁻¹ S (b - A x) with S = ω/D; then the same with the part above the
    diagonal if `symmetric`."""
    import scipy.sparse as sp
    from scipy.sparse.linalg import spsolve_triangular

    A = _matrix(starts, columns, values)
    one, S = sp.eye_array(len(b), format="csr"), sp.diags_array(scale)
    for lower in (True, False)[: 1 + symmetric]:
        part = sp.tril(A, -1) if lower else sp.triu(A, 1)
        M = sp.csr_array(one + S @ part)
        x += spsolve_triangular(M, scale * (b - A @ x), lower=lower, unit_diagonal=True)


def sweep_from_zero(
    starts: ndarray,
    columns: ndarray,
    values: ndarray,
    scale: ndarray,
    symmetric: bool,
    b: ndarray,
    x: ndarray,
) -> None:
    """Same as `sweeps.sweep_from_zero`."""
    x[:] = 0
    for right, left in zip(b, x, strict=True):
        sweep(starts, columns, values, scale, symmetric, right, left)


def relax(
    starts: ndarray,
    columns: ndarray,
    values: ndarray,
    scale: ndarray,
    b: ndarray,
    x: ndarray,
    tolerance: float,
    norms: ndarray,
) -> int:
    """Same as `sweeps.relax`."""
    A = _matrix(starts, columns, values)
    for count in range(len(norms)):
        if count > 0:
            sweep(starts, columns, values, scale, False, b, x)
        norms[count] = np.linalg.norm(b - A @ x)
        if norms[count] <= tolerance or not math.isfinite(norms[count]):
            return count
    return len(norms) - 1


def relax_many(
    starts: ndarray,
    columns: ndarray,
    values: ndarray,
    scale: ndarray,
    b: ndarray,
    x: ndarray,
    tolerances: ndarray,
    limit: int,
    counts: ndarray,
) -> None:
    """Same as `sweeps.relax_many`."""
    counts[:] = limit
    matrices = [_matrix(starts, columns, v) for v in values.T]
    for count in range(limit + 1):
        norms = np.array([np.linalg.norm(b[:, l] - A @ x[:, l]) for l, A in enumerate(matrices)])
        counts[(counts == limit) & (norms <= tolerances)] = count
        if (counts < limit).all() or count == limit:
            return
        for l, v in enumerate(values.T):
            y = x[:, l].copy()
            sweep(starts, columns, v, scale[:, l], False, b[:, l], y)
            x[:, l] = y


def _matrix(starts: ndarray, columns: ndarray, values: ndarray) -> Any:
    import scipy.sparse

    return scipy.sparse.csr_array((values, columns, starts), shape=(len(starts) - 1,) * 2)
