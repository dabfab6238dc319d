"""Linear operators on fields, preconditioners, and a check that a preconditioner is valid in CG."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from .domain import Grid

if TYPE_CHECKING:
    import scipy.sparse
    import scipy.sparse.linalg


class LinearOperator(ABC):
    """A linear map A from fields on a grid to fields on the same grid; `A @ u` applies it.

    Subclasses set `grid` and declare the properties of A. Solvers query these declarations, and
    `check_spd` tests them. Leading axes of u are a batch.

    Attributes:
        grid: the grid of the unknowns.
        symmetric: ⟨A u, v⟩ = ⟨u, A v⟩.
        positive_definite: ⟨u, A u⟩ > 0 for u ≠ 0.
        semidefinite: ⟨u, A u⟩ > 0 unless u is in the kernel of A; `project` removes the kernel.
    """

    grid: Grid
    symmetric: bool = False
    positive_definite: bool = False
    semidefinite: bool = False

    @abstractmethod
    def apply(self, u: Float[Tensor, "*batch_space"]) -> Float[Tensor, "*batch_space"]:
        """A u for u of shape (..., *grid.shape)."""

    def apply_into(
        self, u: Float[Tensor, "*batch_space"], out: Float[Tensor, "*batch_space"]
    ) -> Float[Tensor, "*batch_space"]:
        """Write A u to `out` and return `out`; u and out must not overlap.

        Solver iterations call this method; an operator with its own kernel allocates nothing.
        """
        return out.copy_(self.apply(u))

    def bind(
        self, u: Float[Tensor, "*batch_space"], out: Float[Tensor, "*batch_space"]
    ) -> Callable[[], object]:
        """`apply_into(u, out)` as a function without arguments, for repeated calls.

        An operator with its own kernel inspects u and out once, because on a small system the
        inspection takes longer than the arithmetic.
        """
        return partial(self.apply_into, u, out)

    def project(self, b: Float[Tensor, "*batch_space"]) -> Float[Tensor, "*batch_space"]:
        """The projection of b onto the range of A; b itself unless A is singular with known
        kernel."""
        return b

    def diagonal(self) -> Float[Tensor, "*space"]:
        """The diagonal of A as a field."""
        raise NotImplementedError(f"{type(self).__name__} does not know its diagonal.")

    def __matmul__(self, u: Tensor) -> Tensor:
        self.grid.check(u, f"argument of {type(self).__name__}")
        return self.apply(u)

    @property
    def shape(self) -> tuple[int, int]:
        """(N, N), where N is the number of unknowns."""
        return (self.grid.num_nodes, self.grid.num_nodes)

    def to_csr(self) -> "scipy.sparse.csr_array":
        """A as a sparse float64 matrix on flat vectors (C order)."""
        raise NotImplementedError(f"{type(self).__name__} has no sparse matrix.")

    def to_scipy(self) -> "scipy.sparse.linalg.LinearOperator":
        """A on flat float64 vectors (C order), for scipy's solvers.

        A symmetric A is its own adjoint; otherwise scipy has no adjoint.
        """
        import numpy as np
        from scipy.sparse.linalg import LinearOperator as ScipyLinearOperator

        @torch.no_grad()
        def matvec(u):
            # At 1023² a copy of u takes 3 % of a multigrid cycle; torch wants writable memory.
            fits = u.dtype == np.float64 and u.flags.c_contiguous and u.flags.writeable
            field = torch.from_numpy(u if fits else np.array(u, dtype=np.float64))
            image = self.apply(field.reshape(self.grid.shape)).numpy().ravel()
            # scipy updates u in place: A u must not share its memory.
            return image.copy() if np.may_share_memory(image, u) else image

        adjoint = matvec if self.symmetric else None
        return ScipyLinearOperator(self.shape, matvec=matvec, rmatvec=adjoint, dtype="float64")


class Preconditioner(LinearOperator):
    """M as applied, M ≈ A⁻¹ (scipy's `M`): linear, symmetric and positive definite."""

    symmetric = True
    positive_definite = True


@torch.no_grad()
def check_spd(M: LinearOperator, *, probes: int = 4, rtol: float = 1e-10, seed: int = 0) -> None:
    """Check that M is linear, symmetric and positive definite, as conjugate gradients require.

    For random u, v and scalars a, b it checks M(au + bv) = a Mu + b Mv and ⟨Mu, v⟩ = ⟨u, Mv⟩, both
    relative to the size of the terms, and ⟨u, Mu⟩ > 0. The checks are necessary, not sufficient: an
    M that is indefinite in a few directions can pass.

    Raises:
        ValueError: a check fails; the message states which check, the deviation and a remedy.
    """
    if probes < 1:
        raise ValueError(f"check_spd needs at least one probe; got probes={probes}.")
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    name = type(M).__name__
    for _ in range(probes):
        u, v = draw(*M.grid.shape), draw(*M.grid.shape)
        a, b = draw(2)
        Mu, Mv = M @ u, M @ v
        if not (Mu.isfinite().all() and Mv.isfinite().all()):
            raise ValueError(f"{name} is not finite on random fields; it cannot precondition.")
        gap = ((M @ (a * u + b * v)) - (a * Mu + b * Mv)).norm()
        size = (a * Mu).norm() + (b * Mv).norm()
        if not gap <= rtol * size:
            raise ValueError(
                f"{name} is not linear: M(au + bv) differs from a Mu + b Mv by {gap / size:.1e} "
                f"(limit {rtol:.0e}). Plain CG needs a fixed linear M; use flexible CG or "
                f"conjugate directions."
            )
        gap = ((Mu * v).sum() - (u * Mv).sum()).abs()
        size = Mu.norm() * v.norm()
        if not gap <= rtol * size:
            raise ValueError(
                f"{name} is not symmetric: ⟨Mu, v⟩ and ⟨u, Mv⟩ differ by {gap / size:.1e} of "
                f"|Mu||v| (limit {rtol:.0e}). Give the cycle an adjoint post-smoother and R = Pᵀ, "
                f"or use flexible CG."
            )
        energy = (u * Mu).sum()
        if not energy > 0:
            raise ValueError(
                f"{name} is not positive definite: ⟨u, Mu⟩ = {energy:.1e} for a random u. Damp the "
                f"smoother or scale the coarse correction; CG would break down."
            )
