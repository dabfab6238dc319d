"""The ways to run a multigrid cycle: fused loops for three kinds of problems, and the twin."""

from ..kernels.collapse import Shares
from .box_cycle import BoxCycle, TwinCycle
from .constant_cycle import ConstantCycle
from .cycle import Cycle, CycleSpec
from .diffusion import Diffusion
from .faces import KERNEL_DTYPES
from .plane_cycle import PlaneCycle


def choose(A: Diffusion, spec: CycleSpec, shares: Shares | None = None) -> Cycle:
    """The fastest way to run the cycle; `PlaneCycle` runs no other."""
    if A.device.type != "cpu" or A.dtype not in KERNEL_DTYPES:
        return TwinCycle(A, shares, spec.smoother)
    if shares is None and ConstantCycle.fits(A, spec):
        return ConstantCycle(A)
    if PlaneCycle.fits(A, spec):
        return PlaneCycle(A, shares)
    return BoxCycle(A, shares, spec.smoother)
