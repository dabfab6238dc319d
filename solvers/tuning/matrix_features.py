"""Features of a sparse symmetric matrix that suggest which solver is fast."""

from typing import TYPE_CHECKING

import numpy as np
from numpy import ndarray

if TYPE_CHECKING:
    from ..choice.system import System

STRONG = 0.25  # of the largest coupling of its row
LEAST = 1e-12  # couplings and row sums below are rounding

NAMES = (
    "log10 n", "log10 entries per row", "spread of entries per row", "positive couplings",
    "log10 couplings", "spread of couplings", "strong couplings", "spread of strong couplings",
    "dominance", "log10 row sum", "spread of diagonal", "two per node", "three per node",
)  # fmt: skip


def matrix_features(system: "System") -> ndarray:
    """The features of `NAMES` of a matrix A, in one pass over its entries.

    With the scaled couplings s_ij = |a_ij| / √(a_ii a_jj), i ≠ j:

    - the logarithms of the number of rows n and of the couplings per row, and the standard
      deviation of the latter, relative to its mean;
    - the part of Σ s_ij with a_ij > 0;
    - mean and standard deviation of log10 s_ij over the couplings;
    - the fraction of strong couplings, s_ij >= max_k s_ik / 4; the standard deviation over rows of
      their number, relative to its mean;
    - the mean over rows of Σ_j s_ij, at most 4;
    - log10 of Σ_ij a_ij / Σ_i a_ii, at least -12, which is small if A nearly maps constants to 0;
    - the standard deviation of log10 a_ii;
    - whether the matrix consists of blocks of 2, and of 3 unknowns.

    They do not change if A is multiplied by a number or its rows and columns are permuted, the last
    two features if blocks stay together.
    """
    csr = system.csr
    n = csr.shape[0]
    rows = np.repeat(np.arange(n), np.diff(csr.indptr))
    diagonal = csr.diagonal()
    diagonal = np.where(diagonal > 0, diagonal, 1.0)  # empty rows
    off = rows != csr.indices
    i, j, a = rows[off], csr.indices[off], csr.data[off]
    s = np.abs(a) / np.sqrt(diagonal[i] * diagonal[j])
    sums = np.bincount(i, s, n)
    largest = np.zeros(n)
    np.maximum.at(largest, i, s)
    strong = s >= STRONG * largest[i]
    counts, strong_counts = np.bincount(i, minlength=n), np.bincount(i[strong], minlength=n)
    logs = np.log10(np.maximum(s, LEAST)) if len(s) else np.zeros(1)
    total = abs(csr.data.sum()) / diagonal.sum()
    log_diagonal = np.log10(diagonal)
    return np.array(
        [
            np.log10(n),
            np.log10(1 + counts.mean()),
            _relative_spread(counts),
            s[a > 0].sum() / max(s.sum(), LEAST),
            logs.mean(),
            logs.std(),
            strong.sum() / max(len(s), 1),
            _relative_spread(strong_counts),
            min(sums.mean(), 4.0),
            np.log10(max(total, LEAST)),
            log_diagonal.std(),
            float(system.blocks == 2),
            float(system.blocks == 3),
        ]
    )


def _relative_spread(counts: ndarray) -> float:
    return counts.std() / max(counts.mean(), LEAST)
