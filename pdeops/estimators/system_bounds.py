"""Guaranteed bounds of the error of an iterate of a linear system, such as that of a time step."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..domain import Grid
from ..linop import LinearOperator
from ..solvers.direct.dst import FastPoisson
from ..solvers.operators.diffusion import Diffusion
from ..solvers.operators.laplacian import Laplacian


@dataclass(frozen=True)
class SystemBounds:
    """Bounds of |x - A⁻¹b|_A for iterates x of A x = b.

    With a majorant G >= A⁻¹ of the inverse, r = b - A x and e = A⁻¹ r,

        |e|_A² = r·A⁻¹ r <= r·G r.

    For A = mass/Δt + stiffness with a diagonal mass matrix, G = Δt/mass is one: the stiffness adds
    to A. `InverseMajorant` is sharper for diffusion on a box. That G is a majorant is not checked.

    Attributes:
        A: symmetric positive definite.
        b: the right-hand side, at the unknowns of A.
        M: the preconditioner of conjugate gradients.
        majorant: G.
        grid: all nodes, with those of known value; `A.grid` if there are none.
        volume: the factor of |e|_A², h^d for integrals.

    Raises:
        ValueError: A is not declared symmetric positive definite, or b is not finite or not a field
            at the unknowns.
    """

    A: LinearOperator
    b: Float[Tensor, "*unknowns"]
    M: LinearOperator
    majorant: LinearOperator
    grid: Grid
    volume: float = 1.0

    def __post_init__(self) -> None:
        if not (self.A.symmetric and self.A.positive_definite):
            raise ValueError(
                f"The norm of A needs a symmetric positive definite A; {type(self.A).__name__} "
                f"does not declare it. Declare it, as in Matrix(A, positive_definite=True)."
            )
        if tuple(self.b.shape) != self.A.grid.shape:
            raise ValueError(
                f"Give one right-hand side of shape {self.A.grid.shape}; got {tuple(self.b.shape)}."
            )
        if not self.b.isfinite().all():
            raise ValueError("The right-hand side holds NaN or infinity. Check the input.")

    def discrete_bar(self, x: Float[Tensor, "*unknowns"]) -> float:
        """An upper bound of the error of x in the norm of A."""
        r = self.b - self.A.apply(x)
        return math.sqrt(self.volume * max((r * self.majorant.apply(r)).sum().item(), 0.0))

    def discrete_norm(self, x: Float[Tensor, "*unknowns"]) -> float:
        """A lower bound of the norm of A⁻¹b, equal to it for x = A⁻¹b."""
        return norm_from_below(self.A, self.b, x, self.volume)


def norm_from_below(A: LinearOperator, b: Tensor, x: Tensor, volume: float) -> float:
    """(h^d)^½ x·b / |x|_A, at most the norm of A⁻¹b by the inequality of Cauchy and Schwarz."""
    energy = (x * A.apply(x)).sum().item()
    product = (x * b).sum().item()
    return math.sqrt(volume / energy) * product if energy > 0 and product > 0 else 0.0


class InverseMajorant(LinearOperator):
    """G >= A⁻¹ for A = -div(a grad .) + c on a box with c > 0 constant, by one flux.

    For fluxes τ and a field w with -div τ + w = r, as for the theorem of Prager and Synge,

        r·A⁻¹ r <= Σ τ²/a + Σ w²/c    over faces and nodes.

    τ = k ∇φ and w = c φ with -k Δφ + c φ = r and k the harmonic mean of a: G r = P Ã P r, P the
    inverse of -k Δ + c by transforms and à the operator with coefficient k²/a. G is A⁻¹ for
    constant a, and at most (1 + s)²/(4 s) A⁻¹, s = max a / min a, for any c, by Kantorovich's
    inequality for matrices (Marshall & Olkin 1990): with CᵀC = -k Δ + c, A = CᵀWC and à = CᵀW⁻¹C,
    where the entries of W, which are a/k and 1, lie in [min a / k, max a / k].

    Args:
        a, grid: as for `Diffusion`; A acts on `grid.interior`.
        reaction: c.
    """

    symmetric = True
    positive_definite = True

    def __init__(
        self, a: Float[Tensor, "*space"] | float | int, grid: Grid, reaction: float | int
    ) -> None:
        A, L = Diffusion(a, grid, reaction=reaction), Laplacian(grid)
        self.grid = A.grid
        ratio = [  # 1/a at the faces that fluxes pass
            torch.where(one > 0, one / f.double().where(one > 0, 1.0), 0.0)
            for one, f in zip(L.faces, A.faces, strict=True)
        ]
        resistance = [one * r for one, r in zip(L.faces, ratio, strict=True)]
        k = sum(f.sum().item() for f in L.faces) / sum(f.sum().item() for f in resistance)
        self.inverse = FastPoisson(grid, coefficient=k, reaction=reaction)
        self.energy = Diffusion.from_faces([k**2 * f for f in resistance], A.grid, A.excess)

    def apply(self, u: Float[Tensor, "*batch_space"]) -> Float[Tensor, "*batch_space"]:
        """G u."""
        return self.inverse.apply(self.energy.apply(self.inverse.apply(u)))
