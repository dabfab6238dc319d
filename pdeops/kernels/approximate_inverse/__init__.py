"""Sparse approximate inverses: classical values, and products with M.

    M = S ((1 - ε) G p(Gᵀ Â G) Gᵀ + ε I) S,    Â = S A S,

S diagonal, G sparse, p the polynomial of the Chebyshev iteration on an interval: products only. All
matrices are CSR in numpy's arrays (starts, columns, values). `cpu.py` computes M on a CPU;
`reference.py` is the plain twin.
"""

from typing import Any

import numpy as np

from ..forms import ArrayForms
from .chebyshev import coefficients

__all__ = ["coefficients", "factored", "inverse"]

FORMS = ArrayForms(__name__)

Csr = tuple[np.ndarray, np.ndarray, np.ndarray]


@FORMS.or_twin
def factored(matrix: Csr, starts: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The values of L ≈ C⁻¹, A = C Cᵀ, on a lower triangular pattern with sorted columns and a full
    diagonal: the factored sparse approximate inverse (Kolotilina & Yeremin 1993).

    Row i solves A_JJ y = e_i on its pattern J, and l_iJ = y / √y_i. L minimises |I - L C|_F up to
    the scaling of its rows, which makes the diagonal of L A Lᵀ one.

    Returns:
        The values; NaN in a row whose matrix A_JJ is not positive definite.
    """
    from . import cpu

    values = np.empty(len(columns))
    cpu.factored(*matrix, starts, columns, values)
    return values


@FORMS.or_twin
def inverse(
    A: Csr, factor: tuple[Csr, Csr] | None, scale: np.ndarray, epsilon: float, steps: np.ndarray
) -> Any:
    """M with work arrays for one field; `run(b, x)` writes x = M b. Arrays have the dtype of b.

    Args:
        A: Â.
        factor: G and Gᵀ; None for G = I.
        scale: the diagonal of S.
        epsilon: ε.
        steps: `coefficients` of p; a single row for p = 1.
    """
    from . import cpu

    return cpu.Inverse(A, factor, scale, epsilon, steps)
