"""Sparse approximate inverses: classical values, and products with M.

    M = S ((1 - ε) G p(Gᵀ Â G) Gᵀ + ε I) S,    Â = S A S,

S diagonal, G sparse, p the polynomial of the Chebyshev iteration on an interval: products only. All
matrices are CSR in numpy's arrays (starts, columns, values) with int32 indices. `cpu.py` computes M
on a CPU, `layout.py` has the layout of its matrices, `messages.py` a network that sets values of G;
`reference.py` is the plain twin on dense matrices.
"""

from typing import Any

import numpy as np

from .chebyshev import coefficients

__all__ = ["coefficients", "factored", "inverse"]

Csr = tuple[np.ndarray, np.ndarray, np.ndarray]


def factored(matrix: Csr, key: np.ndarray) -> np.ndarray:
    """The values of L ≈ C⁻¹, A = C Cᵀ: the factored sparse approximate inverse (Kolotilina &
    Yeremin 1993). L has the entries of A on the diagonal and those whose column comes before the
    row: whose key is smaller, or equal with a smaller number.

    Row i solves A_JJ y = e_i on its pattern J, and l_iJ = y / √y_i. L minimises |I - L C|_F up to
    the scaling of its rows, which makes the diagonal of L A Lᵀ one. A row of more than
    `cpu.LONGEST` entries keeps its diagonal alone.

    Args:
        matrix: A, with a full diagonal.
        key: of each unknown.

    Returns:
        A value for each entry of A, 0 outside the pattern of L; NaN in a row whose matrix A_JJ is
        not positive definite.
    """
    from . import cpu

    values = np.empty(len(matrix[1]))
    cpu.factored(*matrix, key, values)
    return values


def inverse(
    A: Csr,
    factor: tuple[Csr, Csr] | None,
    order: np.ndarray,
    scale: np.ndarray,
    epsilon: float,
    steps: np.ndarray,
) -> Any:
    """M with work arrays for one field; `run(b, x)` writes x = M b. It computes in the dtype of
    `scale`.

    Args:
        A: Â in the order of memory (`layout.order_of`).
        factor: G and Gᵀ in the order of memory, the same object twice if G is symmetric; None for
            G = I.
        order: the order of memory, new -> given.
        scale: the diagonal of S, in the order of memory.
        epsilon: ε.
        steps: `coefficients` of p; a single row for p = 1.
    """
    from . import cpu

    return cpu.Inverse(A, factor, order, scale, epsilon, steps)
