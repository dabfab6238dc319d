"""Galerkin projection of a linear system on a reduced basis, and empirical interpolation."""
# Axes: b batch, m unknowns or faces, r modes, q terms.

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor


class ReducedGalerkin:
    """Systems A(θ) u = b with A(θ) = Σ_q θ_q A_q, solved in the span of a few modes:

        u = Σ_k y_k φ_k,    Σ_q θ_q (φᵀ A_q φ) y = φᵀ b.

    If A(θ) is symmetric positive definite, u is the element of the space that is closest to the
    solution in the norm of A(θ) (Céa), so a solution in the space is reproduced. The matrices
    φᵀ A_q φ are computed once; a solve then costs q r² + r³ operations and one product with φ
    (Quarteroni, Manzoni and Negri 2016, ch. 3).

    Args:
        modes: φ, one field of unknowns in each row.
        terms: u (r, m) -> A_q u (r, m), one for each q.
    """

    def __init__(
        self, modes: Float[Tensor, "r m"], terms: Sequence[Callable[[Tensor], Tensor]]
    ) -> None:
        self.modes = modes
        self.matrices = torch.stack([modes @ A(modes).mT for A in terms])

    def truncated(self, rank: int, num_terms: int) -> "ReducedGalerkin":
        """The projection on the first modes, with the first terms of A."""
        short = object.__new__(ReducedGalerkin)
        short.modes = self.modes[:rank]
        short.matrices = self.matrices[:num_terms, :rank, :rank]
        return short

    def coefficients(
        self, theta: Float[Tensor, "b q"], b: Float[Tensor, "b m"]
    ) -> Float[Tensor, "b r"]:
        """y of each system."""
        A = torch.einsum("bq,qrs->brs", theta, self.matrices)
        return torch.linalg.solve(A, b @ self.modes.mT)

    def solve(self, theta: Float[Tensor, "b q"], b: Float[Tensor, "b m"]) -> Float[Tensor, "b m"]:
        """u of each system."""
        return self.coefficients(theta, b) @ self.modes


class EmpiricalInterpolation:
    """Fields f ≈ Σ_q θ_q ψ_q, with θ from the values of f at q nodes (EIM, Barrault et al. 2004, in
    the form for given modes of Chaturantabut and Sorensen 2010, algorithm 1).

    Node q is where the interpolant of ψ_q by the modes before differs most from ψ_q. Fields in the
    span are reproduced; others have the error of the best approximation, times a constant that the
    choice of nodes keeps small.

    Attributes:
        points: numbers of the nodes.

    Raises:
        ValueError: the modes are linearly dependent.
    """

    def __init__(self, modes: Float[Tensor, "q m"]) -> None:
        points: list[int] = []
        for q, mode in enumerate(modes):
            earlier = modes[:q]
            rest = mode
            if q:
                theta = torch.linalg.solve(earlier[:, points].mT, mode[points])
                rest = mode - theta @ earlier
            points.append(int(rest.abs().argmax()))
            if (
                not rest[points[-1]].abs()
                > len(mode) * torch.finfo(mode.dtype).eps * mode.abs().max()
            ):
                raise ValueError(
                    f"Empirical interpolation needs independent modes; mode {q} lies in the span "
                    f"of those before. Take the first {q}."
                )
        self.points = torch.tensor(points)
        self._inverse = torch.linalg.inv(modes[:, points])

    def truncated(self, num: int, modes: Float[Tensor, "q m"]) -> "EmpiricalInterpolation":
        """The interpolation with the first modes; `modes` are those of the constructor."""
        short = object.__new__(EmpiricalInterpolation)
        short.points = self.points[:num]
        short._inverse = torch.linalg.inv(modes[:num, self.points[:num]])
        return short

    def coefficients(self, values: Float[Tensor, "b q"]) -> Float[Tensor, "b q"]:
        """θ of fields with these values at `points`."""
        return values @ self._inverse
