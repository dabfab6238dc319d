"""One cycle of algebraic multigrid with scipy's triangular solves: twin of `amg/cpu.py`.

The twin of the set-up is `setup_reference.py`; this module has all names that `amg` chooses from.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from .layout import Level, block_of_each, sparse
from .setup_reference import hierarchy, level, near, transposed, within

__all__ = ["Cycle", "bind", "hierarchy", "level", "near", "smoother", "transposed", "within"]


class Cycle:
    """x = M b for one V(1,1) cycle:

        x = B⁻¹ b,    x ← x + P M_c Pᵀ (b - A x),    x ← x + B⁻ᵀ (b - A x)

    with B of `Level`, the cycle M_c on the next level, and `coarse` on the coarsest.
    """

    def __init__(self, levels: Sequence[Level], coarse: ndarray) -> None:
        self.coarse, self.levels = coarse, []
        for one in levels:
            n, coarser = len(one.inverse), len(one.R[0]) - 1
            B = smoother(one)
            self.levels.append((sparse(one.A, n), sparse(one.P, coarser), B, B.T.tocsr()))

    def run(self, b: ndarray, x: ndarray) -> None:
        """x = M b."""
        x[:] = self._cycle(0, b.astype(np.float64))

    def _cycle(self, k: int, b: ndarray) -> ndarray:
        from scipy.sparse.linalg import spsolve_triangular

        if k == len(self.levels):
            return self.coarse @ b
        A, P, B, BT = self.levels[k]
        x = spsolve_triangular(B, b, lower=True)
        x = x + P @ self._cycle(k + 1, P.T @ (b - A @ x))
        return x + spsolve_triangular(BT, b - A @ x, lower=False)


def bind(levels: Sequence[Level], coarse: ndarray) -> Cycle:
    """Same as `amg.bind`."""
    return Cycle(levels, coarse)


def smoother(level: Level) -> Any:
    """B = E + L, block by block, in CSR."""
    import scipy.sparse

    A = sparse(level.A, len(level.inverse)).tocoo()
    block = block_of_each(A.shape[0], level.blocks)
    below = (A.col < A.row) & (block[A.row] == block[A.col])
    L = scipy.sparse.csr_array((A.data[below], (A.row[below], A.col[below])), shape=A.shape)
    E = scipy.sparse.diags_array(1 / level.inverse.astype(np.float64))
    return scipy.sparse.csr_array(E + L)
