"""Linear operators on fields, preconditioners, and the probe that keeps conjugate gradients valid."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from .grid import Grid

if TYPE_CHECKING:
    import scipy.sparse.linalg


class LinearOperator(ABC):
    """A linear map A from fields on a grid to fields on the same grid; `A @ u` applies it.

    Subclasses set `grid` and declare what holds of A; solvers query the declarations, `check_spd` probes
    them. Leading axes of u are a batch.

    Attributes:
        grid: the grid of the unknowns.
        symmetric: ⟨A u, v⟩ = ⟨u, A v⟩.
        positive_definite: ⟨u, A u⟩ > 0 for u ≠ 0.
    """

    grid: Grid
    symmetric: bool = False
    positive_definite: bool = False

    @abstractmethod
    def apply(self, u: Float[Tensor, "*batch_space"]) -> Float[Tensor, "*batch_space"]:
        """A u for u of shape (..., *grid.shape)."""

    def diagonal(self) -> Float[Tensor, "*space"]:
        """The diagonal of A as a field."""
        raise NotImplementedError(f"{type(self).__name__} does not know its diagonal.")

    def __matmul__(self, u: Tensor) -> Tensor:
        self.grid.check(u, f"argument of {type(self).__name__}")
        return self.apply(u)

    @property
    def shape(self) -> tuple[int, int]:
        """(N, N), N the number of unknowns."""
        return (self.grid.num_nodes, self.grid.num_nodes)

    def to_scipy(self) -> "scipy.sparse.linalg.LinearOperator":
        """A on flat float64 vectors (C order), for scipy's solvers."""
        from scipy.sparse.linalg import LinearOperator as ScipyLinearOperator

        def matvec(u):
            field = torch.from_numpy(u.astype("float64", copy=False).reshape(self.grid.shape))
            return self.apply(field).numpy().ravel()

        return ScipyLinearOperator(self.shape, matvec=matvec, dtype="float64")


class Preconditioner(LinearOperator):
    """M as applied, M ≈ A⁻¹ (scipy's `M`): linear, symmetric and positive definite."""

    symmetric = True
    positive_definite = True


def check_spd(M: LinearOperator, *, probes: int = 4, rtol: float = 1e-10, seed: int = 0) -> None:
    """Probe that M is linear, symmetric and positive definite, as conjugate gradients need.

    For random u, v and scalars a, b: M(au + bv) = a Mu + b Mv and ⟨Mu, v⟩ = ⟨u, Mv⟩, both relative to the
    terms' size, and ⟨u, Mu⟩ > 0.

    Raises:
        ValueError: one of the three fails; the message names which, by how much, and the way out.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw() -> Tensor:
        return torch.randn(M.grid.shape, generator=generator, dtype=torch.float64)

    name = type(M).__name__
    for _ in range(probes):
        u, v = draw(), draw()
        a, b = torch.randn(2, generator=generator, dtype=torch.float64)
        Mu, Mv = M @ u, M @ v
        if not (Mu.isfinite().all() and Mv.isfinite().all()):
            raise ValueError(f"{name} is not finite on random fields; it cannot precondition.")
        gap = ((M @ (a * u + b * v)) - (a * Mu + b * Mv)).norm() / (
            (a * Mu).norm() + (b * Mv).norm()
        )
        if not gap <= rtol:
            raise ValueError(
                f"{name} is not linear: M(au + bv) differs from a Mu + b Mv by {gap:.1e} (limit "
                f"{rtol:.0e}). Plain CG needs a fixed linear M; use flexible CG or conjugate directions."
            )
        gap = ((Mu * v).sum() - (u * Mv).sum()).abs() / (Mu.norm() * v.norm())
        if not gap <= rtol:
            raise ValueError(
                f"{name} is not symmetric: ⟨Mu, v⟩ and ⟨u, Mv⟩ differ by {gap:.1e} of |Mu||v| (limit "
                f"{rtol:.0e}). Give the cycle an adjoint post-smoother and R = Pᵀ, or use flexible CG."
            )
        energy = (u * Mu).sum()
        if not energy > 0:
            raise ValueError(
                f"{name} is not positive definite: ⟨u, Mu⟩ = {energy:.1e} for a random u. Damp the "
                f"smoother or scale the coarse correction; CG would break down."
            )
