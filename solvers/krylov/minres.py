"""Minimal residuals, for symmetric operators that need not be definite."""

import torch
from jaxtyping import Float
from torch import Tensor

from ...linop import LinearOperator
from ..result import SolveResult
from .columns import Columns, Scalars
from .loop import Apply, Recurrence, require_definite_preconditioner, solve


def minres(
    A: LinearOperator,
    b: Float[Tensor, "*batch_space"],
    *,
    M: LinearOperator | None = None,
    x0: Float[Tensor, "*batch_space"] | None = None,
    rtol: float = 1e-8,
    max_iterations: int = 1000,
    A_norm: float | int | None = None,
) -> SolveResult:
    """x with |b - A x| <= rtol |b| by MINRES (Paige & Saunders 1975), A symmetric.

    A may be indefinite; M is symmetric positive definite. Each step minimises √⟨r, M r⟩ over the
    Krylov space, which without M is |r|: that history never rises. Everything else is as for `cg`.

    Raises:
        ValueError: A declares itself not symmetric, M not symmetric positive definite, or shapes or
        dtypes differ.
    """
    if not A.symmetric:
        raise ValueError(
            f"MINRES needs a symmetric A; {type(A).__name__} declares symmetric=False. Use "
            f"bicgstab, or method='gmres' of solve_scipy."
        )
    require_definite_preconditioner(M, "MINRES", "bicgstab")
    return solve(MINRES, A, b, M=M, x0=x0, rtol=rtol, max_iterations=max_iterations, A_norm=A_norm)


class MINRES(Recurrence):
    """Elman, Silvester, Wathen (2014), Alg. 4.1, with Lanczos vectors v of length one.

    γ, δ are the entries of the Lanczos matrix, c, s its Givens rotations, η the right-hand side of
    the least-squares problem: |η| = √⟨r, M r⟩.
    """

    state = (
        "x", "r", "v", "v_old", "z", "w", "w_old", "Az",
        "gamma", "eta", "cos", "cos_old", "sin", "sin_old", "definite", "alpha1",
    )  # fmt: skip
    stops_at_breakdown = False

    def __init__(self, A: LinearOperator, M: Apply, x: Tensor, r: Tensor, columns: Columns) -> None:
        super().__init__(A, M, x, r, columns)
        c = columns
        self.v = r.clone()
        self.v_old, self.w, self.w_old = (torch.zeros_like(r) for _ in range(3))
        self.Az = torch.empty_like(r)
        self.z = self.v if M is None else torch.empty_like(r)
        self.precondition(self.v, self.z)
        self.definite = True  # ⟨v, M v⟩ >= 0 so far
        self._normalise()
        self.eta = self.gamma
        self.cos = self.cos_old = c.full(r, 1.0)
        self.sin = self.sin_old = c.full(r, 0.0)
        self.alpha1 = c.full(r, 1.0)

    def step(self) -> Scalars:
        c, z, w_new = self.columns, self.z, self.w_old
        gamma = self.gamma
        Az = self.A.apply_into(z, self.Az)
        delta = c.dot(Az, z)
        c.add(Az, -delta, self.v)
        c.add(Az, -gamma, self.v_old)  # v_old = 0 in the first step
        self.v_old, self.v, self.Az = self.v, Az, self.v_old

        alpha2 = self.sin * delta + self.cos_old * self.cos * gamma
        alpha3 = self.sin_old * gamma
        c.update(w_new, -alpha3, z)
        c.add(w_new, -alpha2, self.w)

        if self.M is None:
            self.z = self.v
        self.precondition(self.v, self.z)
        self._normalise()

        alpha0 = self.cos * delta - self.cos_old * self.sin * gamma
        self.alpha1 = c.sqrt(alpha0 * alpha0 + self.gamma * self.gamma)
        fine = self.definite & (self.alpha1 > 0)
        self.cos_old, self.sin_old = self.cos, self.sin
        self.cos = c.ratio(alpha0, self.alpha1, fine)
        self.sin = c.ratio(self.gamma, self.alpha1, fine)
        c.scale(w_new, c.ratio(c.full(z, 1.0), self.alpha1, fine))
        self.w_old, self.w = self.w, w_new
        c.add(self.x, self.cos * self.eta, w_new)
        self.eta = -self.sin * self.eta
        return c.where(fine, self._residual(), torch.nan)

    def _normalise(self) -> None:
        """γ = √⟨v, M v⟩, and v, z = M v divided by it; zero where M is not definite."""
        c = self.columns
        gamma2 = c.dot(self.z, self.v)
        self.definite = (gamma2 >= 0) & self.definite
        self.gamma = c.sqrt(c.where(gamma2 > 0, gamma2, c.full(self.v, 0.0)))
        inverse = c.ratio(c.full(self.v, 1.0), self.gamma)
        c.scale(self.v, inverse)
        if self.z is not self.v:
            c.scale(self.z, inverse)

    def _residual(self) -> Scalars:
        """|r|; with M by its recursion r ← s² r + c η v."""
        if self.M is None:
            return abs(self.eta)
        c = self.columns
        c.scale(self.r, self.sin * self.sin)
        c.add(self.r, self.cos * self.eta, self.v)
        return c.sqrt(c.dot(self.r, self.r))

    def explain(self, column: int) -> str:
        definite, alpha1 = (self.columns.numbers(s)[column] for s in (self.definite, self.alpha1))
        if not definite:
            return "breakdown: ⟨v, M v⟩ < 0, so M is not positive definite"
        return f"breakdown: α = {alpha1:.1e}, so A is singular and b is not in its range"
