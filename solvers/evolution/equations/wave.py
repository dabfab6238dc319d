"""The wave equation."""

from collections.abc import Sequence

import torch

from ....domain import Grid
from ..pseudospectral import Linear, laplacian_symbol, require_coefficients


class Wave(Linear):
    """u_tt = c² Δu, as the two channels (u, u_t): u' = v, v' = c² Δu; exact for any dt.

    Each wave is multiplied by the matrix exp([[0, 1], [-c²|ξ|², 0]] t), the mean by [[1, t], [0,
    1]]. Energy ½∫ v² + c²|∇u|² is constant. Periodic, Dirichlet (sines) or Neumann (cosines) sides.
    Needs ETDRK4, the only stepper for an L that couples the channels.
    """

    num_channels = 2
    coupled = True

    def __init__(
        self, grid: Grid, speed: float | int, series: Sequence[str] | str | None = None
    ) -> None:
        require_coefficients("The wave equation", speed=speed)
        laplacian = laplacian_symbol(grid, series)
        symbol = laplacian.new_zeros(2, 2, *laplacian.shape)
        symbol[0, 1], symbol[1, 0] = 1.0, speed**2 * laplacian
        super().__init__(grid, symbol, series)
        self.speed = float(speed)

    def on(self, grid: Grid) -> "Wave":
        """The same equation on another grid of the box."""
        return Wave(grid, self.speed, self.series)

    @staticmethod
    def at_rest(u: torch.Tensor) -> torch.Tensor:
        """The two channels of fields (b, 1, *space) that start without velocity."""
        return torch.cat([u, torch.zeros_like(u)], 1)
