"""Conjugate gradients whose numbers stay on the device between checks."""

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ...kernels.conjugate import dot_columns
from ...kernels.runtime.graphs import graphed
from ..result import SolveResult, at_once
from .loop import Column

Map = Callable[[Tensor], Tensor]


class DeviceCG:
    """x with |b - A x| <= rtol |b| by preconditioned conjugate gradients (Saad 2003, Alg. 9.1), for
    a batch of right-hand sides that stop independently.

    The scalars α, β of each column are tensors. `check_every` iterations are one CUDA graph on a
    GPU; the device is read once after them, so x may have been ready up to `check_every` - 1
    iterations earlier. A column that has converged no longer changes. The true residual decides;
    while it exceeds the tolerance and still falls, the method restarts from it.

    Args:
        A, M: maps of fields (m, *stored), linear, symmetric and positive definite; M may have a
            lower precision. They read no number from the device.
        like: the fields (m, *stored) of b, whose dtype is that of x and of the residuals.
        check_every: iterations between two checks.
    """

    def __init__(self, A: Map, M: Map, like: Float[Tensor, "m *stored"], check_every: int) -> None:
        self._A, self._M = A, M
        self.x, self.r, self.p = (torch.zeros_like(like) for _ in range(3))
        column = like.new_zeros(len(like), *[1] * (like.ndim - 1))
        self._rz, self._limit = column.clone(), column.clone()
        self._rr = column.clone()
        self._history = like.new_zeros(check_every, len(like))
        self._iterate = graphed(self._iterations, like.device)

    def _iterations(self) -> None:
        for norms in self._history:
            self._step(norms)

    def _step(self, norms: Float[Tensor, " m"]) -> None:
        """An iteration for the columns whose residual exceeds the limit; writes |r|², NaN at a
        breakdown."""
        active = self._rr > self._limit
        z = self._M(self.r).to(self.r)
        rz = dot(self.r, z)
        beta = torch.where(active & (self._rz > 0), rz / self._rz, 0)
        self.p.mul_(beta).add_(z)
        Ap = self._A(self.p)
        pAp = dot(self.p, Ap)
        fine = active & (rz > 0) & (pAp > 0)
        alpha = torch.where(fine, rz / pAp, 0)
        self.x.addcmul_(alpha, self.p)
        self.r.addcmul_(alpha, Ap, value=-1)
        self._rz.copy_(rz)
        self._rr.copy_(torch.where(active & ~fine, torch.nan, dot(self.r, self.r)))
        norms.copy_(self._rr.flatten())

    @torch.no_grad()
    def solve(
        self,
        b: Float[Tensor, "m *stored"],
        x0: Float[Tensor, "m *stored"] | None,
        rtol: float,
        max_iterations: int,
    ) -> list[SolveResult]:
        """One result per column; x is the memory of this object."""
        sizes = torch.linalg.vector_norm(b.flatten(1), dim=1).tolist()
        eps = torch.finfo(b.dtype).eps
        table = [Column(s, 0.0, rtol, max_iterations, eps, None, str(b.dtype)) for s in sizes]
        for j, column in enumerate(table):
            if done := at_once(b[j], column.size, rtol):
                column.residuals, column.converged = done.residuals, done.converged
                column.reason = done.reason
        self.x.zero_() if x0 is None else self.x.copy_(x0)
        while True:
            self.r.copy_(b if x0 is None else b - self._A(self.x))
            x0 = self.x
            norms = torch.linalg.vector_norm(self.r.flatten(1), dim=1).tolist()
            for column, norm in zip(table, norms, strict=True):
                if not column.reason:
                    column.judge(norm, 0.0, final=False)
            live = [j for j, column in enumerate(table) if not column.reason]
            if not live:
                break
            self._start(table, norms, live)
            self._run(table, live)
        return [
            SolveResult(x, c.converged, len(c.residuals) - 1, c.residuals, c.reason)
            for x, c in zip(self.x, table, strict=True)
        ]

    def _start(self, table: Sequence[Column], norms: list[float], live: list[int]) -> None:
        """Begin from the residual r; columns that have stopped get an infinite limit."""
        limits = [math.inf] * len(table)
        for j in live:
            # A little below the limit of `leaves`, so that no column stops here and not there.
            limits[j] = (1 - 10 * table[j].eps) * (table[j].tolerance(0.0) * table[j].size) ** 2
        self._limit.copy_(self.r.new_tensor(limits).view_as(self._limit))
        self._rr.copy_(self.r.new_tensor([s * s for s in norms]).view_as(self._rr))
        self._rz.zero_()  # so that β = 0 in the first iteration
        self.p.zero_()

    def _run(self, table: Sequence[Column], live: list[int]) -> None:
        """Iterate until the true residual of every live column must be computed."""
        while live:
            self._iterate()
            for squares in self._history.tolist():
                for j in live:
                    if not squares[j] >= 0:  # NaN
                        table[j].note = "breakdown: M or A is not positive definite"
                live = [j for j in live if not table[j].leaves(root(squares[j]), 0.0)]


def dot(u: Float[Tensor, "m *stored"], v: Float[Tensor, "m *stored"]) -> Tensor:
    """⟨u, v⟩ of each column, (m, 1, ...)."""
    return dot_columns(u, v).view(-1, *[1] * (u.ndim - 1))


def root(square: float) -> float:
    return math.sqrt(square) if square >= 0 else math.nan
