"""The product with A of a batch of systems, from its operator."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ...kernels.diffusion.reference import apply


def product(operator: Sequence[Tensor]) -> Callable[[Tensor], Tensor]:
    """u -> A u for each system of a batch, differentiable in u.

    `operator` holds the couplings at the faces, one array per axis, or the rows, columns (integers)
    and values (b, e) of the entries of matrices.
    """
    if operator[0].is_floating_point():
        closed = (False,) * len(operator)
        return lambda u: apply(u, operator, None, closed)
    rows, columns, values = operator
    return lambda u: torch.zeros_like(u).scatter_add(1, rows, values.to(u) * u.gather(1, columns))
