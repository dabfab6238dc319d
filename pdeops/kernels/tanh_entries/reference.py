"""The entries of tanh and their reverse step in plain torch: twin of `tanh_entries/cpu.py`."""
# Axes: c channel, q entries, n points.

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

if TYPE_CHECKING:
    from . import Product


def entries(
    v: Float[Tensor, "c q n"],
    bias: Float[Tensor, " c"],
    products: "Sequence[Product]",
    out: Float[Tensor, "c q n"],
) -> None:
    """f = tanh(v + bias) and f_i = s v_i + Σ factor f'' v_a v_b,   f'' v_a v_b = -2 f f_a v_b."""
    f = torch.tanh(v[:, 0] + bias[:, None])
    out[:, 0] = f
    out[:, 1:] = (1 - f * f)[:, None] * v[:, 1:]
    for entry, a, b, factor in products:
        out[:, entry] -= 2 * factor * f * out[:, a] * v[:, b]


def slopes(
    f: Float[Tensor, "c q n"], g: Float[Tensor, "c q n"], products: "Sequence[Product]"
) -> None:
    """g_i becomes s g_i, to which are added

    -2 f Σ_i g_i f_i - 2 Σ factor g_i f_a f_b      in the value of v,
    -2 f factor g_i f_b and -2 f factor g_i f_a    in the entries a and b.
    """
    value, old = f[:, 0], g.clone()
    g.mul_((1 - value * value)[:, None])
    g[:, 0] -= 2 * value * (old[:, 1:] * f[:, 1:]).sum(1)
    for entry, a, b, factor in products:
        g[:, 0] -= 2 * factor * old[:, entry] * f[:, a] * f[:, b]
        g[:, a] -= 2 * factor * value * old[:, entry] * f[:, b]
        g[:, b] -= 2 * factor * value * old[:, entry] * f[:, a]
