"""Algebraic multigrid: hierarchies by compiled loops or by PyAMG, the cycle in compiled loops."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from ...kernels import amg
from ...kernels.runtime.first_calls import once
from ...kernels.runtime.threads import one_thread
from ...linop import LinearOperator, Preconditioner
from ..direct.sparse import regular
from ..krylov.loop import knows_range

COARSEST = 150  # unknowns whose dense inverse is cheaper than another level
SINGLE = 1e6  # condition number of the coarsest matrix from which the cycle is in float64
SCATTERED = 0.05  # mean distance of coupled rows, relative to their number, that needs an order


class AlgebraicMultigrid(Preconditioner):
    """M ≈ A⁻¹: one V(1,1) cycle of algebraic multigrid.

    There are two hierarchies:

    - `ruge_stueben` (`kernels/amg`), for equations with one unknown per node. A coupling is strong
      if -a_ij >= θ max_k(-a_ik), θ = 0.25 in the plane and 0.5 in space; the splitting is the first
      pass of Ruge & Stüben (1987), and interpolation reaches a coarse neighbour of a fine neighbour
      where two fine unknowns share no coarse one. So CG takes 14 iterations for P1 elements on a
      Delaunay mesh of 2e5 unknowns, 16 if k jumps by 1e4 (`benchmarks/results/matrices.md`).
      Ruge and Stüben's second pass would make more unknowns coarse, so that levels have more
      entries; without it, their own interpolation would take more iterations.
    - `smoothed_aggregation` (Vaněk, Mandel & Brezina 1996) by PyAMG, for systems of equations: it
      needs the near-null space of A, by default the constants of each unknown of a node. For one
      unknown per node it takes more iterations, also where couplings have either sign
      (`tests/solvers/multigrid/test_algebraic.py`).

    The cycle is ours (`kernels/amg`): Gauss-Seidel before, in reversed order after the correction,
    on two threads where a level is large. It is symmetric and positive definite. By default it is
    in single precision, or in double where the coarsest matrix is too ill-conditioned for single:
    the error of its near-null vectors would be larger than the correction. If A is singular with a
    known kernel, the hierarchy is that of a regular matrix (`direct.sparse.regular`) and M is
    P M P, P the projection on the range.

    Work arrays belong to the object: do not share it between threads.

    Args:
        A: symmetric, with `to_csr`.
        kind: "ruge_stueben" or "smoothed_aggregation"; by default the latter if there are several
            unknowns per node or vectors in the near-null space.
        near_nullspace: (n, m), vectors that A nearly maps to zero.
        block: unknowns per node, numbered node by node.
        flat: whether the graph of A is that of a mesh in the plane.
        dtype: precision of the cycle; by default float32 if it suffices.

    Raises:
        ValueError: A is not symmetric, `kind` is unknown, or a diagonal entry is not positive.
    """

    def __init__(
        self,
        A: LinearOperator,
        *,
        kind: str | None = None,
        near_nullspace: ndarray | None = None,
        block: int = 1,
        flat: bool = True,
        dtype: torch.dtype | None = None,
    ) -> None:
        if not A.symmetric:
            raise ValueError(f"{type(self).__name__} needs a symmetric A; got {A}.")
        self.grid = A.grid
        self.positive_definite, self.semidefinite = A.positive_definite, True
        self._project = A.project if knows_range(A) else None
        matrix = _with_unit_rows(regular(A))
        if (matrix.diagonal() <= 0).any():
            raise ValueError(f"{type(self).__name__} needs positive diagonal entries; got {A}.")
        if kind is None:
            kind = kind_for(block, 0 if near_nullspace is None else near_nullspace.shape[1])
        if kind not in KINDS:
            raise ValueError(f"kind is one of {', '.join(KINDS)}; got {kind!r}.")
        self.kind = kind
        arrays, self._order = amg.arrays_of(matrix), None
        if block == 1 and matrix.nnz >= amg.WIDE:
            arrays, self._order = amg.near(arrays, SCATTERED)
        if self._order is not None and near_nullspace is not None:
            near_nullspace = near_nullspace[self._order]
        levels, last = KINDS[kind](arrays, near_nullspace=near_nullspace, block=block, flat=flat)
        matrices = [*(A for A, _, _ in levels), last]
        self.sizes = [len(starts) - 1 for starts, _, _ in matrices]
        self.complexity = sum(len(values) for _, _, values in matrices) / len(matrices[0][2])
        inverse, self.dtype = coarsest_inverse(_sparse(last).toarray(), dtype)
        self._cycle = amg.bind([amg.level(*arrays, inverse.dtype) for arrays in levels], inverse)

    def apply(self, u: Float[Tensor, "*batch_space"]) -> Float[Tensor, "*batch_space"]:
        """M u in u's dtype; it carries no gradient."""
        b = u.detach().cpu()
        b = self._project(b) if self._project else b
        fields = b.reshape(-1, self.grid.num_nodes).to(self.dtype).contiguous()
        x = torch.empty_like(fields)
        for right, left in zip(fields.numpy(), x.numpy(), strict=True):
            self._run(right, left)
        x = x.to(u.dtype).reshape(u.shape)
        return (self._project(x) if self._project else x).to(u.device)

    def _run(self, b: ndarray, x: ndarray) -> None:
        """x = M b in the precision of the cycle, for rows in the order of A."""
        if self._order is None:
            self._cycle.run(b, x)
            return
        y = np.empty_like(x)
        self._cycle.run(b[self._order], y)
        x[self._order] = y

    def bind(
        self, u: Float[Tensor, "*batch_space"], out: Float[Tensor, "*batch_space"]
    ) -> Callable[[], object]:
        """`apply_into(u, out)` without arguments; for one field the cycle between two copies."""
        if self._project or u.numel() != self.grid.num_nodes or not u.is_contiguous():
            return super().bind(u, out)
        inside = torch.empty(self.grid.num_nodes, dtype=self.dtype)
        result = torch.empty_like(inside)
        arrays = (inside.numpy(), result.numpy())
        return partial(_applied, self._run, u.detach().view(-1), inside, arrays, result, out)

    def __repr__(self) -> str:
        sizes = " > ".join(map(str, self.sizes))
        return f"{type(self).__name__}({self.kind}, {sizes}, complexity {self.complexity:.2f})"


