"""Smoothed aggregation with symmetric smoothers: the hierarchy, and a cycle of products alone."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from ...kernels.runtime.first_calls import once
from ...linop import LinearOperator, Preconditioner
from ..direct.sparse import regular
from ..krylov.approximate_inverse import spectral_bound, unit_diagonal
from ..krylov.loop import knows_range
from ..operators.matrix import Matrix
from .algebraic import COARSEST, coarsest_inverse

if TYPE_CHECKING:
    from scipy.sparse import csr_array as Csr

DEEPEST = 25  # levels
DAMPING = 4 / 3  # of Jacobi steps, relative to the largest eigenvalue
THETA = 0.08  # a coupling is strong if |a_ij| >= θ √(a_ii a_jj); 0 for blocks
# (1 - τ₁ x)(1 - τ₂ x) is the Chebyshev polynomial of degree 2 on [LOW, 1].
LOW = 0.1
_ROOTS = (1 + LOW) / 2 + (1 - LOW) / 2 * np.sqrt(0.5) * np.array([1, -1])
CHEBYSHEV = (float((1 / _ROOTS).sum()), float((1 / _ROOTS).prod()))


@dataclass(frozen=True)
class Aggregates:
    """The aggregates of a level with unit diagonal, and its tentative prolongation.

    Attributes:
        A: the matrix, n x n, with unit diagonal and sorted columns.
        B: (n, k), vectors that A nearly maps to zero.
        T: n x n_c, orthonormal columns, each on one aggregate; T B_c = B in aggregates.
        coarse: B_c.
    """

    A: "Csr"
    B: Float[ndarray, "n k"]
    T: "Csr"
    coarse: Float[ndarray, "m k"]

    @classmethod
    def of(
        cls, A: "Csr", B: Float[ndarray, "n k"], block: int = 1, theta: float = THETA
    ) -> "Aggregates":
        """Aggregates by PyAMG (Vaněk, Mandel & Brezina 1996, alg. 5.1) of nodes with `block`
        unknowns each; unknowns without strong couplings are in none."""
        with once():
            import pyamg
            import scipy.sparse

        matrix = scipy.sparse.csr_array(A)
        matrix = matrix.tobsr((block, block)) if block > 1 else matrix
        strong = pyamg.strength.symmetric_strength_of_connection(matrix, theta)
        places = pyamg.aggregation.standard_aggregation(strong)[0]
        if not places.nnz:
            nothing = scipy.sparse.csr_array((A.shape[0], 0))
            return cls(A, B, nothing, np.empty((0, B.shape[1])))
        T, coarse = pyamg.aggregation.fit_candidates(places, B)
        T = scipy.sparse.csr_array(T)
        T.eliminate_zeros()
        T.sort_indices()
        return cls(A, B, T, coarse)


# Aggregates of a level -> its smoother S and its prolongation P.
Values = Callable[[Aggregates], tuple["Csr", "Csr"]]


@dataclass(frozen=True)
class Level:
    """The matrix with unit diagonal, the smoother and the prolongation of a level."""

    A: "Csr"
    S: "Csr"
    P: "Csr"


class AggregationCycle(Preconditioner):
    """M ≈ A⁻¹: one V(1,1) cycle of smoothed aggregation with symmetric smoothers S,

        x = S b,    x ← x + P M_c Pᵀ (b - A x),    x ← x + S (b - A x),

    on the matrix scaled to unit diagonal, M_c the cycle on Pᵀ A P. If S is positive definite and
    the eigenvalues of S A are below 2, M is symmetric and positive definite for every P: then
    I - M A = (I - S A)(I - P M_c Pᵀ A)(I - S A), whose eigenvalues are below 1. M consists of
    products with sparse matrices. Given B, it is equivariant to diagonal scaling of A.

    `values` sets S and P. By default both are Jacobi's, S = (4/3c) I and P = (I - (4/3c) A) T with
    c the Collatz bound of the eigenvalues of A. `chebyshev` has the polynomial of degree 2 on
    [0.1c, c] as smoother: S is a matrix with the pattern of A.

    Attributes:
        matrix: A with unit diagonal.
        levels, sizes: fine to coarse; `sizes` includes the coarsest level.
        complexity: entries of the matrices of all levels, relative to those of A.
        products: products with A of one application, by entries; P is not counted.

    Args:
        A: symmetric, with `to_csr`.
        values: see above.
        near_nullspace: (n, k), vectors that A nearly maps to zero; by default the constants of each
            unknown of a node.
        block: unknowns per node, numbered node by node; by default read from the entries.
        theta: threshold of strong couplings for one unknown per node.
        dtype: precision of the cycle; by default float32 if it suffices.

    Raises:
        ValueError: A is not symmetric, its diagonal shows that it is not positive definite, or the
            near-null space has another number of rows.
    """

    def __init__(
        self,
        A: LinearOperator,
        values: "Values | None" = None,
        *,
        near_nullspace: Float[ndarray, "n k"] | None = None,
        block: int | None = None,
        theta: float = THETA,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.grid = A.grid
        self._project = A.project if knows_range(A) else None
        scaled, scale = unit_diagonal(Matrix(regular(A), symmetric=A.symmetric))
        block = unknowns_per_node(scaled) if block is None else block
        B = constants(len(scale), block) if near_nullspace is None else near_nullspace
        if B.ndim != 2 or len(B) != len(scale):
            raise ValueError(
                f"The near-null space has one row per unknown and one column per vector; got shape "
                f"{B.shape} for {len(scale)} unknowns, {block} per node."
            )
        B = B / scale[:, None]
        self.levels, last = hierarchy(scaled, B, values or jacobi, block, theta)
        self.matrix = scaled
        matrices = [level.A for level in self.levels] + [last]
        self.sizes = [matrix.shape[0] for matrix in matrices]
        entries = sum(matrix.nnz for matrix in matrices)
        self.complexity = entries / scaled.nnz
        # Of a level: two residuals, and S twice where it is not diagonal.
        work = [2 * L.A.nnz + 2 * (L.S.nnz > L.S.shape[0]) * L.S.nnz for L in self.levels]
        self.products = sum(work, last.shape[0] ** 2) / scaled.nnz
        self._inverse, self.dtype = coarsest_inverse(last.toarray(), dtype)
        number = self._inverse.dtype
        self._scale = scale.astype(number)
        self._arrays = [
            tuple(matrix.astype(number) for matrix in (L.A, L.S, L.P, L.P.T.tocsr()))
            for L in self.levels
        ]

    def apply(self, u: Float[Tensor, "*batch_space"]) -> Float[Tensor, "*batch_space"]:
        """M u in u's dtype; it carries no gradient."""
        b = u.detach().cpu()
        b = self._project(b) if self._project else b
        fields = b.reshape(-1, self.grid.num_nodes).to(self.dtype)
        x = torch.empty_like(fields)
        for right, left in zip(fields.numpy(), x.numpy(), strict=True):
            left[:] = self._scale * self._cycle(self._scale * right, 0)
        x = x.to(u.dtype).reshape(u.shape)
        return (self._project(x) if self._project else x).to(u.device)

    def _cycle(self, b: ndarray, k: int) -> ndarray:
        if k == len(self._arrays):
            return self._inverse @ b
        A, S, P, R = self._arrays[k]
        x = S @ b
        x += P @ self._cycle(R @ (b - A @ x), k + 1)
        x += S @ (b - A @ x)
        return x

    def __repr__(self) -> str:
        sizes = " > ".join(map(str, self.sizes))
        return f"{type(self).__name__}({sizes}, complexity {self.complexity:.2f})"


