"""Krylov solvers of scipy that return a `SolveResult`."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ...linop import LinearOperator
from ..result import SolveResult, at_once, relative_residual, rounded
from .loop import check, knows_range

METHODS = ("cg", "minres", "gmres", "bicgstab")
_RESTART = 20  # scipy's own default for GMRES


@torch.no_grad()
def solve_scipy(
    A: LinearOperator,
    b: Float[Tensor, "*batch_space"],
    *,
    method: str = "cg",
    M: LinearOperator | None = None,
    x0: Float[Tensor, "*batch_space"] | None = None,
    rtol: float = 1e-8,
    max_iterations: int = 1000,
    **options: Any,
) -> SolveResult:
    """x with |b - A x| <= rtol |b| by `scipy.sparse.linalg.<method>`, in float64 on the CPU.

    The history is recorded by scipy's callback: |b - A x| of each iterate, which costs one more
    product per iteration; for GMRES the norm that it minimises, |M (b - A x)| / |M b|. `converged`
    and the last entry refer to the true residual. scipy's stopping tests differ (MINRES compares
    with |A||x|, GMRES includes M): if one stops too early, the method is called again from its
    iterate with a smaller tolerance, at most four times. Right-hand sides of a batch are solved one
    by one. Singular systems are projected, and inconsistent ones reported, as in `cg`.

    Args:
        method: one of `METHODS`.
        options: passed on, for example `restart=` of GMRES (20).

    Raises:
        ValueError: the method is unknown, shapes or dtypes differ, or a limit is out of range.
    """
    if method not in METHODS:
        raise ValueError(f"Unknown method {method!r}; choose one of {', '.join(METHODS)}.")
    check(A, b, M, x0, rtol, max_iterations)
    if b.ndim > A.grid.ndim:
        fields = b.reshape(-1, *A.grid.shape)
        guesses = [None] * len(fields) if x0 is None else list(x0.reshape(fields.shape))
        call: dict[str, Any] = {"M": M, "rtol": rtol, "max_iterations": max_iterations, **options}
        results = [
            solve_scipy(A, field, method=method, x0=guess, **call)
            for field, guess in zip(fields, guesses, strict=True)
        ]
        x = torch.stack([result.x for result in results]) if results else fields.clone()
        return SolveResult.of_columns(x.reshape(b.shape), results)
    if done := at_once(b, torch.linalg.vector_norm(b).item(), rtol):
        return done
    result = _one(A, b.double().cpu(), method, M, x0, rtol, max_iterations, options)
    return rounded(result, A, b, rtol)


def _one(
    A: LinearOperator,
    b: Tensor,
    method: str,
    M: LinearOperator | None,
    x0: Tensor | None,
    rtol: float,
    max_iterations: int,
    options: dict[str, Any],
) -> SolveResult:
    import scipy.sparse.linalg

    singular = knows_range(A)
    right = A.project(b) if singular else b
    outside = torch.linalg.vector_norm(b - right).item() / torch.linalg.vector_norm(b).item()
    x = torch.zeros_like(b) if x0 is None else x0.double().cpu()
    residuals = [relative_residual(A, x, b)]

    def record(state: Any) -> None:
        if method == "gmres":
            residuals.append(float(state))
        else:
            residuals.append(relative_residual(A, torch.tensor(state).reshape(b.shape), b))

    call: dict[str, Any] = {"callback": record, "M": None if M is None else M.to_scipy(), **options}
    cycle = 1
    if method == "gmres":
        cycle = min(call.setdefault("restart", _RESTART), b.numel())
        call["callback_type"] = "pr_norm"
    operator, vector = A.to_scipy(), right.numpy().ravel()
    inside, target = relative_residual(A, x, right), rtol
    for _ in range(5):
        left = max_iterations - (len(residuals) - 1)
        if inside <= rtol or left < 1 or not math.isfinite(inside):
            break
        call.update(x0=x.numpy().ravel(), rtol=target, maxiter=math.ceil(left / cycle))
        x = torch.tensor(getattr(scipy.sparse.linalg, method)(operator, vector, **call)[0])
        x = x.reshape(b.shape)
        before, inside = inside, relative_residual(A, x, right)
        if not inside < before:
            break
        target *= 0.5 * min(1.0, rtol / inside) if inside else 1.0
    x = A.project(x) if singular and A.symmetric else x
    residuals[-1] = true = relative_residual(A, x, b)
    size = f"|b - A x| = {true:.1e} |b|"
    if not math.isfinite(true):
        reason = "the residual is not finite: x0, A or M holds NaN, or the iteration diverges"
    elif inside <= rtol < outside:
        reason = (
            f"inconsistent: {outside:.1e} |b| of b is outside the range of A, which is singular; x "
            f"solves the projected system, |P b - A x| = {inside:.1e} |P b|"
        )
    elif true <= rtol:
        reason = f"scipy's {method}: {size} <= {rtol:.0e} |b|"
    elif len(residuals) > max_iterations:
        reason = f"scipy's {method}, max_iterations = {max_iterations}: {size} > {rtol:.0e} |b|"
    else:
        reason = f"scipy's {method} got no further than {size} > {rtol:.0e} |b|"
    return SolveResult(x, true <= rtol, len(residuals) - 1, residuals, reason)
