"""Sparse approximate inverses, as preconditioners: factored ones, and polynomials."""

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from ...kernels import approximate_inverse as kernel
from ...linop import LinearOperator, Preconditioner

if TYPE_CHECKING:
    import scipy.sparse

POWERS, MARGIN = 10, 1.15  # of the estimate of the largest eigenvalue
EPSILON = 1e-3  # ε of M = (1 - ε) (...) + ε D⁻¹


class UnitDiagonal:
    """Â = S A S with unit diagonal and a symmetric pattern, in an order of the unknowns in which
    products are fast (`kernels/approximate_inverse/layout.py`).

    Attributes:
        A: the operator.
        order: new -> given.
        key: Σ_j â_ij² of each row, by which factors are triangular: the key, unlike a number, is
            that of the unknown in any order.
        scale: the diagonal of S, 1 in an empty row of A; such a row is a unit row of Â.
        starts, columns, values: Â in CSR with sorted columns.

    Raises:
        ValueError: A is not symmetric, a diagonal entry is negative, or it is zero in a row that is
            not empty.
    """

    def __init__(self, A: LinearOperator) -> None:
        self.A = A
        csr, scale = _symmetric(A)
        given = _arrays(csr)
        key = kernel.squares(given, scale)
        self.order, (self.starts, self.columns, self.values) = kernel.renumbered(given, key, scale)
        self.key, self.scale = key[self.order], scale[self.order]

    @cached_property
    def rows(self) -> Int[ndarray, " e"]:
        """The row of each entry."""
        places = np.arange(len(self.scale), dtype=np.int32)
        return np.repeat(places, np.diff(self.starts))

    @cached_property
    def bound(self) -> float:
        """An upper bound of the largest eigenvalue of Â (Collatz 1942, Wielandt 1950)."""
        return kernel.spectral_bound((self.starts, self.columns, self.values))

    def classical(self) -> Float[ndarray, " e"]:
        """The factor L of `kernel.factored`, a value for each entry of Â.

        Raises:
            ValueError: a principal submatrix is not positive definite.
        """
        values = kernel.factored((self.starts, self.columns, self.values), self.key)
        if not np.isfinite(values).all():
            row = int(self.order[self.rows[~np.isfinite(values)][0]])
            raise ValueError(
                f"A is not positive definite: a principal submatrix of row {row} is not. Use "
                f"minres of scipy.sparse.linalg without M."
            )
        return values

    def csr(self, values: Float[ndarray, " e"] | None = None) -> "scipy.sparse.csr_array":
        """Â, or the matrix with its pattern and these values."""
        return _csr(self.starts, self.columns, self.values if values is None else values)

    def triangle(self, values: Float[ndarray, " e"]) -> "scipy.sparse.csr_array":
        """The matrix with these values on the diagonal and where the key of the column is smaller
        than that of the row."""
        return _csr(*kernel.triangle((self.starts, self.columns, values), self.key))


class ApproximateInverse(Preconditioner):
    """M = D^-1/2 ((1 - ε) G p(Gᵀ Â G) Gᵀ + ε I) D^-1/2, products only, with D the diagonal of A,
    Â = D^-1/2 A D^-1/2 and a sparse G.

    M is symmetric and positive definite for every G: p is a polynomial of even degree that is
    positive on all positive numbers (`kernels/approximate_inverse/chebyshev.py`). With G = I and
    degree 0, M is Jacobi's preconditioner; with degree d, M A is a polynomial of degree d + 1 in
    D⁻¹ A, and iterations decrease about (d + 1)-fold.

    Work arrays belong to the object: do not share it between threads.

    Attributes:
        products: products with A in one application; one with G counts as its entries do.
        steps: the coefficients of p.

    Args:
        A: symmetric, with `to_csr`; or its `UnitDiagonal`, if there is one.
        factor: G, n x n, in the order of A, or of the `UnitDiagonal`; None for the identity.
        degree: of p; even.
        bound: (approximate) upper bound of the eigenvalues of Gᵀ Â G, or `estimated`; by default
            the Collatz bound of |Â|.
        epsilon: ε in [0, 1).
        dtype: precision of the products.

    Raises:
        ValueError: A is not symmetric, its diagonal shows that it is not positive definite, or the
            degree is odd.
    """

    def __init__(
        self,
        A: LinearOperator | UnitDiagonal,
        factor: "scipy.sparse.csr_array | None" = None,
        *,
        degree: int = 2,
        bound: float | Callable[[Callable[[ndarray, int], float], ndarray], float] | None = None,
        epsilon: float = EPSILON,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        scaled = A if isinstance(A, UnitDiagonal) else UnitDiagonal(A)
        self.grid, self.degree, self.dtype = scaled.A.grid, degree, dtype
        steps = kernel.coefficients(degree, 1.0)  # checks the degree
        number = torch.empty(0, dtype=dtype).numpy().dtype
        arrays = None
        if factor is not None:
            if A is not scaled:
                factor = factor[scaled.order][:, scaled.order]
            arrays = (_arrays(factor), _arrays(factor.T.tocsr()))
        self._inverse = kernel.inverse(
            (scaled.starts, scaled.columns, scaled.values), arrays, scaled.order,
            scaled.scale.astype(number), epsilon, steps,
        )  # fmt: skip
        if bound is None:
            bound = scaled.bound if degree else 1.0
        if not isinstance(bound, float):
            bound = bound(self._inverse.largest, scaled.order)
        self.steps = kernel.coefficients(degree, bound)
        self._inverse.steps = self.steps.astype(number)
        entries = 0 if factor is None else factor.nnz
        self.products = degree + 2 * (degree + 1) * entries / len(scaled.values)

    def apply(self, u: Float[Tensor, "*batch_space"]) -> Float[Tensor, "*batch_space"]:
        """M u in u's dtype, computed in `dtype`; it carries no gradient."""
        b = u.detach().to(device="cpu").reshape(-1, self.grid.num_nodes).contiguous()
        x = torch.empty_like(b)
        for right, left in zip(b.numpy(), x.numpy(), strict=True):
            self._inverse.run(right, left)
        return x.reshape(u.shape).to(u)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.grid.num_nodes} unknowns, polynomial of degree "
            f"{self.degree}, {self.products:.1f} products)"
        )