def hierarchy(
    scaled: "Csr", B: ndarray, values: Values, block: int, theta: float
) -> tuple[list[Level], "Csr"]:
    """The levels, fine to coarse, and the matrix of the coarsest; each has a unit diagonal."""
    levels: list[Level] = []
    while scaled.shape[0] > COARSEST and len(levels) < DEEPEST:
        found = Aggregates.of(scaled, B, block, theta if block == 1 else 0.0)
        if not found.T.shape[1]:
            break
        S, P = values(found)
        coarse, s = coarse_matrix(scaled, P)
        levels.append(Level(scaled, S, P * s))
        scaled, B, block = coarse, found.coarse / s[:, None], B.shape[1]
    if scaled.shape[0] > COARSEST:  # without strong couplings: the smoother suffices
        import scipy.sparse

        none = Aggregates(scaled, B, scipy.sparse.csr_array((len(B), 0)), B[:0])
        levels.append(Level(scaled, *values(none)))
        scaled = scipy.sparse.csr_array((0, 0))
    return levels, scaled


def coarse_matrix(A: "Csr", P: "Csr") -> tuple["Csr", Float[ndarray, " m"]]:
    """D^-1/2 Pᵀ A P D^-1/2 with a unit diagonal, and the diagonal of D^-1/2. A column of P is zero
    where an aggregate has fewer unknowns than B has vectors; the diagonal is one there, too."""
    import scipy.sparse

    product = scipy.sparse.csr_array(P.T @ (A @ P))
    product = scipy.sparse.csr_array((product + product.T) / 2)
    d = product.diagonal()
    if (zero := d <= 0).any():
        product = product + scipy.sparse.diags_array(zero.astype(float), format="csr")
        d = np.where(zero, 1.0, d)
    s = 1 / np.sqrt(d)
    product.data *= s[product.indices] * np.repeat(s, np.diff(product.indptr))
    product.sort_indices()
    return product, s


def unknowns_per_node(csr: "Csr") -> int:
    """The size of the full blocks of which the matrix consists; 1 if there are none."""
    from ..choice.system import System

    return System(csr).blocks


def constants(size: int, block: int) -> Float[ndarray, "n k"]:
    """The constants of each unknown of a node."""
    return np.tile(np.eye(block), (size // block, 1))


def jacobi(level: Aggregates) -> tuple["Csr", "Csr"]:
    """Damped Jacobi as smoother and for P."""
    import scipy.sparse

    omega = DAMPING / spectral_bound(level.A)
    S = scipy.sparse.csr_array(scipy.sparse.diags_array(np.full(level.A.shape[0], omega)))
    return S, scipy.sparse.csr_array(level.T - omega * (level.A @ level.T))


def chebyshev(level: Aggregates) -> tuple["Csr", "Csr"]:
    """The Chebyshev polynomial of degree 2 on [0.1c, c] as smoother, damped Jacobi for P."""
    import scipy.sparse

    c = spectral_bound(level.A)
    identity = scipy.sparse.eye_array(level.A.shape[0])
    S = (CHEBYSHEV[0] / c) * identity - (CHEBYSHEV[1] / c**2) * level.A
    return scipy.sparse.csr_array(S), jacobi(level)[1]
