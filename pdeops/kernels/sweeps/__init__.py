"""Sparse row loops: incomplete Cholesky factorisation, triangular solves and SOR for a matrix A.

Rows depend on the rows before them, so the only fast form is a compiled loop on the CPU (`cpu.py`);
`reference.py`, the plain twin, consists of triangular solves by scipy. Arrays are numpy's; A is CSR
with sorted columns: `starts` (n + 1), `columns` and `values` (entries).
"""

from typing import Any

from numpy import ndarray

from ..forms import ArrayForms

FORMS = ArrayForms(__name__)


@FORMS.or_twin
def factor(starts: ndarray, columns: ndarray, values: ndarray, dropped: float) -> int:
    """The upper triangle of A, diagonals first, becomes U in place, with A ≈ Uᵀ U on its pattern.

    Args:
        dropped: the part of the dropped fill that is subtracted from the diagonals: 0 is IC(0), 1
            is MIC(0).

    Returns:
        The row of the first pivot that is not positive; -1 if there is none.
    """
    return _loops().factor(starts, columns, values, dropped)


@FORMS.or_twin
def solve(starts: ndarray, columns: ndarray, values: ndarray, b: ndarray, x: ndarray) -> None:
    """x = U⁻¹ U⁻ᵀ b for each row of b (m, n); the diagonals of U are stored inverted."""
    _loops().solve(starts, columns, values, b, x)


@FORMS.or_twin
def sweep_from_zero(
    starts: ndarray,
    columns: ndarray,
    values: ndarray,
    scale: ndarray,
    symmetric: bool,
    b: ndarray,
    x: ndarray,
) -> None:
    """x = (D/ω + L)⁻¹ b for each row of b (m, n): one sweep of SOR from zero.

    Args:
        scale: ω / D, (n).
        symmetric: a sweep in reversed order follows.
    """
    _loops().sweep_from_zero(starts, columns, values, scale, symmetric, b, x)


@FORMS.or_twin
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
    """Sweeps x ← x + (D/ω + L)⁻¹ (b - A x) in place until |b - A x| <= tolerance, or this norm is
    not finite.

    Args:
        norms: |b - A x| before the first and after each sweep is written here.

    Returns:
        The number of sweeps, at most len(norms) - 1.
    """
    return _loops().relax(starts, columns, values, scale, b, x, tolerance, norms)


@FORMS.or_twin
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
    """`relax` for m systems of one pattern; systems are the last axis.

    Args:
        values, scale, b, x: (entries, m), (n, m), (n, m), (n, m).
        tolerances: (m).
        counts: the number of sweeps of each system, at most `limit`, is written here.
    """
    _loops().relax_many(starts, columns, values, scale, b, x, tolerances, limit, counts)


def _loops() -> Any:
    from . import cpu

    return cpu
