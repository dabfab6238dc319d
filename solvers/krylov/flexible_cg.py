"""Flexible conjugate gradients, for preconditioners that change from step to step."""

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from ...linop import LinearOperator
from ..result import SolveResult
from .columns import Columns, Scalars
from .loop import Apply, Recurrence, require_definite
from .race import solve_or_race


def flexible_cg(
    A: LinearOperator,
    b: Float[Tensor, "*batch_space"],
    *,
    M: LinearOperator | Callable[[Tensor], Tensor] | None = None,
    x0: Float[Tensor, "*batch_space"] | None = None,
    rtol: float = 1e-8,
    max_iterations: int = 1000,
    directions: int | None = 1,
    A_norm: float | int | None = None,
    safeguard: LinearOperator | None = None,
) -> SolveResult:
    """x with |b - A x| <= rtol |b| by conjugate directions made from M r (Notay 2000).

    A is symmetric positive definite; M is any map of residuals to corrections, which need be
    neither symmetric, linear nor fixed. Each new direction is made A-orthogonal to the last ones:

        p = M r - Σ ⟨M r, A q⟩ / ⟨q, A q⟩ q,    x ← x + ⟨p, r⟩ / ⟨p, A p⟩ p,

    so |x - A⁻¹b|_A never grows, whatever M does. If M r is useless (zero, NaN, orthogonal to r),
    the step uses r instead, and `reason` counts such steps. With a fixed symmetric positive
    definite M this is `cg`.

    Args:
        directions: number of previous directions q. 1 is the Polak-Ribière formula
            β = ⟨r - r_old, M r⟩ / ⟨r_old, M r_old⟩ (since r - r_old = -α A p); None is all of them,
            and then each iteration stores two more fields.
        safeguard: a trusted classical preconditioner such as `Multigrid(A)`. CG with it runs
            concurrently, in turns of measured time, until one of the two converges: the time is at
            most twice that of CG alone plus one application of M, whatever M does. The result is a
            `RaceResult` with the winner (`solvers/krylov/race.py`).

    Everything else is as for `cg`.

    Raises:
        ValueError: A declares itself not symmetric positive definite, `directions` is below one, or
        shapes or dtypes differ.
    """
    require_definite(A, None)
    if directions is not None and directions < 1:
        raise ValueError(f"directions must be at least 1, or None for all; got {directions}.")
    return solve_or_race(
        partial(FlexibleCG, directions=directions),
        A, b, M=M, x0=x0, rtol=rtol, max_iterations=max_iterations, A_norm=A_norm,
        safeguard=safeguard,
    )  # fmt: skip


class FlexibleCG(Recurrence):
    """Notay (2000), Alg. 2.1, truncated; orthogonalisation by modified Gram-Schmidt."""

    state = ("x", "r", "ps", "Aps", "pAps", "pAp", "from_r")

    def __init__(
        self,
        A: LinearOperator,
        M: Apply,
        x: Tensor,
        r: Tensor,
        columns: Columns,
        *,
        directions: int | None,
    ) -> None:
        super().__init__(A, M, x, r, columns)
        self.directions = directions
        self.ps: list[Tensor] = []
        self.Aps: list[Tensor] = []
        self.pAps: list[Scalars] = []
        self.pAp = columns.full(r, torch.inf)
        self.from_r = columns.full(r, 0.0)
        self.eps = torch.finfo(r.dtype).eps

    def step(self) -> Scalars:
        c, r = self.columns, self.r
        p, Ap = torch.empty_like(r), torch.empty_like(r)
        z = self.precondition(r, p)
        if z is not p:
            p.copy_(z)
        pAp, pr, fine = self._conjugate(p, Ap)
        if not c.all(fine):
            p.copy_(c.where(fine, p, r))
            self.from_r = c.where(fine, self.from_r, self.from_r + 1)
            pAp, pr, fine = self._conjugate(p, Ap)
        alpha = c.ratio(pr, pAp, fine)
        c.add(self.x, alpha, p)
        c.add(r, -alpha, Ap)
        self.pAp = pAp
        self._remember(p, Ap, pAp)
        return c.where(fine, c.sqrt(c.dot(r, r)), torch.nan)

    def _conjugate(self, p: Tensor, Ap: Tensor) -> tuple[Scalars, Scalars, Scalars]:
        """Make p A-orthogonal to the last directions; ⟨p, A p⟩, ⟨p, r⟩, and whether p is usable."""
        c, r = self.columns, self.r
        for q, Aq, qAq in zip(self.ps, self.Aps, self.pAps, strict=True):
            c.add(p, -c.ratio(c.dot(p, Aq), qAq), q)
        self.A.apply_into(p, Ap)
        pAp, pr = c.dot(p, Ap), c.dot(p, r)
        pp, rr, ApAp = c.dot(p, p), c.dot(r, r), c.dot(Ap, Ap)
        # A direction within round-off of zero is useless. Comparisons with NaN are False.
        fine = (pAp > 0) & (pAp * pAp > self.eps**2 * pp * ApAp) & (pr * pr > self.eps**2 * pp * rr)
        return pAp, pr, fine

    def _remember(self, p: Tensor, Ap: Tensor, pAp: Scalars) -> None:
        self.ps.append(p)
        self.Aps.append(Ap)
        self.pAps.append(pAp)
        if self.directions is not None and len(self.ps) > self.directions:
            for past in (self.ps, self.Aps, self.pAps):
                past.pop(0)

    def replaced(self, column: int) -> int:
        return int(self.columns.numbers(self.from_r)[column])

    def explain(self, column: int) -> str:
        pAp = self.columns.numbers(self.pAp)[column]
        return f"breakdown: ⟨p, A p⟩ = {pAp:.1e} for p = r, so A is not positive definite"
