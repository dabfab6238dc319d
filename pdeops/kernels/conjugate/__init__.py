"""The vector work of conjugate gradients (Saad 2003, Alg. 9.1) for one field, in place:

    direction:  p = z + β p,  β = ⟨r, z⟩ / ⟨r, z⟩_old,
    descend:    x = x + α p,  r = r - α A p,  α = ⟨r, z⟩ / ⟨p, A p⟩.

`reference.py` is the plain twin, `cpu.py` has both in few loops. `dot_columns` computes the inner
products of a batch of fields.
"""

from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from ..forms import Forms, is_compiled

FORMS = Forms(__name__, cpu="cpu")

# From this size on, a CPU is faster with one dot product per column; vecdot stores the products.
_LONG = 16384


class Step(Protocol):
    """The vector work of one step, for the fields it was bound to."""

    def direction(self, rz_old: float) -> float:
        """Update p; returns ⟨r, z⟩."""

    def descend(self, rz: float) -> tuple[float, float]:
        """Update x and r; returns ⟨p, A p⟩ and ⟨r, r⟩. α is 0 unless both products are positive."""


def bind(
    p: Float[Tensor, "*space"],
    Ap: Float[Tensor, "*space"],
    x: Float[Tensor, "*space"],
    r: Float[Tensor, "*space"],
    z: Float[Tensor, "*space"],
) -> Step:
    """The step for these fields; its form and memory are chosen once."""
    contiguous = all(u.is_contiguous() for u in (p, Ap, x, r, z))
    return FORMS.of(r, fits=is_compiled(r) and contiguous).Step(p, Ap, x, r, z)


def is_fused(b: Float[Tensor, "*space"]) -> bool:
    """Whether fields like b are updated by compiled loops."""
    return FORMS.serve(b) and is_compiled(b)


def dot_columns(
    u: Float[Tensor, "columns *space"], v: Float[Tensor, "columns *space"]
) -> Float[Tensor, " columns"]:
    """⟨u_j, v_j⟩ of each column j."""
    u, v = u.flatten(1), v.flatten(1)
    if u.shape[1] > _LONG and (FORMS.serve(u) or len(u) == 1):
        return torch.stack([torch.dot(x, y) for x, y in zip(u, v, strict=True)])
    return torch.linalg.vecdot(u, v)