def _applied(
    run: Callable[..., None], u: Tensor, inside: Tensor, arrays: Any, result: Tensor, out: Tensor
) -> None:
    inside.copy_(u)
    run(*arrays)
    out.view(-1).copy_(result)


Hierarchy = tuple[list[tuple[amg.CSR, amg.CSR, amg.CSR]], amg.CSR]  # A, P, R; the coarsest A


def _ruge_stueben(A: amg.CSR, *, flat: bool, **unused: Any) -> Hierarchy:
    return amg.hierarchy(A, 0.25 if flat else 0.5, COARSEST)


def _smoothed_aggregation(
    A: amg.CSR, *, near_nullspace: ndarray | None, block: int, **unused: Any
) -> Hierarchy:
    with once():
        import pyamg
        import scipy.sparse

    matrix = scipy.sparse.csr_matrix(_sparse(A))
    B = near_nullspace
    if B is None:
        B = np.kron(np.ones((matrix.shape[0] // block, 1)), np.eye(block))
    *levels, last = pyamg.smoothed_aggregation_solver(
        matrix.tobsr((block, block)) if block > 1 else matrix,
        B=B,
        strength=("symmetric", {"theta": 0.0 if block > 1 else 0.08}),
        # Weights by Gershgorin's bounds: the estimate of a spectral radius from a random vector
        # takes longer than all else, and saves two iterations on 20³ nodes of elasticity.
        smooth=("jacobi", {"omega": 4 / 3, "weighting": "local"}),
        improve_candidates=None,
        max_coarse=COARSEST,
        presmoother=None,
        postsmoother=None,
    ).levels
    found = []
    for level in levels:
        P = amg.arrays_of(level.P)
        found.append((amg.arrays_of(level.A), P, amg.transposed(P, level.P.shape[1])))
    return found, amg.arrays_of(last.A)


KINDS: dict[str, Callable[..., Hierarchy]] = {
    "ruge_stueben": _ruge_stueben,
    "smoothed_aggregation": _smoothed_aggregation,
}


def kind_for(block: int, num_modes: int) -> str:
    """The kind of hierarchy for so many unknowns per node and near-null vectors."""
    return "smoothed_aggregation" if block > 1 or num_modes > 1 else "ruge_stueben"


def coarsest_inverse(matrix: ndarray, dtype: torch.dtype | None) -> tuple[ndarray, torch.dtype]:
    """The inverse of the matrix of the coarsest level in the precision of the cycle; by default
    this is single precision if it suffices."""
    inverse = _inverse(matrix)
    if dtype is None:
        single = _condition(matrix, inverse) < SINGLE
        dtype = torch.float32 if single else torch.float64
    return inverse.astype(torch.empty(0, dtype=dtype).numpy().dtype), dtype


def _inverse(matrix: ndarray) -> ndarray:
    """The inverse of a positive definite matrix, the pseudo-inverse of a semidefinite one.

    By torch on one thread: LAPACK's threads wait for each other where cores are busy, and a matrix
    this small then takes a tenth of a second.
    """
    if not matrix.size:
        return matrix
    A = torch.from_numpy(matrix)
    with one_thread():
        factor, failed = torch.linalg.cholesky_ex(A)
        if failed or factor.diagonal().min() ** 2 < 1e-12 * A.diagonal().max():
            inverse = torch.linalg.pinv(A, rtol=1e-12, hermitian=True)
        else:
            inverse = torch.cholesky_inverse(factor)
    return ((inverse + inverse.T) / 2).numpy()


def _condition(matrix: ndarray, inverse: ndarray) -> float:
    """|S⁻¹ A S⁻¹| |S A⁻¹ S| in the norm of row sums, s_i² = a_ii: jumps of coefficients, which a
    diagonal scaling removes, do not count."""
    diagonal = matrix.diagonal()
    s = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    rows = (abs(matrix) @ (1 / s) / s, abs(inverse) @ s * s)
    return float(np.prod([row.max(initial=0.0) for row in rows]))


def _sparse(arrays: amg.CSR) -> Any:
    """The square matrix of CSR arrays."""
    import scipy.sparse

    starts, columns, values = arrays
    indices = columns.view(np.int32), starts.view(np.int32)
    return scipy.sparse.csr_array((values, *indices), shape=(len(starts) - 1,) * 2)


def _with_unit_rows(matrix: Any) -> Any:
    """1 on the diagonal of empty rows."""
    import scipy.sparse

    empty = np.diff(matrix.indptr) == 0
    return matrix + scipy.sparse.diags_array(empty.astype("float64")) if empty.any() else matrix
