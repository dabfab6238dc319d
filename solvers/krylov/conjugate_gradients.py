"""The recurrences of preconditioned conjugate gradients."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from ...kernels import conjugate
from ...linop import LinearOperator
from .columns import Columns, OneColumn, Scalars
from .loop import Apply, Recurrence


class CG(Recurrence):
    """Saad (2003), Alg. 9.1."""

    state = ("x", "r", "p", "z", "Ap", "rz", "pAp")

    def __init__(self, A: LinearOperator, M: Apply, x: Tensor, r: Tensor, columns: Columns) -> None:
        super().__init__(A, M, x, r, columns)
        # All fields of the loop, which allocates no others.
        self.p, self.Ap = torch.zeros_like(r), torch.empty_like(r)
        self.z = r if M is None else self.Ap  # z is no longer needed when A p is computed
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


class FusedCG(CG):
    """CG for one field that binds the vector work (`kernels/conjugate`), A and M to their memory
    and compiled loops before the first step."""

    def __init__(self, A: LinearOperator, M: Apply, x: Tensor, r: Tensor, columns: Columns) -> None:
        super().__init__(A, M, x, r, columns)
        self._apply_A = A.bind(self.p, self.Ap)
        self._apply_M: Callable[[], object]
        if isinstance(M, LinearOperator):
            self._apply_M = M.bind(r, self.z)
        else:
            self._apply_M = partial(self.precondition, r, self.z)
        self._vectors = conjugate.bind(self.p, self.Ap, x, r, self.z)

    def step(self) -> float:
        self._apply_M()
        self.rz = self._vectors.direction(self.rz)
        self._apply_A()
        self.pAp, rr = self._vectors.descend(self.rz)
        return math.sqrt(rr) if self.rz > 0 and self.pAp > 0 else math.nan


def start(A: LinearOperator, M: Apply, x: Tensor, r: Tensor, columns: Columns) -> CG:
    """CG for one field or for a batch."""
    return (FusedCG if isinstance(columns, OneColumn) else CG)(A, M, x, r, columns)


def is_fused(A: LinearOperator, b: Tensor, M: Apply) -> bool:
    """Whether compiled loops, and not torch, do all work of CG for A x = b: the vector work and the
    applications of A and M."""
    parts = (A,) if M is None else (A, M)
    bound = all(
        isinstance(part, LinearOperator) and type(part).bind is not LinearOperator.bind
        for part in parts
    )
    return bound and conjugate.is_fused(b) and b.ndim == A.grid.ndim
