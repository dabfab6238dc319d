"""One linear multigrid cycle with learned stencils on fields with many channels, f -> u ≈ A⁻¹ f.

`reference.py`, the plain twin, has the equations. `gpu.py` fuses residuals, smoothing steps and
transfers in Triton kernels where these are faster; on other devices the twin serves.
"""

from .functions import FORMS, cycle
from .geometry import ZERO, Geometry, Plan
from .ghosts import add_ghosts
from .reference import prolongation, restriction, stencil

__all__ = [
    "FORMS",
    "ZERO",
    "Geometry",
    "Plan",
    "add_ghosts",
    "cycle",
    "prolongation",
    "restriction",
    "stencil",
]
