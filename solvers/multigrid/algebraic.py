"""Algebraic multigrid: the hierarchy by PyAMG, the cycle in compiled loops."""

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
from ...linop import LinearOperator, Preconditioner
from ..direct.sparse import regular
from ..krylov.loop import knows_range

COARSEST = 150  # unknowns whose dense inverse is cheaper than another level
# Couplings of either sign: above this share of all couplings, interpolation by Ruge and Stüben,
# made for M-matrices, needs more iterations than smoothed aggregation.
POSITIVE = 0.1
SCATTERED = 0.05  # mean distance of coupled rows, relative to their number, that calls for an order


class AlgebraicMultigrid(Preconditioner):
    """M ≈ A⁻¹: one V(1,1) cycle of algebraic multigrid.

    The hierarchy is PyAMG's:

    - `ruge_stueben` (Ruge & Stüben 1987), for matrices whose couplings are mostly negative. A
      coupling is strong if -a_ij >= θ max_k(-a_ik), θ = 0.25 in the plane and 0.5 in space. The
      second pass of the splitting makes every two strongly coupled fine unknowns share a coarse
      one: levels have more entries (operator complexity 3.2 instead of 1.9), and CG takes 13
      iterations instead of 28 for P1 elements on a Delaunay mesh of 2e5 unknowns, and 15 instead
      of 69 if k jumps by 1e4.
    - `smoothed_aggregation` (Vaněk, Mandel & Brezina 1996), for other matrices: it needs the
      near-null space of A, by default the constants of each unknown of a node.

    The cycle is ours (`kernels/amg`): Gauss-Seidel before, in reversed order after the correction,
    in single precision by default, on two threads where a level is large. It is
    symmetric and positive definite. If A is singular with a known kernel, the hierarchy is that of
    a regular matrix (`direct.sparse.regular`) and M is P M P, P the projection on the range.

    Work arrays belong to the object: do not share it between threads.

    Args:
        A: symmetric, with `to_csr`.
        kind: "ruge_stueben" or "smoothed_aggregation"; chosen by the signs of the entries and the
            near-null space by default.
        near_nullspace: (n, m), vectors that A nearly maps to zero.
        block: unknowns per node, numbered node by node.
        flat: whether the graph of A is that of a mesh in the plane.
        dtype: precision of the cycle.

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
        dtype: torch.dtype = torch.float32,
    ) -> None:
        if not A.symmetric:
            raise ValueError(f"{type(self).__name__} needs a symmetric A; got {A}.")
        self.grid, self.dtype = A.grid, dtype
        self.positive_definite, self.semidefinite = A.positive_definite, True
        self._project = A.project if knows_range(A) else None
        matrix = _with_unit_rows(regular(A))
        if (matrix.diagonal() <= 0).any():
            raise ValueError(f"{type(self).__name__} needs positive diagonal entries; got {A}.")
        if kind is None:
            kind = suited(matrix, near_nullspace, block)
        if kind not in KINDS:
            raise ValueError(f"kind is one of {', '.join(KINDS)}; got {kind!r}.")
        self.kind = kind
        self._order = None if block > 1 else _order(matrix)
        if self._order is not None:
            matrix = _csr(matrix[self._order][:, self._order])
            if near_nullspace is not None:
                near_nullspace = near_nullspace[self._order]
        levels = KINDS[kind](matrix, near_nullspace=near_nullspace, block=block, flat=flat)
        self.sizes = [level.A.shape[0] for level in levels]
        entries = [level.A.nnz for level in levels]
        self.complexity = sum(entries) / entries[0]
        numbers = torch.empty(0, dtype=dtype).numpy().dtype
        last = _inverse(levels[-1].A.toarray())
        arrays = [amg.Level.of(_csr(level.A), _csr(level.P), numbers) for level in levels[:-1]]
        self._cycle = amg.bind(arrays, ((last + last.T) / 2).astype(numbers))

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


def suited(matrix: Any, near_nullspace: ndarray | None, block: int) -> str:
    """The kind of hierarchy that suits a matrix."""
    if block > 1 or (near_nullspace is not None and near_nullspace.shape[1] > 1):
        return "smoothed_aggregation"
    return "ruge_stueben" if positive_share(matrix) <= POSITIVE else "smoothed_aggregation"


def positive_share(matrix: Any) -> float:
    """Σ of the positive a_ij over Σ |a_ij|, both without the diagonal."""
    absolute = np.abs(matrix.data).sum() - np.abs(matrix.diagonal()).sum()
    signed = matrix.data.sum() - matrix.diagonal().sum()
    return float((absolute + signed) / (2 * absolute)) if absolute > 0 else 0.0


def _ruge_stueben(matrix: Any, *, flat: bool, **unused: Any) -> list[Any]:
    import scipy.sparse

    strength = ("classical", {"theta": 0.25 if flat else 0.5, "norm": "min"})
    return (
        _pyamg()
        .ruge_stuben_solver(
            scipy.sparse.csr_matrix(matrix),
            strength=strength,
            CF=("RS", {"second_pass": True}),
            max_coarse=COARSEST,
            presmoother=None,
            postsmoother=None,
        )
        .levels
    )


def _smoothed_aggregation(
    matrix: Any, *, near_nullspace: ndarray | None, block: int, **unused: Any
) -> list[Any]:
    import scipy.sparse

    A = scipy.sparse.csr_matrix(matrix)
    B = near_nullspace
    if B is None:
        B = np.kron(np.ones((A.shape[0] // block, 1)), np.eye(block))
    return (
        _pyamg()
        .smoothed_aggregation_solver(
            A.tobsr((block, block)) if block > 1 else A,
            B=B,
            strength=("symmetric", {"theta": 0.0 if block > 1 else 0.08}),
            improve_candidates=None,
            max_coarse=COARSEST,
            presmoother=None,
            postsmoother=None,
        )
        .levels
    )


def _pyamg() -> Any:
    with once():
        import pyamg
    return pyamg


KINDS: dict[str, Callable[..., list[Any]]] = {
    "ruge_stueben": _ruge_stueben,
    "smoothed_aggregation": _smoothed_aggregation,
}


def _order(matrix: Any) -> ndarray | None:
    """The reverse Cuthill-McKee order of the rows if neighbours are far apart in theirs, as in a
    mesh of random points: loops read nearby memory, and two blocks of rows have few couplings."""
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    n = matrix.shape[0]
    if matrix.nnz < amg.WIDE:
        return None
    row = np.repeat(np.arange(n, dtype=matrix.indices.dtype), np.diff(matrix.indptr))
    if np.abs(matrix.indices - row).mean() < SCATTERED * n:
        return None
    return reverse_cuthill_mckee(_csr(matrix), symmetric_mode=True)


def _inverse(matrix: ndarray) -> ndarray:
    """The inverse of a positive definite matrix, the pseudo-inverse of a semidefinite one."""
    from scipy.linalg import LinAlgError, cho_factor, cho_solve, pinvh

    try:
        factor = cho_factor(matrix)
    except LinAlgError:
        return pinvh(matrix, rtol=1e-12)
    if factor[0].diagonal().min() ** 2 < 1e-12 * matrix.diagonal().max():
        return pinvh(matrix, rtol=1e-12)
    return cho_solve(factor, np.eye(len(matrix)))


def _csr(matrix: Any) -> Any:
    import scipy.sparse

    return scipy.sparse.csr_array(matrix.tocsr())


def _with_unit_rows(matrix: Any) -> Any:
    """1 on the diagonal of empty rows."""
    import scipy.sparse

    empty = np.diff(matrix.indptr) == 0
    return matrix + scipy.sparse.diags_array(empty.astype("float64")) if empty.any() else matrix
