"""Stabilised bi-conjugate gradients, for operators without symmetry."""

import torch
from jaxtyping import Float
from torch import Tensor

from ...linop import LinearOperator
from ..result import SolveResult
from .columns import Columns, Scalars
from .loop import Apply, Recurrence, solve


def bicgstab(
    A: LinearOperator,
    b: Float[Tensor, "*batch_space"],
    *,
    M: LinearOperator | None = None,
    x0: Float[Tensor, "*batch_space"] | None = None,
    rtol: float = 1e-8,
    max_iterations: int = 1000,
    A_norm: float | int | None = None,
) -> SolveResult:
    """x with |b - A x| <= rtol |b| by BiCGStab (van der Vorst 1992) for any linear A and M.

    M preconditions from the right, so the residuals are those of A x = b. An iteration applies A
    and M twice. After a breakdown the method restarts from its iterate, as long as each restart at
    least halves the residual. Everything else is as for `cg`.

    Raises:
        ValueError: shapes or dtypes differ.
    """
    return solve(
        BiCGStab, A, b, M=M, x0=x0, rtol=rtol, max_iterations=max_iterations, A_norm=A_norm
    )


class BiCGStab(Recurrence):
    """Saad (2003), Alg. 7.7, preconditioned from the right; s is kept in r."""

    state = (
        "x", "r", "shadow", "p", "v", "t", "Mp", "Ms",
        "rho", "alpha", "omega", "sigma", "shadow_size",
    )  # fmt: skip
    stops_at_breakdown = False

    def __init__(self, A: LinearOperator, M: Apply, x: Tensor, r: Tensor, columns: Columns) -> None:
        super().__init__(A, M, x, r, columns)
        self.shadow = r.clone()
        self.p, self.v = torch.zeros_like(r), torch.zeros_like(r)
        self.t, self.Mp, self.Ms = (torch.empty_like(r) for _ in range(3))
        one = columns.full(r, 1.0)
        self.rho, self.alpha, self.omega, self.sigma = one, one, one, one
        self.shadow_size = columns.sqrt(columns.dot(r, r))
        self.eps = torch.finfo(r.dtype).eps

    def step(self) -> Scalars:
        c, x, r, p, v, t = self.columns, self.x, self.r, self.p, self.v, self.t
        rho, rho_old = c.dot(self.shadow, r), self.rho
        fine = abs(rho) > self.eps * self.shadow_size * c.sqrt(c.dot(r, r))
        fine = fine & (self.omega != 0)
        beta = c.ratio(rho, rho_old) * c.ratio(self.alpha, self.omega)
        c.add(p, -self.omega, v)
        c.update(p, beta, r)
        Mp = self.precondition(p, self.Mp)
        self.A.apply_into(Mp, v)
        self.sigma = c.dot(self.shadow, v)
        fine = fine & (abs(self.sigma) > self.eps * self.shadow_size * c.sqrt(c.dot(v, v)))
        self.rho, self.alpha = rho, c.ratio(rho, self.sigma, fine)
        c.add(r, -self.alpha, v)
        Ms = self.precondition(r, self.Ms)
        self.A.apply_into(Ms, t)
        # With s = 0 also t = 0: the solution is found, and the next step is not taken.
        self.omega = c.ratio(c.dot(t, r), c.dot(t, t), fine)
        c.add(x, self.alpha, Mp)
        c.add(x, self.omega, Ms)
        c.add(r, -self.omega, t)
        return c.where(fine, c.sqrt(c.dot(r, r)), torch.nan)

    def explain(self, column: int) -> str:
        rho, sigma, omega = (
            self.columns.numbers(s)[column] for s in (self.rho, self.sigma, self.omega)
        )
        return (
            f"breakdown: ⟨r̂, r⟩ = {rho:.1e}, ⟨r̂, A M p⟩ = {sigma:.1e}, ω = {omega:.1e}; one "
            f"of them vanishes. Use another M or x0, or gmres of "
            f"scipy.sparse.linalg with A.to_scipy()"
        )
