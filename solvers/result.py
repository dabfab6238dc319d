"""The record that every solver returns."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..linop import LinearOperator


@dataclass
class SolveResult:
    """A solution x of A x = b, how good it is, and why the solver stopped.

    Attributes:
        x: the solution, or the last iterate where it did not converge.
        converged: the tolerance is met by the true residual b - A x, recomputed.
        iterations: steps of the method; of refinement for a direct solver.
        residuals: |b - A x| / |b| at the start and after each iteration. Within a Krylov method
        these
            are the recursive residuals; the last entry is always the true one.
        reason: why the solver stopped, in words.
    """

    x: Float[Tensor, "*space"]
    converged: bool
    iterations: int
    residuals: list[float]
    reason: str

    @property
    def residual(self) -> float:
        """|b - A x| / |b| of the x returned."""
        return self.residuals[-1]

    def __repr__(self) -> str:
        state = "converged" if self.converged else "NOT converged"
        dtype = str(self.x.dtype).removeprefix("torch.")
        return (
            f"SolveResult({state}, {self.iterations} iterations, "
            f"|b - A x| = {self.residual:.1e} |b|, x: {tuple(self.x.shape)} {dtype}; {self.reason})"
        )


def relative_residual(
    A: LinearOperator, x: Float[Tensor, "*space"], b: Float[Tensor, "*space"]
) -> float:
    """|b - A x| / |b| in the Euclidean norm; |b - A x| itself where b = 0."""
    norm = torch.linalg.vector_norm(b).item()
    return torch.linalg.vector_norm(b - A @ x).item() / (norm or 1.0)
