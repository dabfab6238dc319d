"""Sparse direct solution through scipy."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from ..linop import LinearOperator
from .result import SolveResult, relative_residual


@torch.no_grad()
def solve_sparse(
    A: LinearOperator, b: Float[Tensor, "*space"], *, rtol: float = 1e-10
) -> SolveResult:
    """x = A⁻¹ b by SuperLU in float64; A must give its matrix (`to_csr`).

    A symmetric A is factored without pivoting in the minimum-degree order of Aᵀ + A, which on
    five-point grids is faster and leaner than SuperLU's default (COLAMD). Where round-off leaves
    the residual above `rtol`, up to two steps of iterative refinement follow; they are the
    iterations of the result.

    Raises:
        ValueError: b has another shape than A's unknowns.
    """
    if tuple(b.shape) != A.grid.shape:
        raise ValueError(
            f"b must have the shape {A.grid.shape} of A's unknowns; got {tuple(b.shape)}. "
            f"Boundary nodes are not unknowns."
        )
    if not b.isfinite().all():
        reason = "b holds NaN or infinity"
        return SolveResult(torch.zeros_like(b), False, 0, [math.nan], reason)
    from scipy.sparse.linalg import splu

    options = {}
    if A.symmetric:
        options = {
            "permc_spec": "MMD_AT_PLUS_A",
            "diag_pivot_thresh": 0.0 if A.positive_definite else 1.0,
            "options": {"SymmetricMode": True},
        }
    try:
        factor = splu(A.to_csr().tocsc(), **options)
    except RuntimeError as error:  # SuperLU's "Factor is exactly singular"
        return SolveResult(torch.zeros_like(b), False, 0, [1.0], f"no factor: {error}")

    def solve(r: Tensor) -> Tensor:
        return torch.from_numpy(factor.solve(r.cpu().double().numpy().ravel())).reshape(b.shape)

    x = solve(b).to(b)
    residuals = [relative_residual(A, x, b)]
    for _ in range(2):
        if residuals[-1] <= rtol:
            break
        x = x + solve(b - A @ x).to(b)
        residuals.append(relative_residual(A, x, b))
    true = residuals[-1]
    sign = "<=" if true <= rtol else ">"
    reason = f"sparse direct: |b - A x| = {true:.1e} |b| {sign} {rtol:.0e} |b|"
    return SolveResult(x, true <= rtol, len(residuals) - 1, residuals, reason)
