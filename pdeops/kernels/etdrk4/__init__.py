"""The sums of one step of ETDRK4 for u_t = L u + N(u, t), with the letters of
`solvers/evolution/etdrk4.py`:

    pair:        out = f u + g v,
    last_stage:  out = E₂ a + Q (2 N(b) - N(u)),
    update:      u = E u + f₁ N(u) + 2 f₂ (N(a) + N(b)) + f₃ N(c), in place.

The fields u, v, a, b, N are (..., *waves), the factors f, g, E, ... (*waves). `reference.py` is the
plain twin; the loops in `cpu.py` need contiguous complex fields and real factors, the Triton
kernels in `gpu.py` contiguous fields.
"""

from types import ModuleType

from jaxtyping import Inexact
from torch import Tensor

from ..forms import Forms, unfit_for_loops
from ..runtime.waves import unfit
from . import reference  # noqa: F401 - for graphs, see `Forms`

FORMS = Forms(__name__, cpu="cpu", cuda="gpu")


def bind(u: Inexact[Tensor, "*state"], factor: Inexact[Tensor, "*waves"]) -> ModuleType:
    """The form with `pair`, `last_stage` and `update` for fields and factors like these."""
    return FORMS.fitting(u, cpu=unfit_for_loops(u, factor), gpu=unfit(u, factor))
