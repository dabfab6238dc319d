"""Richardson's iteration with a preconditioner."""

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from ...linop import LinearOperator
from ..result import SolveResult
from .columns import Columns, Scalars
from .loop import Apply, Recurrence, solve


def richardson(
    A: LinearOperator,
    b: Float[Tensor, "*batch_space"],
    *,
    M: LinearOperator | Callable[[Tensor], Tensor] | None = None,
    x0: Float[Tensor, "*batch_space"] | None = None,
    rtol: float = 1e-8,
    max_iterations: int = 1000,
    damping: float | int = 1.0,
    A_norm: float | int | None = None,
) -> SolveResult:
    """x with |b - A x| <= rtol |b| by x ← x + θ M (b - A x) with a fixed damping θ.

    With M a multigrid cycle it is multigrid as a solver; with M the inverse diagonal it is damped
    Jacobi. It converges for every b if and only if the eigenvalues of I - θ M A lie inside the unit
    circle; otherwise the residual grows, and the result reports it. Everything else is as for `cg`.

    Raises:
        ValueError: shapes or dtypes differ.
    """
    return solve(
        partial(Richardson, damping=float(damping)),
        A, b, M=M, x0=x0, rtol=rtol, max_iterations=max_iterations, A_norm=A_norm,
    )  # fmt: skip


class Richardson(Recurrence):
    """Saad (2003), (4.22), with the residual by its recursion."""

    state = ("x", "r", "z", "Az", "damping")

    def __init__(
        self,
        A: LinearOperator,
        M: Apply,
        x: Tensor,
        r: Tensor,
        columns: Columns,
        *,
        damping: float,
    ) -> None:
        super().__init__(A, M, x, r, columns)
        self.damping = columns.full(r, damping)
        self.z, self.Az = torch.empty_like(r), torch.empty_like(r)

    def step(self) -> Scalars:
        c, r = self.columns, self.r
        z = self.precondition(r, self.z)
        self.A.apply_into(z, self.Az)
        c.add(self.x, self.damping, z)
        c.add(r, -self.damping, self.Az)
        return c.sqrt(c.dot(r, r))

    def explain(self, column: int) -> str:
        return "the residual overflowed: the iteration diverges"
