"""The arrays of an algebraic multigrid hierarchy."""

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import scipy.sparse

# starts, columns, values; indices without a sign, so that loops test nothing to wrap them
CSR = tuple[np.ndarray, np.ndarray, np.ndarray]
INDEX = np.uint32
BLOCKS = 2  # of a level of WIDE entries or more: so many threads can share a sweep
WIDE = 1 << 18
DEEPEST = 40  # levels
LARGEST = 4  # entries of a row of P
SMALL = 0.2  # of the largest entry of a row of P: smaller ones are dropped


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
    middle: np.ndarray
    inverse: np.ndarray
    added: np.ndarray
    blocks: int


def arrays_of(matrix: "scipy.sparse.sparray") -> CSR:
    """The arrays of a sparse matrix in float64, its columns sorted; shared where they can be.

    Raises:
        ValueError: it has 2³¹ entries or more.
    """
    import scipy.sparse

    csr = scipy.sparse.csr_array(matrix)
    csr.sort_indices()
    if csr.nnz > np.iinfo(np.int32).max:
        raise ValueError(f"Algebraic multigrid counts entries in 31 bits; got {csr.nnz} entries.")
    starts, columns = (i.astype(np.int32, copy=False) for i in (csr.indptr, csr.indices))
    return starts.view(INDEX), columns.view(INDEX), csr.data.astype("float64", copy=False)


def sparse(csr: CSR, columns: int) -> Any:
    """The matrix of CSR arrays."""
    import scipy.sparse

    starts, where, values = csr
    indices = where.astype(np.int32), starts.astype(np.int32)
    return scipy.sparse.csr_array((values, *indices), shape=(len(starts) - 1, columns))


def block_of_each(rows: int, number: int) -> np.ndarray:
    """The number of the block of each row."""
    return np.repeat(np.arange(number), [hi - lo for lo, hi in blocks_of(rows, number)])


def blocks_of(rows: int, number: int) -> list[tuple[int, int]]:
    """Consecutive ranges of rows."""
    return list(pairwise(rows * k // number for k in range(number + 1)))
