"""Black-box multigrid (Dendy 1982) for symmetric stencils of 3^d points on a box: M ≈ A⁻¹.

`set_up` computes the levels of an operator; `Hierarchy.run` and `Hierarchy.bind` apply a cycle on
them. The plain twin, which explains the method, is `reference.py`; `cpu.py` has compiled loops.
"""

from ..blackbox import Hierarchy
from ..forms import COMPILED_DTYPES, Forms, warn_once
from .problem import StencilSystem, checked

__all__ = ["StencilSystem", "set_up"]

FORMS = Forms(__name__, cpu="cpu")


def set_up(system: StencilSystem) -> Hierarchy:
    """The levels of A, for cycles of Gauss-Seidel by points or lines; in plain torch on devices
    other than CPUs, which the log says once.

    Raises:
        NotPositiveDefiniteError: a level is not positive definite in the system's dtype.
        ValueError: the system's lines cannot be solved on its grid.
    """
    checked(system.lines, system.diagonal.ndim)
    device = system.diagonal.device.type
    if device not in FORMS.by_device and not FORMS.only_twin:
        warn_once("multigrid of a stencil", "reference", f"no kernels for {device}")
    fits = system.diagonal.dtype in COMPILED_DTYPES and system.diagonal.ndim <= 3
    return FORMS.of(system.diagonal, fits=fits).set_up(system)
