"""Sparse approximate inverses, as preconditioners: factored ones, and polynomials."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from ...kernels import approximate_inverse as kernel
from ...linop import LinearOperator, Preconditioner

if TYPE_CHECKING:
    import scipy.sparse

POWERS, MARGIN = 20, 1.1  # of the estimate of the largest eigenvalue
EPSILON = 1e-3  # ε of M = (1 - ε) (...) + ε D⁻¹


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

    Args:
        A: symmetric, with `to_csr`.
        factor: G, n x n; None for the identity.
        degree: of p; even.
        bound: (approximate) upper bound of the eigenvalues of Gᵀ Â G; by default the Collatz bound
            of |Â|.
        epsilon: ε in [0, 1).
        dtype: precision of the products.

    Raises:
        ValueError: A is not symmetric, its diagonal shows that it is not positive definite, or the
            degree is odd.
    """

    def __init__(
        self,
        A: LinearOperator,
        factor: "scipy.sparse.csr_array | None" = None,
        *,
        degree: int = 2,
        bound: float | None = None,
        epsilon: float = EPSILON,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.grid, self.degree, self.dtype = A.grid, degree, dtype
        scaled, scale = unit_diagonal(A)
        if bound is None:
            bound = spectral_bound(scaled)
        number = torch.empty(0, dtype=dtype).numpy().dtype
        steps = self.steps = kernel.coefficients(degree, bound)
        arrays = None
        if factor is not None:
            arrays = (_arrays(factor, number), _arrays(factor.T.tocsr(), number))
        self._inverse = kernel.inverse(
            _arrays(scaled, number), arrays, scale.astype(number), epsilon, steps
        )
        entries = 0 if factor is None else factor.nnz
        self.products = degree + 2 * (degree + 1) * entries / scaled.nnz

    def apply(self, u: Float[Tensor, "*batch_space"]) -> Float[Tensor, "*batch_space"]:
        """M u in u's dtype, computed in `dtype`; it carries no gradient."""
        b = u.detach().to(device="cpu", dtype=self.dtype).reshape(-1, self.grid.num_nodes)
        x = torch.empty(b.shape, dtype=self.dtype)
        for right, left in zip(b.contiguous().numpy(), x.numpy(), strict=True):
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
    of its rows; its values exist for every positive definite A and need no C. It depends on the
    order of the unknowns, as IC(0) does. Unlike IC(0) it is applied by products and cannot break
    down.

    Raises:
        ValueError: as for `ApproximateInverse`, or A is not positive definite.
    """

    def __init__(
        self, A: LinearOperator, *, degree: int = 0, dtype: torch.dtype = torch.float32
    ) -> None:
        scaled, _ = unit_diagonal(A)
        L = factored(scaled)
        bound = largest_eigenvalue(scaled, L) if degree else 1.0
        super().__init__(A, L.T.tocsr(), degree=degree, bound=bound, epsilon=0.0, dtype=dtype)


def factored(scaled: "scipy.sparse.csr_array") -> "scipy.sparse.csr_array":
    """L on the lower triangle of a matrix with a full diagonal.

    Raises:
        ValueError: a principal submatrix is not positive definite.
    """
    import scipy.sparse

    L = scipy.sparse.csr_array(scipy.sparse.tril(scaled, format="csr"))
    L.sort_indices()
    L.data = kernel.factored(_arrays(scaled, float), L.indptr, L.indices)
    if not np.isfinite(L.data).all():
        row = int(np.repeat(np.arange(L.shape[0]), np.diff(L.indptr))[~np.isfinite(L.data)][0])
        raise ValueError(
            f"A is not positive definite: a principal submatrix of row {row} is not. Use minres of "
            f"scipy.sparse.linalg without M."
        )
    return L


def unit_diagonal(A: LinearOperator) -> tuple["scipy.sparse.csr_array", Float[ndarray, " n"]]:
    """Â = S A S with unit diagonal and a symmetric pattern, and the diagonal of S; an empty row of
    A has a unit row in Â.

    Raises:
        ValueError: A is not symmetric, a diagonal entry is negative, or it is zero in a row that is
            not empty.
    """
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
    csr = _symmetric_pattern(csr)
    s = 1 / np.sqrt(d)
    csr.data = csr.data * s[csr.indices] * np.repeat(s, np.diff(csr.indptr))
    return csr, np.where(filled, s, 1.0)


def _symmetric_pattern(csr: "scipy.sparse.csr_array") -> "scipy.sparse.csr_array":
    """A copy with sorted columns; (A + Aᵀ)/2 if entries at round-off have no counterpart."""
    import scipy.sparse

    copy = scipy.sparse.csr_array(csr, copy=True)
    copy.sort_indices()
    other = copy.T.tocsr()
    same = (other.indptr == copy.indptr).all() and (other.indices == copy.indices).all()
    if not same:
        copy = scipy.sparse.csr_array((copy + other) / 2)
        copy.sort_indices()
    return copy


def spectral_bound(scaled: "scipy.sparse.csr_array", powers: int = 10) -> float:
    """max_i (|Â| x)_i / x_i after some steps of the power method from 1: an upper bound of the
    largest eigenvalue (Collatz 1942, Wielandt 1950)."""
    size = abs(scaled)
    x = np.ones(size.shape[0])
    ratio = 1.0
    for _ in range(powers):
        y = size @ x
        ratio = float((y / x).max())
        x = y / ratio
    return ratio


def largest_eigenvalue(scaled: "scipy.sparse.csr_array", L: "scipy.sparse.csr_array") -> float:
    """MARGIN |B x| for B = L Â Lᵀ and x of norm one after POWERS - 1 steps of the power method."""
    x = start(scaled.shape[0])
    for _ in range(POWERS):
        x = x / np.linalg.norm(x)
        x = L @ (scaled @ (L.T @ x))
    return MARGIN * float(np.linalg.norm(x))


def start(size: int) -> Float[ndarray, " n"]:
    """The vector with which the power method starts."""
    return np.random.default_rng(0).standard_normal(size)


def _arrays(
    matrix: "scipy.sparse.csr_array", dtype: "np.typing.DTypeLike"
) -> tuple[ndarray, ndarray, ndarray]:
    starts, columns = matrix.indptr.astype(np.int32), matrix.indices.astype(np.int32)
    return starts, columns, matrix.data.astype(dtype)
