"""The product of a sparse matrix with fields, v_i = Σ_j a_ij u_j.

scipy computes it on a CPU (`cpu.py`); torch computes it on other devices and where a gradient is
recorded (`reference.py`). The entries are float64; the result has the dtype of u.
"""

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from ..forms import Forms
from . import reference

if TYPE_CHECKING:
    import scipy.sparse

FORMS = Forms(__name__, cpu="cpu")


class Product:
    """u -> A u.

    Args:
        matrix: A, in CSR.
    """

    def __init__(self, matrix: "scipy.sparse.csr_array") -> None:
        self.matrix = matrix
        arrays = (matrix.indptr, matrix.indices, matrix.data)
        # torch warns of arrays that it could write to and must not.
        shared = [a if a.flags.writeable else a.copy() for a in arrays]
        self._arrays = [torch.from_numpy(a) for a in shared]  # for graphs
        self._sparse: dict[tuple[torch.device, torch.dtype], Tensor] = {}

    def __call__(self, u: Float[Tensor, "m n"]) -> Float[Tensor, "m n"]:
        """A u for each row of u."""
        if torch.compiler.is_compiling():
            return reference.multiply_entries(self._arrays, u)
        if FORMS.serve(u) and not (u.requires_grad and torch.is_grad_enabled()):
            return FORMS.of(u).multiply(self.matrix, u.detach())
        key = (u.device, u.dtype)
        if key not in self._sparse:
            self._sparse[key] = reference.tensor(self.matrix, *key)
        return reference.multiply(self._sparse[key], u)
