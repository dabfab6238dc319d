"""The arrays of one level of an algebraic multigrid hierarchy."""

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import scipy.sparse

CSR = tuple[Any, Any, Any]  # starts, columns, values
BLOCKS = 2  # of a level of WIDE entries or more: so many threads can share a sweep
WIDE = 1 << 18


@dataclass(frozen=True)
class Level:
    """A, P and R = Pᵀ of a level in the dtype of the cycle, and its smoother B = E + L.

    L is the part of A below the diagonal within each block of rows, E = D + ½ Σ|a_ij| over the
    entries that couple the row to other blocks. Then B + Bᵀ - A is positive definite for every
    positive definite A, so that the cycle is (Baker, Falgout, Kolev & Yang 2011, sec. 5).

    Attributes:
        middle: the position of each diagonal entry.
        inverse, added: 1 / E and E - D.
        blocks: the number of blocks.
    """

    A: CSR
    P: CSR
    R: CSR
    middle: Any
    inverse: Any
    added: Any
    blocks: int

    @classmethod
    def of(cls, A: "scipy.sparse.csr_array", P: "scipy.sparse.csr_array", dtype: Any) -> "Level":
        """The level of a matrix, every row of which has a positive diagonal entry."""
        import scipy.sparse

        A = scipy.sparse.csr_array(A)
        A.sort_indices()
        blocks = BLOCKS if A.nnz >= WIDE else 1
        row = np.repeat(np.arange(A.shape[0], dtype=A.indices.dtype), np.diff(A.indptr))
        middle = np.flatnonzero(A.indices == row)
        diagonal = A.data[middle]
        added = np.zeros(A.shape[0])
        if blocks > 1:
            ends = [hi for _, hi in blocks_of(A.shape[0], blocks)]
            other = np.searchsorted(ends, A.indices, "right") != np.searchsorted(ends, row, "right")
            added = np.bincount(row[other], abs(A.data[other]), minlength=A.shape[0]) / 2
        return cls(
            _arrays(A, dtype),
            _arrays(P, dtype),
            _arrays(P.T, dtype),
            middle.astype(A.indptr.dtype),
            (1 / (diagonal + added)).astype(dtype),
            added.astype(dtype),
            blocks,
        )


def blocks_of(rows: int, number: int) -> list[tuple[int, int]]:
    """Consecutive ranges of rows."""
    return list(pairwise(rows * k // number for k in range(number + 1)))


def _arrays(matrix: Any, dtype: Any) -> CSR:
    import scipy.sparse

    csr = scipy.sparse.csr_array(matrix)
    csr.sort_indices()
    return csr.indptr, csr.indices, csr.data.astype(dtype)
