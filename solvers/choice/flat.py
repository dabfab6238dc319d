"""A preconditioner that a user holds as a scipy operator on flat vectors."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...domain import Grid
from ...linop import Preconditioner, check_spd
from .methods import Method

if TYPE_CHECKING:
    import scipy.sparse.linalg


class FlatPreconditioner(Preconditioner):
    """M ≈ A⁻¹ from an operator of scipy on vectors of n numbers, in the order of the rows of A.

    Raises:
        ValueError: M has another shape than A, or is not symmetric positive definite.
    """

    def __init__(self, M: "scipy.sparse.linalg.LinearOperator", size: int) -> None:
        if M.shape != (size, size):
            raise ValueError(
                f"M has the shape {M.shape}; A has {(size, size)}. Build M for this A."
            )
        self.grid, self._M = Grid((size,), placement="interior"), M
        check_spd(self, rtol=1e-5)  # networks compute in single precision

    def apply(self, u: Float[Tensor, "*batch_space"]) -> Float[Tensor, "*batch_space"]:
        """M u in u's dtype; it carries no gradient."""
        rows = u.detach().reshape(-1, self.grid.num_nodes).double().numpy()
        columns = [np.asarray(self._M @ row, dtype="float64").ravel() for row in rows]
        return torch.from_numpy(np.stack(columns)).to(u.dtype).reshape(u.shape)


def given(M: Any) -> Method:
    """The method that solves by conjugate gradients with this operator of scipy."""
    return Method("M as given", "an operator of scipy", lambda s: FlatPreconditioner(M, s.size))
