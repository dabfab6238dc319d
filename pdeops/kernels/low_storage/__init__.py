"""One stage of a low-storage implicit-explicit Runge-Kutta step, in place:

    h = N + β h,    u = decay u + gain h.

u, h, N are (..., *waves), decay and gain (*waves). `reference.py` is the plain twin; the loops in
`cpu.py` need contiguous complex fields and real factors.
"""

from collections.abc import Callable

from jaxtyping import Inexact
from torch import Tensor

from ..forms import Forms, splits_into_parts

FORMS = Forms(__name__, cpu="cpu")

# update(u, h, N, beta, decay, gain)
Update = Callable[[Tensor, Tensor, Tensor, float, Tensor, Tensor], None]


def bind(u: Inexact[Tensor, "*state"], factor: Inexact[Tensor, "*waves"]) -> Update:
    """The form of `update` for fields and factors like these."""
    return FORMS.of(u, fits=splits_into_parts(u, factor)).update
