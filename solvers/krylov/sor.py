"""Successive over-relaxation (SOR) as a solver and as a preconditioner."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ...kernels import sweeps
from ...linop import LinearOperator, Preconditioner
from ..result import SolveResult, at_once, relative_residual, rounded
from .loop import check, knows_range


class SOR(LinearOperator):
    """M = (D/ω + L)⁻¹: one sweep of SOR from zero, D the diagonal and L the part of A below it.

    M is not symmetric: use it with `bicgstab`.

    Args:
        A: an operator with `to_csr`; sweeps follow the order of its rows.
        omega: in (0, 2); 1 is Gauss-Seidel.

    Raises:
        ValueError: ω is outside (0, 2), or a row with entries has a zero diagonal.
    """

    def __init__(self, A: LinearOperator, omega: float | int) -> None:
        self.grid, self.omega = A.grid, float(omega)
        self._rows = _rows(A, self.omega)

    def apply(self, u: Float[Tensor, "*batch_space"]) -> Float[Tensor, "*batch_space"]:
        """M u, computed in float64 on the CPU; it carries no gradient."""
        b = u.detach().to(device="cpu", dtype=torch.float64).reshape(-1, self.grid.num_nodes)
        x = torch.empty(b.shape, dtype=torch.float64)
        sweeps.sweep_from_zero(*self._rows, self.symmetric, b.contiguous().numpy(), x.numpy())
        return x.reshape(u.shape).to(u)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.grid.num_nodes} unknowns, ω = {self.omega:g})"


class SSOR(SOR, Preconditioner):
    """M = ω (2 - ω) (D + ωU)⁻¹ D (D + ωL)⁻¹: a sweep of SOR and a reversed one, from zero.

    M is symmetric, and positive definite if A's diagonal is: a preconditioner for `cg`. With
    the optimal ω (for -Δ with spacing h near 2/(1 + sin πh); the result depends weakly on it) the
    condition number of M A is O(1/h) (Axelsson 1972).

    Raises:
        ValueError: as for `SOR`, or A is not symmetric or has a negative diagonal.
    """

    def __init__(self, A: LinearOperator, omega: float | int) -> None:
        if not A.symmetric:
            raise ValueError(
                f"SSOR is symmetric only if A is; {type(A).__name__} declares symmetric=False. Use "
                f"SOR as M of bicgstab."
            )
        super().__init__(A, omega)
        scale = self._rows[-1]
        if (scale < 0).any():
            raise ValueError(
                "SSOR is positive definite only where the diagonal of A is; it has negative "
                "entries. Use scipy.sparse.linalg.minres without M, or solve_sparse."
            )


@torch.no_grad()
def sor(
    A: LinearOperator,
    b: Float[Tensor, "*batch_space"],
    *,
    omega: float | int,
    x0: Float[Tensor, "*batch_space"] | None = None,
    rtol: float = 1e-8,
    max_iterations: int = 10_000,
) -> SolveResult:
    """x with |b - A x| <= rtol |b| by sweeps x ← x + (D/ω + L)⁻¹ (b - A x) (Young 1950).

    Converges for 0 < ω < 2 if A is symmetric positive definite. For consistently ordered A (such as
    the five-point Laplacian) the best ω is 1 + (β / (1 + √(1 - β²)))², β the spectral radius of
    Jacobi's iteration; `Relaxation` learns ω from iteration counts. Sweeps run in float64 on the
    CPU; a batch is solved column by column. Singular systems are projected, inconsistent ones
    reported.

    Args:
        A: an operator with `to_csr`; use a `Matrix` for many right-hand sides of one A.

    Raises:
        ValueError: ω is outside (0, 2), the diagonal has a zero, shapes or dtypes differ, or a
            limit is out of range.
    """
    check(A, b, None, x0, rtol, max_iterations)
    rows = _rows(A, float(omega))
    fields = b.double().cpu().reshape(-1, *A.grid.shape)
    x = torch.zeros_like(fields) if x0 is None else x0.double().cpu().reshape(fields.shape).clone()
    results = [
        rounded(_one(A, rows, rtol, max_iterations, field, u), A, column, rtol)
        for field, u, column in zip(fields, x, b.reshape(fields.shape), strict=True)
    ]
    if b.ndim == A.grid.ndim:
        return results[0]
    return SolveResult.of_columns(x.reshape(b.shape).to(b), results)


def _rows(A: LinearOperator, omega: float) -> tuple[Any, Any, Any, Any]:
    """CSR arrays of A, and ω / diagonal; 0 in empty rows."""
    import numpy as np

    if not 0 < omega < 2:
        raise ValueError(f"omega must lie in (0, 2), where SOR can converge; got {omega}.")
    matrix = A.to_csr()
    diagonal = matrix.diagonal()
    zero = diagonal == 0
    if zero.any() and np.diff(matrix.indptr)[zero].any():
        row = int(np.flatnonzero(zero & (np.diff(matrix.indptr) > 0))[0])
        raise ValueError(f"SOR divides by the diagonal, which is zero in row {row} of A.")
    scale = np.divide(omega, diagonal, out=np.zeros_like(diagonal), where=~zero)
    return matrix.indptr, matrix.indices, matrix.data, scale


def _one(
    A: LinearOperator,
    rows: tuple[Any, Any, Any, Any],
    rtol: float,
    max_iterations: int,
    b: Tensor,
    x: Tensor,
) -> SolveResult:
    size = torch.linalg.vector_norm(b).item()
    if done := at_once(b, size, rtol):
        x.zero_()
        return done
    right = A.project(b).contiguous() if knows_range(A) else b
    norms = torch.empty(max_iterations + 1, dtype=torch.float64)
    arrays = (right.numpy().ravel(), x.numpy().reshape(-1))
    count = sweeps.relax(*rows, *arrays, rtol * size, norms.numpy())
    residuals = (norms[: count + 1] / size).tolist()
    inside = residuals[-1]
    residuals[-1] = true = relative_residual(A, x, b)
    text = f"|b - A x| = {true:.1e} |b|"
    if not math.isfinite(inside):
        reason = "the residual is not finite: x0 or A holds NaN, or the iteration diverges"
    elif inside <= rtol < true:
        outside = torch.linalg.vector_norm(b - right).item() / size
        reason = (
            f"inconsistent: {outside:.1e} |b| of b is outside the range of A, which is singular; x "
            f"solves the projected system, |P b - A x| = {inside:.1e} |b|"
        )
    elif true <= rtol:
        reason = f"{text} <= {rtol:.0e} |b|"
    else:
        reason = f"max_iterations = {max_iterations}: {text} > {rtol:.0e} |b|"
    return SolveResult(x, true <= rtol, count, residuals, reason)
