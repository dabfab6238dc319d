"""The Korteweg-de Vries equation."""

from collections.abc import Callable

from jaxtyping import Complex, Float
from torch import Tensor

from ....domain import Grid
from ..pseudospectral import PseudoSpectral, courant_rate, derivative_symbols, require_periodic


class KortewegDeVries(PseudoSpectral):
    """u_t + 6 u u_x + u_xxx = 0 on a periodic interval; solitons pass through each other.

    Solitons (c/2) sech²(√c (x - ct)/2) keep their shape; ∫u, ∫u² and ∫(u_x²/2 - u³) are constant.
    u_xxx is stiff: use ETDRK4. Good values: length 20 .. 60, speeds c 0.5 .. 4, ten nodes across a
    soliton, dt 1e-3 .. 1e-2.
    """

    conserves_mean = True

    def __init__(self, grid: Grid) -> None:
        require_periodic(grid, "Korteweg-de Vries", ndim=1)
        (self.derivative,) = derivative_symbols(grid)
        super().__init__(grid, -(self.derivative**3))

    def on(self, grid: Grid) -> "KortewegDeVries":
        """The same equation on another grid of the interval."""
        return KortewegDeVries(grid)

    def nonlinear(self, u_hat: Complex[Tensor, "b 1 k"], t: float) -> Complex[Tensor, "b 1 k"]:
        """-3 (u²)_x^."""
        return -3 * self.cast(self.derivative, u_hat) * self.waves(self.at_nodes(u_hat) ** 2)

    def frozen(self, u_hat: Tensor, t: float) -> Callable[[Tensor], Tensor]:
        """v ↦ -6 (u v_x)^."""
        u, d = self.at_nodes(u_hat), self.cast(self.derivative, u_hat)
        return lambda v_hat: -6 * self.waves(u * self.at_nodes(d * v_hat))

    def tangent(self, u_hat: Tensor, t: float) -> Callable[[Tensor], Tensor]:
        """v ↦ -6 (u v)_x^."""
        u, d = self.at_nodes(u_hat), self.cast(self.derivative, u_hat)
        return lambda v_hat: -6 * d * self.waves(u * self.at_nodes(v_hat))

    def rate(self, u_hat: Complex[Tensor, "b 1 k"], t: float = 0.0) -> Float[Tensor, ""]:
        """max 6|u|/h."""
        return courant_rate(6 * self.decode(u_hat), self.grid)
