"""The condition number of a preconditioned operator, from the coefficients of CG."""

import math
from itertools import takewhile

import torch
from jaxtyping import Float
from torch import Tensor

from ...linop import LinearOperator
from ..result import SolveResult
from .columns import Columns, Scalars
from .conjugate_gradients import CG, start
from .loop import Apply, Recurrence, require_definite, solve


def condition(
    A: LinearOperator,
    M: LinearOperator | None = None,
    *,
    rtol: float = 1e-10,
    max_iterations: int = 200,
    seed: int = 0,
) -> float:
    """The condition number of M A, estimated by CG on a random right-hand side.

    On the range of A, where A is singular. From below, and seldom by more than a per cent once CG
    has converged.

    Raises:
        ValueError: as for `cg`.
    """
    generator = torch.Generator().manual_seed(seed)
    b = torch.randn(A.grid.shape, generator=generator, dtype=torch.float64)
    return cg_and_condition(A, A.project(b), M=M, rtol=rtol, max_iterations=max_iterations)[1]


def cg_and_condition(
    A: LinearOperator,
    b: Float[Tensor, "*space"],
    *,
    M: LinearOperator | None = None,
    x0: Float[Tensor, "*space"] | None = None,
    rtol: float = 1e-8,
    max_iterations: int = 1000,
    A_norm: float | int | None = None,
) -> tuple[SolveResult, float]:
    """`cg`, and what its coefficients say of the condition number of M A; NaN before a first step.

    CG with step lengths α_j and β_j = ⟨r_j, M r_j⟩ / ⟨r_(j-1), M r_(j-1)⟩ is Lanczos' method
    (Saad 2003, sec. 6.7.3). Its tridiagonal matrix

        T_jj = 1/α_j + β_j / α_(j-1),    T_(j,j+1) = √β_(j+1) / α_j

    has eigenvalues within the spectrum of M A, which approach its ends first. So the estimate is a
    lower bound, and blind to what x0 and b do not hold.

    Raises:
        ValueError: as for `cg`, or b is a batch.
    """
    require_definite(A, M)
    A.grid.check(b, "right-hand side")
    if b.ndim > A.grid.ndim:
        raise ValueError(
            f"The condition number is estimated from one right-hand side of shape {A.grid.shape}; "
            f"got {tuple(b.shape)}."
        )
    sequences: list[list[tuple[float, float]]] = []

    def observed(A: LinearOperator, M: Apply, x: Tensor, r: Tensor, columns: Columns) -> Recurrence:
        sequences.append([])  # CG begins, or begins again from the true residual
        return _Observed(start(A, M, x, r, columns), sequences[-1])

    result = solve(
        observed, A, b, M=M, x0=x0, rtol=rtol, max_iterations=max_iterations, A_norm=A_norm
    )
    return result, _condition(max(sequences, key=len, default=[]))


class _Observed(Recurrence):
    """CG for one right-hand side, its ⟨r, M r⟩ and ⟨p, A p⟩ written down."""

    def __init__(self, method: CG, record: list[tuple[float, float]]) -> None:
        super().__init__(method.A, method.M, method.x, method.r, method.columns)
        self.method, self.record = method, record

    def step(self) -> Scalars:
        norm = self.method.step()
        self.record.append((self.method.rz, self.method.pAp))
        return norm

    def explain(self, column: int) -> str:
        return self.method.explain(column)


def _condition(scalars: list[tuple[float, float]]) -> float:
    """Of the matrix T that belongs to ⟨r, M r⟩ and ⟨p, A p⟩ of each step."""
    import numpy as np
    from scipy.linalg import eigvalsh_tridiagonal

    fine = list(takewhile(lambda step: step[0] > 0 and step[1] > 0, scalars))
    if not fine:
        return math.nan
    rz, pAp = np.array(fine).T
    alpha, beta = rz / pAp, rz[1:] / rz[:-1]
    diagonal = 1 / alpha
    diagonal[1:] += beta / alpha[:-1]
    values = eigvalsh_tridiagonal(diagonal, np.sqrt(beta) / alpha[:-1])
    return float(values[-1] / values[0]) if values[0] > 0 else math.inf
