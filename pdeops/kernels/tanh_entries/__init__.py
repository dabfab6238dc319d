"""Values and derivatives of tanh(v + bias) from those of v, and the reverse step, at many points:

    entries:  f = tanh(v + bias),  s = f' = 1 - f²,  f_i = s v_i + Σ factor f'' v_a v_b,
    slopes:   the derivatives of a scalar in the entries of v from those in the entries of f.

Entry 0 is the value; the sums are over the `Product`s of an entry. f'' = -2 f s, so that `slopes`
needs f but not v. `reference.py` is the plain twin, `cpu.py` has fused loops for contiguous fields.
"""
# Axes: c channel, q entries, n points.

from collections.abc import Sequence
from types import ModuleType
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from ..forms import Forms, is_compiled
from . import reference  # noqa: F401 - for graphs, see `Forms`

FORMS = Forms(__name__, cpu="cpu")


class Product(NamedTuple):
    """The term factor · f''(v) v_a v_b of an entry of f(v). a and b are entries without such a
    term, and `entry` and a, b are at least 1."""

    entry: int
    a: int
    b: int
    factor: float


def entries(
    v: Float[Tensor, "c q n"],
    bias: Float[Tensor, " c"],
    products: Sequence[Product],
    out: Float[Tensor, "c q n"],
) -> Float[Tensor, "c q n"]:
    """The entries of tanh(v + bias), written to `out`. The absolute error of the value is that of
    rounding 1, also where it is small."""
    _form(v, out).entries(v, bias, products, out)
    return out


def slopes(
    f: Float[Tensor, "c q n"], g: Float[Tensor, "c q n"], products: Sequence[Product]
) -> Float[Tensor, "c q n"]:
    """The derivatives of a scalar in the entries of v, from those in the entries f of tanh, g,
    which are overwritten."""
    _form(f, g).slopes(f, g, products)
    return g


def _form(*fields: Tensor) -> ModuleType:
    fits = all(is_compiled(u) and u.is_contiguous() for u in fields)
    return FORMS.of(fields[0], fits=fits)
