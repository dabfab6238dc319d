"""Heat and advection-diffusion: linear equations, solved exactly in time."""

from collections.abc import Sequence

from ....domain import Grid, Series
from ..pseudospectral import (
    Linear,
    derivative_symbols,
    laplacian_symbol,
    require_coefficients,
    require_periodic,
)


class Heat(Linear):
    """u_t = κ Δu in any dimension, for periodic, Dirichlet (zero) and Neumann (zero) sides.

    Each wave decays as exp(-κ|ξ|² t), exactly: one step reaches any time. A Dirichlet axis that
    stores its ends takes `series="sine"` there.
    """

    def __init__(
        self, grid: Grid, diffusivity: float | int, series: Sequence[str] | str | None = None
    ) -> None:
        require_coefficients("The heat equation", diffusivity=diffusivity)
        super().__init__(grid, diffusivity * laplacian_symbol(grid, series), series)
        self.diffusivity = float(diffusivity)
        self.conserves_mean = Series.SINE not in grid.series(series)

    def on(self, grid: Grid) -> "Heat":
        """The same equation on another grid of the box."""
        return Heat(grid, self.diffusivity, self.series)


class AdvectionDiffusion(Linear):
    """u_t + c·∇u = κ Δu on a periodic box, c constant.

    Exact in time for any dt. κ = 0 is pure advection. The Nyquist wave of an even axis is not
    advected, so u0 should not contain it.
    """

    conserves_mean = True

    def __init__(
        self, grid: Grid, velocity: Sequence[float | int], diffusivity: float | int = 0.0
    ) -> None:
        require_periodic(grid, "Advection-diffusion")
        require_coefficients("Advection-diffusion", diffusivity=diffusivity)
        if len(velocity) != grid.ndim:
            raise ValueError(
                f"velocity needs one component per axis ({grid.ndim}); got {list(velocity)}."
            )
        advection = sum(c * d for c, d in zip(velocity, derivative_symbols(grid), strict=True))
        super().__init__(grid, diffusivity * laplacian_symbol(grid) - advection)
        self.velocity, self.diffusivity = tuple(velocity), float(diffusivity)

    def on(self, grid: Grid) -> "AdvectionDiffusion":
        """The same equation on another grid of the box."""
        return AdvectionDiffusion(grid, self.velocity, self.diffusivity)
