"""One cycle of algebraic multigrid with dense matrices: twin of `amg/cpu.py`."""

from collections.abc import Sequence

import numpy as np

from .layout import Level, blocks_of


def cycle(levels: Sequence[Level], coarse: np.ndarray, b: np.ndarray) -> np.ndarray:
    """x = M b for one V(1,1) cycle:

        x = B⁻¹ b,    x ← x + P M_c Pᵀ (b - A x),    x ← x + B⁻ᵀ (b - A x)

    with B of `Level`, the cycle M_c on the next level, and `coarse` on the coarsest.
    """
    if not levels:
        return coarse @ b
    level = levels[0]
    n, coarser = len(level.inverse), len(level.R[0]) - 1
    A, P = dense(level.A, n), dense(level.P, coarser)
    B = smoother(level)
    x = np.linalg.solve(B, b)
    x = x + P @ cycle(levels[1:], coarse, P.T @ (b - A @ x))
    return x + np.linalg.solve(B.T, b - A @ x)


def smoother(level: Level) -> np.ndarray:
    """B = E + L, block by block."""
    A = dense(level.A, len(level.inverse))
    B = np.diag(1 / level.inverse.astype("float64"))
    for lo, hi in blocks_of(len(A), level.blocks):
        B[lo:hi, lo:hi] += np.tril(A[lo:hi, lo:hi], -1)
    return B


def dense(csr: tuple, columns: int) -> np.ndarray:
    """The matrix of CSR arrays."""
    starts, where, values = csr
    matrix = np.zeros((len(starts) - 1, columns))
    matrix[np.repeat(np.arange(len(matrix)), np.diff(starts)), where] = values
    return matrix
