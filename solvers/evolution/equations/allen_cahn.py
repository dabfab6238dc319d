"""The Allen-Cahn equation."""

from collections.abc import Callable, Sequence

from jaxtyping import Inexact
from torch import Tensor

from ....domain import Grid
from ..pseudospectral import PseudoSpectral, laplacian_symbol, require_coefficients


class AllenCahn(PseudoSpectral):
    """u_t = κ Δu + r (u - u³): two phases, u = ±1; fronts move with their curvature.

    A front is tanh(x √(r/2κ)) and needs six nodes. The energy ∫ κ|∇u|²/2 + r(1 - u²)²/4 never
    grows. Periodic, Neumann (cosines) or zero Dirichlet sides (sines: u³ of an odd field is odd).
    The growth r u is part of L. Good values: r = 1 .. 5, κ = 1e-4 .. 1e-2 on the unit box, dt
    0.1/r.
    """

    degree = 3

    def __init__(
        self,
        grid: Grid,
        diffusivity: float | int,
        reaction: float | int = 1.0,
        series: Sequence[str] | str | None = None,
    ) -> None:
        require_coefficients("Allen-Cahn", diffusivity=diffusivity, reaction=reaction)
        super().__init__(grid, diffusivity * laplacian_symbol(grid, series) + reaction, series)
        self.diffusivity, self.reaction = float(diffusivity), float(reaction)

    def on(self, grid: Grid) -> "AllenCahn":
        """The same equation on another grid of the box."""
        return AllenCahn(grid, self.diffusivity, self.reaction, self.series)

    def nonlinear(self, u_hat: Inexact[Tensor, "b 1 *waves"], t: float) -> Inexact[Tensor, "..."]:
        """-r (u³)^."""
        return -self.reaction * self.waves(self.at_nodes(u_hat) ** 3)

    def frozen(self, u_hat: Tensor, t: float) -> Callable[[Tensor], Tensor]:
        """v ↦ -r (u² v)^."""
        rate = self.reaction * self.at_nodes(u_hat).square()
        return lambda v_hat: -self.waves(rate * self.at_nodes(v_hat))

    def tangent(self, u_hat: Tensor, t: float) -> Callable[[Tensor], Tensor]:
        """d ↦ -3r (u² d)^."""
        third = self.frozen(u_hat, t)
        return lambda d_hat: 3 * third(d_hat)
