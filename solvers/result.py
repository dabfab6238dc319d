"""The record that every solver returns."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..linop import LinearOperator


@dataclass
class SolveResult:
    """A solution x of A x = b, its residuals, and the reason for stopping.

    For a batch of right-hand sides, `converged` refers to all columns, `iterations` to the slowest
    one, `residuals` to the largest after each iteration; `columns` has one result per column.

    Attributes:
        x: the solution, or the last iterate if it did not converge.
        converged: the true residual b - A x, recomputed, meets the tolerance.
        iterations: steps of the method; of refinement for a direct solver.
        residuals: |b - A x| / |b| at the start and after each iteration. Within a Krylov method
            these are the recursive residuals; the last entry is always the true one.
        reason: why the solver stopped, in words.
        columns: one result for each right-hand side of a batch, in C order; empty without a batch.
    """

    x: Float[Tensor, "*space"]
    converged: bool
    iterations: int
    residuals: list[float]
    reason: str
    columns: "tuple[SolveResult, ...]" = ()

    @classmethod
    def of_columns(
        cls, x: Float[Tensor, "*batch_space"], columns: "Sequence[SolveResult]"
    ) -> "SolveResult":
        """The result for a batch, from those of its right-hand sides."""
        length = max((len(c.residuals) for c in columns), default=1)
        kept = [c.residuals + [c.residual] * (length - len(c.residuals)) for c in columns]
        failed = [(j, c.reason) for j, c in enumerate(columns) if not c.converged]
        if failed:
            j, why = failed[0]
            reason = f"{len(failed)} of {len(columns)} did not converge; column {j}: {why}"
        else:
            slowest = max(columns, key=lambda c: c.iterations, default=None)
            last = f"; the slowest: {slowest.reason}" if slowest else ""
            reason = f"all {len(columns)} converged{last}"
        residuals = [max(step) for step in zip(*kept, strict=True)] or [0.0]
        return cls(x, not failed, length - 1, residuals, reason, tuple(columns))

    @property
    def residual(self) -> float:
        """|b - A x| / |b| of the x returned."""
        return self.residuals[-1]

    def __repr__(self) -> str:
        state = "converged" if self.converged else "NOT converged"
        dtype = str(self.x.dtype).removeprefix("torch.")
        return (
            f"{type(self).__name__}({state}, {self.iterations} iterations, "
            f"|b - A x| = {self.residual:.1e} |b|, x: {tuple(self.x.shape)} {dtype}; {self.reason})"
        )


def relative_residual(
    A: LinearOperator, x: Float[Tensor, "*space"], b: Float[Tensor, "*space"]
) -> float:
    """|b - A x| / |b| in the Euclidean norm; |b - A x| itself where b = 0."""
    norm = torch.linalg.vector_norm(b).item()
    return torch.linalg.vector_norm(b - A @ x).item() / (norm or 1.0)


def at_once(b: Float[Tensor, "*space"], size: float, rtol: float) -> SolveResult | None:
    """The result if no iteration is needed or possible: b is zero, not finite, or so small that the
    square of a residual underflows; else None. `size` is |b|."""
    if not math.isfinite(size):
        reason = "b holds NaN or infinity, or its norm overflows"
        return SolveResult(torch.zeros_like(b), False, 0, [math.nan], reason)
    limits = torch.finfo(b.dtype)
    if size * max(rtol, limits.eps) >= math.sqrt(limits.tiny):
        return None
    if not b.any():
        return SolveResult(torch.zeros_like(b), True, 0, [0.0], "b = 0, so x = 0")
    reason = (
        f"|b| is below {math.sqrt(limits.tiny) / max(rtol, limits.eps):.0e}: the squares of its "
        f"residuals underflow in {b.dtype}. Scale b up, and x down"
    )
    return SolveResult(torch.zeros_like(b), False, 0, [1.0], reason)


def rounded(
    result: SolveResult, A: LinearOperator, b: Float[Tensor, "*space"], rtol: float
) -> SolveResult:
    """The result with x in the dtype of b; if x must be rounded, its residual is recomputed."""
    if result.x.dtype == b.dtype:
        result.x = result.x.to(b.device)
        return result
    result.x = result.x.to(b)
    wide = b.double().cpu()
    result.residuals[-1] = true = relative_residual(A, result.x.double().cpu(), wide)
    if result.converged and not true <= rtol:
        result.converged = False
        result.reason = (
            f"round-off: {result.reason} in float64, but {true:.1e} |b| once x is rounded to "
            f"{b.dtype}; rtol = {rtol:.0e} is below"
        )
    return result
