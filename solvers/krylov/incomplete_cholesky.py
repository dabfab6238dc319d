"""Incomplete Cholesky without fill, as a preconditioner."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...kernels import sweeps
from ...linop import LinearOperator, Preconditioner

if TYPE_CHECKING:
    import scipy.sparse

_SHIFTS = (0.0, *(1e-3 * 2.0**i for i in range(14)))


class IncompleteCholesky(Preconditioner):
    """M = (Uᵀ U)⁻¹ ≈ A⁻¹, U upper triangular with the pattern of A's upper triangle.

    IC(0) (Meijerink & van der Vorst 1977) drops the fill outside the pattern: Uᵀ U = A on the
    pattern. MIC(0) (Gustafsson 1978) subtracts the fill from the diagonal: Uᵀ U and A agree on
    constants. For -Δ with spacing h the condition number of M A is O(1/h²) with IC(0), 10 times
    smaller than without M, and O(1/h) with MIC(0). M is symmetric by construction, unlike the one
    of scipy's `spilu`.

    The factor exists for M-matrices. If a pivot is not positive, A + α diag(A) is factored with the
    smallest α of a sequence for which the pivots are positive (Manteuffel 1980); `shift` holds it.
    The pivot of an empty row is 1; a pivot that is zero up to round-off (A singular) is replaced by
    its diagonal.

    It runs sequentially on the CPU. Set-up and application cost about three products with A.

    Args:
        A: symmetric, with `to_csr`.
        modified: fraction of the fill that is subtracted from the diagonal: 0 is IC(0), 1 is
            MIC(0). Values just below 1 (0.95 to 0.99) are often best for jumping coefficients.
        dtype: precision of the factor and of the triangular solves.

    Raises:
        ValueError: A is not symmetric, `modified` is outside [0, 1], or no shift suffices.
    """

    def __init__(
        self,
        A: LinearOperator,
        *,
        modified: float | int = 0.0,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        import scipy.sparse

        if not A.symmetric:
            raise ValueError(
                f"Incomplete Cholesky needs a symmetric A; {type(A).__name__} declares "
                f"symmetric=False. Use SOR as M of bicgstab."
            )
        if not 0 <= modified <= 1:
            raise ValueError(f"modified must lie in [0, 1]; got {modified}. 0 is IC(0), 1 MIC(0).")
        self.grid, self.modified, self.dtype = A.grid, float(modified), dtype
        matrix = A.to_csr()
        diagonal = matrix.diagonal()
        # The diagonal's entries are stored even where they are zero (solid nodes).
        upper = scipy.sparse.triu(matrix, 1).tocsr()
        eye = scipy.sparse.eye_array(*matrix.shape, format="csr")
        pattern = (upper + eye).tocsr()
        pattern.sort_indices()
        starts, columns = pattern.indptr, pattern.indices
        first = starts[:-1]
        for shift in _SHIFTS:
            values = pattern.data.copy()
            values[first] = (1 + shift) * diagonal
            row = sweeps.factor(starts, columns, values, self.modified)
            if row < 0:
                break
        else:
            raise ValueError(
                f"No incomplete Cholesky factor: the pivot of row {row} stays negative with "
                f"shifts up to {shift:.0f}. A is far from positive definite; use minres of "
                f"scipy.sparse.linalg without M."
            )
        self.shift = shift
        values[first] = 1 / values[first]
        self._factor = (starts, columns, torch.from_numpy(values).to(dtype).numpy())

    def upper(self) -> "scipy.sparse.csr_array":
        """U."""
        import scipy.sparse

        starts, columns, values = self._factor
        values = values.copy()
        values[starts[:-1]] = 1 / values[starts[:-1]]
        n = self.grid.num_nodes
        return scipy.sparse.csr_array((values, columns, starts), shape=(n, n))

    def times(self, factors: "scipy.sparse.csr_array") -> "IncompleteCholesky":
        """This M with each entry of U multiplied by that of `factors`, in place; it has the pattern
        of U, sorted columns, and positive numbers on the diagonal.

        Raises:
            ValueError: the pattern differs, or a factor of the diagonal is not positive.
        """
        starts, columns, values = self._factor
        same = np.array_equal(factors.indptr, starts) and np.array_equal(factors.indices, columns)
        first = starts[:-1]
        if not same or not (factors.data[first] > 0).all():
            raise ValueError(
                "The factors must have the pattern of U (A's upper triangle with a full diagonal, "
                "sorted columns), and be positive on the diagonal."
            )
        inverse = values[first] / factors.data[first]
        values *= factors.data
        values[first] = inverse
        return self

    def apply(self, u: Float[Tensor, "*batch_space"]) -> Float[Tensor, "*batch_space"]:
        """M u in u's dtype, computed in `dtype`; it carries no gradient."""
        b = u.detach().to(device="cpu", dtype=self.dtype).reshape(-1, self.grid.num_nodes)
        x = torch.empty(b.shape, dtype=self.dtype)
        sweeps.solve(*self._factor, b.contiguous().numpy(), x.numpy())
        return x.reshape(u.shape).to(u)

    def __repr__(self) -> str:
        name = "IC(0)" if self.modified == 0 else f"MIC(0), {self.modified:g} of the fill"
        shift = f", A + {self.shift:.0e} diag(A)" if self.shift else ""
        return f"IncompleteCholesky({self.grid.num_nodes} unknowns, {name}{shift})"
