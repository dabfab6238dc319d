"""Lanczos' method: Ritz pairs of a symmetric operator, and condition numbers from the coefficients
of CG."""
# Axes: b systems, k steps.

import math
from dataclasses import dataclass
from itertools import takewhile

import torch
from jaxtyping import Float
from torch import Tensor

from ...kernels.runtime.first_calls import once
from ...linop import LinearOperator
from ..result import SolveResult
from .columns import Columns, Scalars
from .conjugate_gradients import CG, start
from .loop import Apply, Recurrence, require_definite, solve


@dataclass(frozen=True)
class LanczosMatrix:
    """The symmetric tridiagonal matrix T = Vᵀ A V of k steps, V the Lanczos vectors.

    Its eigenvalues, the Ritz values, lie within the spectrum of A and approach the ends first. With
    T s = θ s, the Ritz vector V s satisfies A V s ≈ θ V s.

    Attributes:
        diagonal, side: entries T_jj and T_(j,j+1).
    """

    diagonal: Float[Tensor, "*batch k"]
    side: Float[Tensor, "*batch k_less_1"]

    @classmethod
    def of_cg(
        cls, alpha: Float[Tensor, "k *batch"], beta: Float[Tensor, "k_less_1 *batch"]
    ) -> "LanczosMatrix":
        """T of M A from the coefficients of CG (Saad 2003, sec. 6.7.3): steps α_j, and
        β_j = ⟨r_j, z_j⟩ / ⟨r_(j-1), z_(j-1)⟩ from the second step on;

            T_jj = 1/α_j + β_j / α_(j-1),    T_(j,j+1) = -√β_(j+1) / α_j

        in the basis z_j / √⟨r_j, z_j⟩, z = M r, which is orthonormal in the inner product of M⁻¹.
        """
        inverse = 1 / alpha
        diagonal = torch.cat([inverse[:1], inverse[1:] + beta * inverse[:-1]])
        side = -beta.sqrt() * inverse[:-1]
        return cls(diagonal.movedim(0, -1), side.movedim(0, -1))

    def eigh(self) -> tuple[Float[Tensor, "*batch k"], Float[Tensor, "*batch k k"]]:
        """Ritz values in ascending order, and the coefficients s of their vectors as columns."""
        T = torch.diag_embed(self.diagonal)
        for offset in (1, -1):
            T = T + torch.diag_embed(self.side, offset)
        return torch.linalg.eigh(T)

    def condition(self) -> float:
        """θ_max / θ_min of one system; infinite unless all are positive."""
        with once():
            from scipy.linalg import eigvalsh_tridiagonal  # O(k²), where `eigh` takes O(k³)

        values = eigvalsh_tridiagonal(self.diagonal.numpy(), self.side.numpy())
        return float(values[-1] / values[0]) if values[0] > 0 else math.inf


def ritz_pairs(
    A: LinearOperator, start: Float[Tensor, "*space"], num_vectors: int
) -> tuple[Float[Tensor, " m"], Float[Tensor, "m *space"]]:
    """Ritz values θ, ascending, and orthonormal Ritz vectors v of the Krylov space of A and
    `start`.

    A v ≈ θ v: A v - θ v is orthogonal to the space. Each new Lanczos vector is orthogonalised twice
    against all previous ones (Saad 2011, sec. 6.6), which the recurrences of CG do not: from its
    coefficients alone, on 64 x 64 nodes, max |Vᵀ V - I| is 2e-14 after 120 steps and 6e-2 after
    300, and after 400 steps an eigenvalue occurs twice. Values at round-off level, the kernel of A,
    are omitted, and fewer pairs are returned if the space is exhausted. Memory: 2 num_vectors
    fields; work: num_vectors² dot products. For more vectors, restart from another field.
    """
    q = A.project(start)
    basis, diagonal, side = [q / q.norm()], [], []
    for _ in range(num_vectors):
        q = basis[-1]
        w = A @ q
        diagonal.append((w * q).sum())
        Q = torch.stack(basis).flatten(1)
        flat = w.flatten()
        for _ in range(2):
            flat = flat - Q.T @ (Q @ flat)
        norm = flat.norm()
        if len(basis) == num_vectors or norm <= 1e-12 * diagonal[-1].abs():
            break
        side.append(norm)
        basis.append((flat / norm).reshape(q.shape))
    empty = start.new_empty(0)
    theta, S = LanczosMatrix(torch.stack(diagonal), torch.stack(side) if side else empty).eigh()
    kept = theta > 1e-8 * theta[-1]
    vectors = S[:, kept].T @ torch.stack(basis).flatten(1)
    return theta[kept], vectors.reshape(-1, *start.shape)


def condition(
    A: LinearOperator,
    M: LinearOperator | None = None,
    *,
    rtol: float = 1e-10,
    max_iterations: int = 200,
    seed: int = 0,
) -> float:
    """The condition number of M A by CG with a random right-hand side; on the range of A if
    A is singular.

    It is a lower bound, seldom more than one per cent too low once CG has converged.

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
    """`cg`, and an estimate of the condition number of M A from its coefficients; NaN if CG took no
    step.

    The estimate is that of `LanczosMatrix.of_cg`: a lower bound, which does not see eigenvectors
    that are absent from the initial error.

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
        sequences.append([])  # CG starts, or restarts from the true residual
        return _Observed(start(A, M, x, r, columns), sequences[-1])

    result = solve(
        observed, A, b, M=M, x0=x0, rtol=rtol, max_iterations=max_iterations, A_norm=A_norm
    )
    return result, _condition(max(sequences, key=len, default=[]))


class _Observed(Recurrence):
    """CG for one right-hand side that records ⟨r, M r⟩ and ⟨p, A p⟩."""

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
    """Condition number from ⟨r, M r⟩ and ⟨p, A p⟩ of each step, up to a breakdown."""
    fine = list(takewhile(lambda step: step[0] > 0 and step[1] > 0, scalars))
    if not fine:
        return math.nan
    rz, pAp = torch.tensor(fine, dtype=torch.float64).T
    return LanczosMatrix.of_cg(rz / pAp, rz[1:] / rz[:-1]).condition()
