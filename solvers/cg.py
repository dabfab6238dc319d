"""Preconditioned conjugate gradients."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from ..linop import LinearOperator
from .result import SolveResult


@torch.no_grad()
def cg(
    A: LinearOperator,
    b: Float[Tensor, "*space"],
    *,
    M: LinearOperator | None = None,
    x0: Float[Tensor, "*space"] | None = None,
    rtol: float = 1e-8,
    max_iterations: int = 1000,
) -> SolveResult:
    """x with |b - A x| <= rtol |b| by conjugate gradients (Saad 2003, Alg. 9.1).

    A and M ≈ A⁻¹ are symmetric positive definite; M is fixed and linear (`check_spd` probes it). A
    prediction of x can be given as x0. Success is claimed on the true residual, recomputed. Where
    that one stays above the tolerance, the method starts again from it; when this no longer helps,
    round-off is the limit and the reason says so. x carries no gradient.

    Raises:
        ValueError: A or M declares itself not symmetric positive definite, or shapes or dtypes
        differ.
    """
    _check(A, b, M, x0, rtol)
    b_norm = torch.linalg.vector_norm(b).item()
    if not math.isfinite(b_norm):
        reason = "b holds NaN or infinity, or its norm overflows"
        return SolveResult(torch.zeros_like(b), False, 0, [math.nan], reason)
    if b_norm == 0:
        return SolveResult(torch.zeros_like(b), True, 0, [0.0], "b = 0, so x = 0")

    # All fields of the loop; it allocates nothing more.
    x = torch.zeros_like(b) if x0 is None else x0.detach().clone()
    r = b.clone() if x0 is None else b - A @ x
    p, z, Ap = (torch.empty_like(b) for _ in range(3))
    residuals = [torch.linalg.vector_norm(r).item() / b_norm]
    is_true = True  # r is b - A x, not its recursion, and p is to start from it
    last_true = math.inf
    rz = 0.0

    def recompute() -> None:
        torch.sub(b, A.apply_into(x, Ap), out=r)
        residuals[-1] = torch.linalg.vector_norm(r).item() / b_norm

    def stop(reason: str, converged: bool = False) -> SolveResult:
        if not is_true:
            recompute()
        return SolveResult(x, converged, len(residuals) - 1, residuals, reason)

    while True:
        done = len(residuals) > max_iterations
        if not is_true and (residuals[-1] <= rtol or done):
            recompute()
            is_true = True
        size = f"{residuals[-1]:.1e} |b|"
        if not math.isfinite(residuals[-1]):
            return stop(
                "the residual is not finite: x0, A or M holds NaN or infinity, or overflows"
            )
        if is_true and residuals[-1] <= rtol:
            return stop(f"|b - A x| = {size} <= {rtol:.0e} |b|", converged=True)
        if done:
            return stop(f"max_iterations = {max_iterations}: |b - A x| = {size} > {rtol:.0e} |b|")
        if is_true and residuals[-1] > last_true / 2:
            return stop(
                f"round-off: |b - A x| stays at {size} in {b.dtype}; rtol = {rtol:.0e} is below"
            )

        if M is None:
            z.copy_(r)
        else:
            M.apply_into(r, z)
        rz, rz_old = _dot(r, z), rz
        if not rz > 0:
            return stop(f"breakdown: ⟨r, M r⟩ = {rz:.1e}, so M is not positive definite")
        if is_true:
            p.copy_(z)
            last_true, is_true = residuals[-1], False
        else:
            torch.add(z, p, alpha=rz / rz_old, out=p)
        pAp = _dot(A.apply_into(p, Ap), p)
        if not pAp > 0:
            return stop(f"breakdown: ⟨p, A p⟩ = {pAp:.1e}, so A is not positive definite")
        x.add_(p, alpha=rz / pAp)
        r.sub_(Ap, alpha=rz / pAp)
        residuals.append(math.sqrt(_dot(r, r)) / b_norm)


def _dot(u: Tensor, v: Tensor) -> float:
    return torch.dot(u.view(-1), v.view(-1)).item()


def _check(
    A: LinearOperator, b: Tensor, M: LinearOperator | None, x0: Tensor | None, rtol: float
) -> None:
    for name, S in (("A", A), ("M", M)):
        if S is None:
            continue
        if not (S.symmetric and S.positive_definite):
            raise ValueError(
                f"CG needs a symmetric positive definite {name}; {type(S).__name__} declares "
                f"symmetric={S.symmetric}, positive_definite={S.positive_definite}. Use MINRES or "
                f"BiCGStab, or scipy's solvers through A.to_scipy()."
            )
    if not rtol > 0:
        raise ValueError(f"rtol must be positive; got {rtol}. Relative tolerances lie near 1e-8.")
    fields = {"b": b} if x0 is None else {"b": b, "x0": x0}
    for name, u in fields.items():
        if tuple(u.shape) != A.grid.shape:
            raise ValueError(
                f"{name} must have the shape {A.grid.shape} of A's unknowns; got {tuple(u.shape)}. "
                f"Boundary nodes are not unknowns; solve batches one by one."
            )
        if u.dtype != b.dtype:
            raise ValueError(f"x0 must have b's dtype {b.dtype}; got {u.dtype}.")
    if M is not None and M.grid.shape != A.grid.shape:
        raise ValueError(
            f"M acts on fields of shape {M.grid.shape}, A on {A.grid.shape}; build M from this A."
        )
