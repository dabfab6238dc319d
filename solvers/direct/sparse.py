"""Sparse direct solution through scipy."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...linop import LinearOperator, Preconditioner
from ..krylov.loop import check, knows_range
from ..result import SolveResult, at_once, relative_residual

if TYPE_CHECKING:
    import scipy.sparse


@torch.no_grad()
def solve_sparse(
    A: LinearOperator, b: Float[Tensor, "*batch_space"], *, rtol: float = 1e-10
) -> SolveResult:
    """x = A⁻¹ b by SuperLU in float64; A must give its matrix (`to_csr`).

    A symmetric A is factored without pivoting in the minimum-degree order of Aᵀ + A, which for
    five-point operators is faster and needs less memory than SuperLU's default (COLAMD). If
    round-off leaves the residual above `rtol`, up to two steps of iterative refinement follow; they
    are the iterations of the result. Leading axes of b are a batch, for which A is factored once.

    If A is singular and its kernel is spanned by constants (`regions`), the system A x = P b is
    solved, P the projection on the range, with the factor of A with one diagonal entry raised in
    each region; x has no component in the kernel. If b is not in the range, the result says so.

    Raises:
        ValueError: b has another shape than A's unknowns or is not real, or rtol is not positive.
    """
    check(A, b, None, None, rtol)
    fields = b.reshape(-1, *A.grid.shape)
    try:
        solve = factor(A)
    except RuntimeError as error:  # SuperLU's "Factor is exactly singular"
        reason = f"no factor: {error}"
        results = [SolveResult(torch.zeros_like(u), False, 0, [1.0], reason) for u in fields]
    else:
        results = [_solve(A, u, solve, rtol) for u in fields]
    if b.ndim == A.grid.ndim:
        return results[0]
    x = torch.stack([result.x for result in results]) if results else fields
    return SolveResult.of_columns(x.reshape(b.shape), results)


def factor(A: LinearOperator) -> Callable[[Tensor], Tensor]:
    """b -> A⁻¹ b by SuperLU; for a singular A, one of the solutions for b in its range.

    Raises:
        RuntimeError: the factorisation fails.
    """
    from scipy.sparse.linalg import splu

    options: dict[str, Any] = {}
    definite = A.positive_definite or A.semidefinite
    if A.symmetric:
        options = {
            "permc_spec": "MMD_AT_PLUS_A",
            "diag_pivot_thresh": 0.0 if definite else 1.0,
            "options": {"SymmetricMode": True},
        }
    lu = splu(regular(A).tocsc(), **options)

    def solve(r: Tensor) -> Tensor:
        columns = r.cpu().double().numpy().reshape(-1, A.grid.num_nodes).T
        return torch.from_numpy(lu.solve(np.asfortranarray(columns)).T.copy()).reshape(r.shape)

    return solve


class SparseDirect(Preconditioner):
    """M = A⁻¹ by SuperLU in float64 (`factor`), up to round-off; the pseudo-inverse on the range of
    A if A is singular with a known kernel.

    Leading axes of a field are a batch, solved together. An application costs about two products
    with the factor.

    Raises:
        ValueError: A is not symmetric or has no factor, or memory does not suffice.
    """

    def __init__(self, A: LinearOperator) -> None:
        if not A.symmetric:
            raise ValueError(f"SparseDirect as M needs a symmetric A; got {A}. Use solve_sparse.")
        self.grid = A.grid
        self.positive_definite, self.semidefinite = A.positive_definite, True
        self._project = A.project if knows_range(A) else None
        try:
            self._solve = factor(A)
        except (RuntimeError, MemoryError) as error:
            raise ValueError(f"SuperLU found no factor of {A}: {error}") from None

    def apply(self, u: Float[Tensor, "*batch_space"]) -> Float[Tensor, "*batch_space"]:
        """M u in u's dtype; it carries no gradient."""
        b = u.detach() if self._project is None else self._project(u.detach())
        x = self._solve(b)
        return (x if self._project is None else self._project(x)).to(u)

    def __repr__(self) -> str:
        return f"SparseDirect({self.grid.num_nodes} unknowns)"


def regular(A: LinearOperator) -> "scipy.sparse.csr_array":
    """A as a regular matrix: for each dimension of its kernel one diagonal entry is doubled, and 1
    at empty rows.

    Let the entries raised be those of the nodes i in I, and v in the kernel. For b in the range of
    A, (A + E) x = b gives Σ_I a_ii v_i x_i = vᵀ b = 0. If no v vanishes on I, x is zero on I, and
    so a solution of A x = b. In a floating region I is one node; for a kernel that is given by
    vectors I are the pivots of a QR decomposition of its rows.
    """
    import scipy.sparse

    matrix = A.to_csr()
    if A.positive_definite:
        return matrix
    raised = np.zeros(matrix.shape[0])
    diagonal = matrix.diagonal()
    kernel, regions = getattr(A, "kernel", None), getattr(A, "regions", None)
    if kernel is not None:
        from scipy.linalg import qr

        nodes = qr(kernel.cpu().numpy(), mode="r", pivoting=True)[1][: len(kernel)]
    elif regions is not None:
        labels = np.ones(len(raised)) if regions.labels is None else regions.labels.cpu().numpy()
        raised[labels.ravel() < 0] = 1.0
        values, first = np.unique(labels.ravel(), return_index=True)
        nodes = first[(values >= 1) & (values <= regions.num_floating)]
    else:
        return matrix
    raised[nodes] = np.where(diagonal[nodes] > 0, diagonal[nodes], 1.0)
    return matrix + scipy.sparse.diags_array(raised)


def _solve(
    A: LinearOperator, b: Tensor, solve: Callable[[Tensor], Tensor], rtol: float
) -> SolveResult:
    if done := at_once(b, torch.linalg.vector_norm(b).item(), rtol):
        return done
    singular = knows_range(A)
    right = A.project(b) if singular else b
    x = solve(right).to(b)
    residuals = [relative_residual(A, x, b)]
    inside = relative_residual(A, x, right)
    for _ in range(2):
        if inside <= rtol or not math.isfinite(inside):
            break
        x = x + solve(right - A @ x).to(b)
        residuals.append(relative_residual(A, x, b))
        inside = relative_residual(A, x, right)
    if singular and A.symmetric:
        x = A.project(x)
        residuals[-1] = relative_residual(A, x, b)
    true = residuals[-1]
    sign = "<=" if true <= rtol else ">"
    reason = f"sparse direct: |b - A x| = {true:.1e} |b| {sign} {rtol:.0e} |b|"
    if inside <= rtol < true:
        outside = ((b - right).norm() / b.norm()).item()
        reason = (
            f"inconsistent: {outside:.1e} |b| of b is outside the range of A, which is singular; x "
            f"solves the projected system, |P b - A x| = {inside:.1e} |P b|"
        )
    return SolveResult(x, true <= rtol, len(residuals) - 1, residuals, reason)
