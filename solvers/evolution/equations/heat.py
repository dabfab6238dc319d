"""Heat and advection-diffusion: linear equations, solved exactly in time."""

from collections.abc import Sequence

from ....domain import Grid, Series
from ..pseudospectral import require_coefficients, require_periodic
from .transport import Transport


class Heat(Transport):
    """u_t = κ Δu in any dimension, for periodic, Dirichlet (zero) and Neumann (zero) sides.

    Each wave decays as exp(-κ|ξ|² t), exactly: one step reaches any time. A Dirichlet axis that
    stores its ends takes `series="sine"` there.
    """

    degree = 1
    autonomous = True

    def __init__(
        self, grid: Grid, diffusivity: float | int, series: Sequence[str] | str | None = None
    ) -> None:
        require_coefficients("The heat equation", diffusivity=diffusivity)
        super().__init__(grid, diffusivity=diffusivity, series=series)
        self.conserves_mean = Series.SINE not in grid.series(series)


class AdvectionDiffusion(Transport):
    """u_t + c·∇u = κ Δu on a periodic box, c constant.

    Exact in time for any dt. κ = 0 is pure advection. The Nyquist wave of an even axis is not
    advected, so u0 should not contain it.
    """

    degree = 1
    autonomous = True
    conserves_mean = True

    def __init__(
        self, grid: Grid, velocity: Sequence[float | int], diffusivity: float | int = 0.0
    ) -> None:
        require_periodic(grid, "Advection-diffusion")
        require_coefficients("Advection-diffusion", diffusivity=diffusivity)
        super().__init__(grid, drift=velocity, diffusivity=diffusivity)
