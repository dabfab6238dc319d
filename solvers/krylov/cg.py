"""Preconditioned conjugate gradients."""

import math
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...kernels.runtime import row_blocks
from ...kernels.runtime.threads import ours_alone
from ...linop import LinearOperator
from ..operators.faces import KERNEL_DTYPES
from ..result import SolveResult
from .columns import Columns, OneColumn, Scalars
from .loop import Apply, Method, require_definite, solve
from .race import Run, race


def cg(
    A: LinearOperator,
    b: Float[Tensor, "*batch_space"],
    *,
    M: LinearOperator | None = None,
    x0: Float[Tensor, "*batch_space"] | None = None,
    rtol: float = 1e-8,
    max_iterations: int = 1000,
    A_norm: float | int | None = None,
    safeguard: LinearOperator | None = None,
) -> SolveResult:
    """x with |b - A x| <= rtol |b| by conjugate gradients (Saad 2003, Alg. 9.1).

    A and M ≈ A⁻¹ are symmetric positive definite; M is fixed and linear (`check_spd` probes it; for
    another one there is `flexible_cg`). A may be semidefinite where it knows its kernel. A
    prediction of x can be given as x0. Leading axes of b are a batch, each of whose right-hand
    sides stops on its own. x carries no gradient.

    Success is claimed on the true residual, recomputed. Where that one stays above the tolerance,
    the method starts again from it; when this no longer helps, round-off is the limit and the
    reason says so. What happens to a singular system without a solution, `krylov.solve` says, and
    `krylov.steps` what `A_norm` is for.

    Args:
        safeguard: another preconditioner, of which one knows what it is worth, where M is learned:
            CG with it runs beside, as for `flexible_cg`.

    Raises:
        ValueError: A or M declares itself not symmetric positive definite, or shapes or dtypes
        differ.
    """
    require_definite(A, M)
    run: Run = solve if safeguard is None else partial(race, safeguard=safeguard)
    with ours_alone() if safeguard is None and by_own_loops(A, b, M) else nullcontext():
        return run(start, A, b, M=M, x0=x0, rtol=rtol, max_iterations=max_iterations, A_norm=A_norm)


def by_own_loops(A: LinearOperator, b: Tensor, M: LinearOperator | None) -> bool:
    """All work of CG is done by loops of ours: `FusedCG`, and operators that bring their own."""
    single = b.device.type == "cpu" and b.dtype in KERNEL_DTYPES and b.ndim == A.grid.ndim
    parts = (A,) if M is None else (A, M)
    return single and all(type(part).bind is not LinearOperator.bind for part in parts)


class CG(Method):
    """Saad (2003), Alg. 9.1."""

    state = ("x", "r", "p", "z", "Ap", "rz", "pAp")

    def __init__(self, A: LinearOperator, M: Apply, x: Tensor, r: Tensor, columns: Columns) -> None:
        super().__init__(A, M, x, r, columns)
        # All fields of the loop; it allocates nothing more.
        self.p, self.Ap = torch.zeros_like(r), torch.empty_like(r)
        self.z = r if M is None else self.Ap  # z has served when A p is made
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
    """The same for one field on a CPU, its vector work in few loops (`kernels/conjugate.py`), which
    threads share where the field is long (`runtime/row_blocks.py`)."""

    def __init__(self, A: LinearOperator, M: Apply, x: Tensor, r: Tensor, columns: Columns) -> None:
        from ...kernels.conjugate import cpu as kernels

        super().__init__(A, M, x, r, columns)
        self._apply_A = A.bind(self.p, self.Ap)
        if isinstance(M, LinearOperator):
            self._apply_M = M.bind(r, self.z)
        else:
            self._apply_M = partial(self.precondition, r, self.z)
        arrays = (u.view(-1).numpy() for u in (self.p, self.Ap, x, r, self.z))
        self._p, self._Ap, self._x, self._r, self._z = arrays
        self._sums = np.empty(math.ceil(r.numel() / kernels.BLOCK))
        self._parts = row_blocks.count(r.numel(), row_blocks.VAST)
        self._kernels: Any = kernels

    def step(self) -> float:
        kernels, rz_old = self._kernels, self.rz
        self._apply_M()
        if self._parts == 1:
            self.rz = kernels.direction(self._r, self._z, rz_old, self._p, self._sums)
            self._apply_A()
            vectors = (self._p, self._Ap, self.rz, self._x, self._r)
            self.pAp, rr = kernels.descend(*vectors, self._sums)
        else:
            self.rz = self._sum(kernels.dots, self._r, self._z)
            self._share(kernels.turn, self._z, kernels.beta(self.rz, rz_old), self._p)
            self._apply_A()
            self.pAp = self._sum(kernels.dots, self._Ap, self._p)
            alpha = kernels.alpha(self.rz, self.pAp)
            rr = self._sum(kernels.move, self._p, self._Ap, alpha, self._x, self._r)
        return math.sqrt(rr) if self.rz > 0 and self.pAp > 0 else math.nan

    def _share(self, loop: Callable[..., object], *arguments: object) -> None:
        row_blocks.split(partial(loop, *arguments), len(self._sums), self._parts)

    def _sum(self, loop: Callable[..., object], *vectors: object) -> float:
        self._share(loop, *vectors, self._sums)
        return self._kernels.total(self._sums)

    @staticmethod
    def fits(x: Tensor, r: Tensor, columns: Columns) -> bool:
        """One contiguous field in a compiled dtype."""
        return (
            isinstance(columns, OneColumn)
            and r.device.type == "cpu"
            and r.dtype in KERNEL_DTYPES
            and x.is_contiguous()
            and r.is_contiguous()
        )


def start(A: LinearOperator, M: Apply, x: Tensor, r: Tensor, columns: Columns) -> CG:
    """The faster of both."""
    return (FusedCG if FusedCG.fits(x, r, columns) else CG)(A, M, x, r, columns)
