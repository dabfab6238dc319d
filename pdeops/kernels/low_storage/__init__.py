"""One stage of a low-storage implicit-explicit Runge-Kutta step, in place:

    h = N + β h,    u = decay u + gain h.

u, h, N are (..., *waves), decay and gain (*waves). `reference.py` is the plain twin; the loops in
`cpu.py` need contiguous complex fields and real factors, the Triton kernels in `gpu.py` contiguous
fields.
"""

from collections.abc import Callable

from jaxtyping import Inexact
from torch import Tensor

from ..forms import Forms, unfit_for_loops
from ..runtime.waves import unfit
from . import reference  # noqa: F401 - for graphs, see `Forms`

FORMS = Forms(__name__, cpu="cpu", cuda="gpu")

# update(u, h, N, beta, decay, gain)
Update = Callable[[Tensor, Tensor, Tensor, float, Tensor, Tensor], None]


def bind(u: Inexact[Tensor, "*state"], factor: Inexact[Tensor, "*waves"]) -> Update:
    """The form of `update` for fields and factors like these."""
    return FORMS.fitting(u, cpu=unfit_for_loops(u, factor), gpu=unfit(u, factor)).update
