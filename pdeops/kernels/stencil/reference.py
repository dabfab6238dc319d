"""The product with a symmetric stencil of 3^d points, in plain torch; twin of `stencil/cpu.py`.

Any device and dtype, leading batch axes, differentiable in the field and in the entries.
"""

from collections.abc import Sequence
from itertools import product
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


def stencil_offsets(ndim: int) -> list[tuple[int, ...]]:
    """One of each pair of opposite neighbours: the vectors of {-1, 0, 1}^ndim whose first entry
    that is not zero is 1, in lexicographic order. In 2D (0, 1), (1, -1), (1, 0), (1, 1)."""
    return [o for o in product((-1, 0, 1), repeat=ndim) if o > (0,) * ndim]


def paired(offset: Sequence[int], shape: Sequence[int]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The nodes of a box with a neighbour at the offset, and these neighbours, as indices of the
    last axes."""
    here = tuple(
        slice(max(0, -o), max(0, n - max(0, o))) for o, n in zip(offset, shape, strict=True)
    )
    there = tuple(
        slice(max(0, o), max(0, n - max(0, -o))) for o, n in zip(offset, shape, strict=True)
    )
    return (..., *here), (..., *there)


def apply(
    u: Float[Tensor, "*batch_space"],
    diagonal: Float[Tensor, "*space"],
    couplings: Float[Tensor, "k *space"],
) -> Float[Tensor, "*batch_space"]:
    """(A u)_p = d_p u_p + Σ_i a_i(p) u_(p+δ_i) + a_i(p-δ_i) u_(p-δ_i)."""
    ndim = diagonal.ndim
    result = diagonal * u
    for offset, a in zip(stencil_offsets(ndim), couplings, strict=True):
        here, there = paired(offset, diagonal.shape)
        if a[here].numel():
            result = result + _placed(a[here] * u[there], offset, diagonal.shape)
            back = tuple(-o for o in offset)
            result = result + _placed(a[here] * u[here], back, diagonal.shape)
    return result


def _placed(part: Tensor, offset: Sequence[int], shape: Sequence[int]) -> Tensor:
    """A field that is `part` at the nodes with a neighbour at the offset, and 0 elsewhere."""
    widths: list[int] = []
    for o in reversed(offset):
        widths += [max(0, -o), max(0, o)]
    return torch.nn.functional.pad(part, widths)
