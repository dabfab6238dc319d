"""The inverse of the diagonal, as a preconditioner."""

import torch
from jaxtyping import Float
from torch import Tensor

from ...linop import LinearOperator, Preconditioner


class Diagonal(Preconditioner):
    """M = D⁻¹, D the diagonal of A (Jacobi's preconditioner); 1 for an empty row.

    It helps if rows of A differ in size. If all a_ii are equal, the iterates of CG do not change.

    Raises:
        ValueError: a diagonal entry is negative or not finite.
    """

    def __init__(self, A: LinearOperator) -> None:
        d = A.diagonal().detach()
        if not ((d >= 0) & d.isfinite()).all():
            raise ValueError(
                f"The inverse diagonal is positive definite only where the diagonal of A is; it "
                f"lies in [{d.min().item():.3g}, {d.max().item():.3g}]. Use minres of "
                f"scipy.sparse.linalg without M."
            )
        self.grid = A.grid
        self._inverse = 1 / torch.where(d > 0, d, 1)

    def apply(self, u: Float[Tensor, "*batch_space"]) -> Float[Tensor, "*batch_space"]:
        """M u in u's dtype."""
        return u * self._inverse.to(u)

    products = 0  # in one application

    def diagonal(self) -> Float[Tensor, "*space"]:
        return self._inverse

    def __repr__(self) -> str:
        return f"Diagonal({self.grid.num_nodes} unknowns)"
