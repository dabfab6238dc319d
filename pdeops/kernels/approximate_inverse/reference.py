"""Sparse approximate inverses in numpy and scipy: twin of `cpu.py`.

Arguments and results are those of `approximate_inverse/__init__.py`.
"""

from typing import Any

import numpy as np
from numpy import ndarray


def factored(matrix: Any, starts: ndarray, columns: ndarray) -> ndarray:
    """Same as `approximate_inverse.factored`: a dense solve for each row."""
    A = _matrix(matrix, len(starts) - 1)
    values = np.empty(len(columns))
    for i in range(len(starts) - 1):
        J = columns[starts[i] : starts[i + 1]]
        unit = np.zeros(len(J))
        unit[-1] = 1
        y = np.linalg.solve(A[J][:, J].toarray(), unit)
        with np.errstate(invalid="ignore"):  # NaN where A_JJ is not positive definite
            values[starts[i] : starts[i + 1]] = y / np.sqrt(y[-1])
    return values


class Inverse:
    """Same as `approximate_inverse.inverse`: the iteration of `chebyshev.coefficients`."""

    def __init__(self, A: Any, factor: Any, scale: ndarray, epsilon: float, steps: ndarray) -> None:
        import scipy.sparse

        n = len(scale)
        one = scipy.sparse.eye_array(n, dtype=scale.dtype)
        self.A, self.scale, self.epsilon = _matrix(A, n), scale, epsilon
        self.G, self.GT = (one, one) if factor is None else (_matrix(G, n) for G in factor)
        self.steps = steps

    def run(self, b: ndarray, x: ndarray) -> None:
        """x = M b."""
        scaled = self.scale * b
        y = self.GT @ scaled
        d = z = self.steps[0][0] * y
        for first, carry in self.steps[1:]:
            d = carry * d + first * (y - self.GT @ (self.A @ (self.G @ z)))
            z = z + d
        x[:] = self.scale * ((1 - self.epsilon) * (self.G @ z) + self.epsilon * scaled)


def inverse(A: Any, factor: Any, scale: ndarray, epsilon: float, steps: ndarray) -> Inverse:
    """Same as `approximate_inverse.inverse`."""
    return Inverse(A, factor, scale, epsilon, steps)


def _matrix(arrays: Any, size: int) -> Any:
    import scipy.sparse

    starts, columns, values = arrays
    return scipy.sparse.csr_array((values, columns, starts), shape=(size, size))