class FactoredApproximateInverse(ApproximateInverse):
    """M = D^-1/2 Lᵀ p(L Â Lᵀ) L D^-1/2, the factored sparse approximate inverse of Kolotilina &
    Yeremin (1993), for degree 0; with a polynomial around it for a higher degree.

    L is lower triangular on the pattern of A and minimises |I - L C|_F, Â = C Cᵀ, up to the scaling
    of its rows; its values exist for every positive definite A and need no C. Lower means: in the
    order of Σ_j â_ij², which is that of A up to equal sums, so that M does not depend on the order
    in which A is given. Unlike IC(0) it is applied by products and cannot break down.

    Raises:
        ValueError: as for `ApproximateInverse`, or A is not positive definite.
    """

    def __init__(
        self, A: LinearOperator, *, degree: int = 0, dtype: torch.dtype = torch.float32
    ) -> None:
        scaled = UnitDiagonal(A)
        L = scaled.triangle(scaled.classical())
        bound = estimated if degree else 1.0
        super().__init__(scaled, L.T.tocsr(), degree=degree, bound=bound, epsilon=0.0, dtype=dtype)


def estimated(power: Callable[[ndarray, int], float], order: Int[ndarray, " n"]) -> float:
    """MARGIN |B x| after POWERS steps of the power method, a bound for `ApproximateInverse`."""
    return MARGIN * power(start(len(order))[order], POWERS)


def start(size: int) -> Float[ndarray, " n"]:
    """The vector with which the power method starts."""
    return np.random.default_rng(0).standard_normal(size)


def unit_diagonal(A: LinearOperator) -> tuple["scipy.sparse.csr_array", Float[ndarray, " n"]]:
    """Â and the diagonal of S as in `UnitDiagonal`, with the same errors, in the order of A."""
    csr, s = _symmetric(A)
    data = csr.data * s[csr.indices] * np.repeat(s, np.diff(csr.indptr))
    return _csr(csr.indptr, csr.indices, data), s


def spectral_bound(scaled: "scipy.sparse.csr_array") -> float:
    """An upper bound of the largest eigenvalue (`kernels.approximate_inverse`)."""
    return kernel.spectral_bound((scaled.indptr, scaled.indices, scaled.data))


def _csr(starts: ndarray, columns: ndarray, values: ndarray) -> "scipy.sparse.csr_array":
    import scipy.sparse

    return scipy.sparse.csr_array((values, columns, starts), shape=(len(starts) - 1,) * 2)


def _symmetric(A: LinearOperator) -> tuple["scipy.sparse.csr_array", Float[ndarray, " n"]]:
    """A with a full diagonal, a symmetric pattern and sorted columns, and 1 / √ of its diagonal."""
    import scipy.sparse

    if not A.symmetric:
        raise ValueError(
            f"A sparse approximate inverse needs a symmetric A; {type(A).__name__} declares "
            f"symmetric=False. Use bicgstab with SOR."
        )
    csr = scipy.sparse.csr_array(A.to_csr())
    d = csr.diagonal()
    filled = np.diff(csr.indptr) > 0
    if (wrong := ~(d > 0) & (filled | (d < 0))).any():
        row = int(wrong.argmax())
        raise ValueError(
            f"Row {row} has {d[row]:.3g} on the diagonal, so A is not positive definite. Use "
            f"minres of scipy.sparse.linalg without M."
        )
    if not filled.all():
        csr = csr + scipy.sparse.diags_array((~filled).astype(float), format="csr")
        d = np.where(filled, d, 1.0)
    if not csr.has_sorted_indices:
        csr = csr.sorted_indices()
    if not kernel.has_symmetric_pattern(csr.indptr, csr.indices):  # entries at round-off
        csr = scipy.sparse.csr_array((csr + csr.T) / 2)
        csr.sort_indices()
    return csr, 1 / np.sqrt(d)


def _arrays(matrix: "scipy.sparse.csr_array") -> tuple[ndarray, ndarray, ndarray]:
    starts, columns = matrix.indptr.astype(np.int32), matrix.indices.astype(np.int32)
    return starts, columns, matrix.data
