"""The ways to run a multigrid cycle: fused loops for three kinds of problems, and the twin."""

from ...kernels.blackbox.collapse import Shares, equal_shares
from ...kernels.forms import COMPILED_DTYPES
from ..operators.diffusion import Diffusion
from .box_cycle import BoxCycle, TwinCycle
from .constant_cycle import ConstantCycle
from .cycle import Cycle, CycleSpec
from .plane_cycle import PlaneCycle

EVERY = 64  # no hierarchy has so many levels


def choose(A: Diffusion, spec: CycleSpec, shares: Shares | None = None, thin: int = 1) -> Cycle:
    """The fastest way to run the cycle; `PlaneCycle` runs no other.

    shares: how the first `thin` coarse levels are collapsed (`kernels/blackbox/collapse.py`); None
    for none. With EVERY one collapsed, a constant coefficient has the levels of `ConstantCycle`.
    """
    if A.device.type != "cpu" or A.dtype not in COMPILED_DTYPES:
        return TwinCycle(A, shares, spec.smoother, thin)
    rediscretised = thin == EVERY and shares is equal_shares
    if (shares is None or rediscretised) and ConstantCycle.fits(A, spec):
        return ConstantCycle(A)
    if PlaneCycle.fits(A, spec):
        return PlaneCycle(A, shares, thin)
    return BoxCycle(A, shares, spec.smoother, thin)
