"""Preconditioned conjugate gradients."""

import torch
from jaxtyping import Float
from torch import Tensor

from ..linop import LinearOperator
from .columns import Columns, Scalars
from .krylov import Apply, Method, require_definite, solve
from .result import SolveResult


def cg(
    A: LinearOperator,
    b: Float[Tensor, "*batch_space"],
    *,
    M: LinearOperator | None = None,
    x0: Float[Tensor, "*batch_space"] | None = None,
    rtol: float = 1e-8,
    max_iterations: int = 1000,
    A_norm: float | int | None = None,
) -> SolveResult:
    """x with |b - A x| <= rtol |b| by conjugate gradients (Saad 2003, Alg. 9.1).

    A and M ≈ A⁻¹ are symmetric positive definite; M is fixed and linear (`check_spd` probes it; for
    another one there is `flexible_cg`). A may be semidefinite where it knows its kernel. A
    prediction of x can be given as x0. Leading axes of b are a batch, each of whose right-hand
    sides stops on its own. x carries no gradient.

    Success is claimed on the true residual, recomputed. Where that one stays above the tolerance,
    the method starts again from it; when this no longer helps, round-off is the limit and the
    reason says so. What `A_norm` is for, and what happens to a singular system without a solution,
    `krylov.solve` says.

    Raises:
        ValueError: A or M declares itself not symmetric positive definite, or shapes or dtypes
        differ.
    """
    require_definite(A, M)
    return solve(CG, A, b, M=M, x0=x0, rtol=rtol, max_iterations=max_iterations, A_norm=A_norm)


class CG(Method):
    """Saad (2003), Alg. 9.1."""

    state = ("x", "r", "p", "z", "Ap", "rz", "pAp")

    def __init__(self, A: LinearOperator, M: Apply, x: Tensor, r: Tensor, columns: Columns) -> None:
        super().__init__(A, M, x, r, columns)
        # All fields of the loop; it allocates nothing more.
        self.p, self.Ap = torch.zeros_like(r), torch.empty_like(r)
        self.z = r if M is None else torch.empty_like(r)
        self.rz = columns.full(r, torch.inf)  # so that β = 0 in the first step
        self.pAp = columns.full(r, torch.inf)

    def step(self) -> Scalars:
        c, r, p = self.columns, self.r, self.p
        z = self.precondition(r, self.z)
        rz, rz_old = c.dot(r, z), self.rz
        c.update(p, c.ratio(rz, rz_old), z)
        Ap = self.A.apply_into(p, self.Ap)
        pAp = c.dot(Ap, p)
        self.rz, self.pAp = rz, pAp
        fine = (rz > 0) & (pAp > 0)
        alpha = c.ratio(rz, pAp, fine)
        c.add(self.x, alpha, p)
        c.add(r, -alpha, Ap)
        return c.where(fine, c.sqrt(c.dot(r, r)), torch.nan)

    def explain(self, column: int) -> str:
        rz, pAp = (self.columns.numbers(s)[column] for s in (self.rz, self.pAp))
        if not rz > 0:
            return f"breakdown: ⟨r, M r⟩ = {rz:.1e}, so M is not positive definite"
        return f"breakdown: ⟨p, A p⟩ = {pAp:.1e}, so A is not positive definite"
