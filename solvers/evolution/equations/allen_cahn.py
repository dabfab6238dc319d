"""The Allen-Cahn equation."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from ....domain import Grid
from ..pseudospectral import require_coefficients
from .transport import Transport


class AllenCahn(Transport):
    """u_t = κ Δu + r (u - u³): two phases, u = ±1; fronts move with their curvature.

    A front is tanh(x √(r/2κ)) and needs six nodes. The energy ∫ κ|∇u|²/2 + r(1 - u²)²/4 never
    grows. Periodic, Neumann (cosines) or zero Dirichlet sides (sines: u³ of an odd field is odd).
    The growth r u is part of L. Good values: r = 1 .. 5, κ = 1e-4 .. 1e-2 on the unit box, dt
    0.1/r.
    """

    degree = 3
    autonomous = True

    def __init__(
        self,
        grid: Grid,
        diffusivity: float | int,
        reaction: float | int = 1.0,
        series: Sequence[str] | str | None = None,
    ) -> None:
        require_coefficients("Allen-Cahn", diffusivity=diffusivity, reaction=reaction)
        super().__init__(grid, diffusivity=diffusivity, growth=reaction, series=series)
        self.reaction = float(reaction)

    def source(self, u: Tensor, x: Tensor, t: Any) -> Tensor:
        """-r u³."""
        return -self.reaction * u**3

    def frozen(self, u_hat: Tensor, t: float) -> Callable[[Tensor], Tensor]:
        """v ↦ -r (u² v)^."""
        rate = self.reaction * self.at_nodes(u_hat).square()
        return lambda v_hat: -self.waves(rate * self.at_nodes(v_hat))
