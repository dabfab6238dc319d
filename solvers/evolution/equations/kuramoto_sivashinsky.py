"""The Kuramoto-Sivashinsky equation."""

from collections.abc import Callable

from jaxtyping import Complex, Float
from torch import Tensor

from ....domain import Grid
from ..pseudospectral import (
    PseudoSpectral,
    courant_rate,
    derivative_symbols,
    laplacian_symbol,
    require_periodic,
)


class KuramotoSivashinsky(PseudoSpectral):
    """u_t + u u_x + u_xx + u_xxxx = 0 on a periodic interval; solutions are chaotic.

    u_xx amplifies waves with |ξ| < 1, u_xxxx damps shorter ones, and u u_x transfers energy between
    them. Errors double about every 8 units of time: compare statistics, not states, after 100. Good
    values: length 22 (few waves) .. 200, 4 nodes per unit of length, dt 0.05 .. 0.25 with ETDRK4.
    """

    conserves_mean = True

    def __init__(self, grid: Grid) -> None:
        require_periodic(grid, "Kuramoto-Sivashinsky", ndim=1)
        laplacian = laplacian_symbol(grid)
        (self.derivative,) = derivative_symbols(grid)
        super().__init__(grid, -laplacian - laplacian**2)

    def on(self, grid: Grid) -> "KuramotoSivashinsky":
        """The same equation on another grid of the interval."""
        return KuramotoSivashinsky(grid)

    def nonlinear(self, u_hat: Complex[Tensor, "b 1 k"], t: float) -> Complex[Tensor, "b 1 k"]:
        """-(u²/2)_x^."""
        return -0.5 * self.cast(self.derivative, u_hat) * self.waves(self.at_nodes(u_hat) ** 2)

    def frozen(self, u_hat: Tensor, t: float) -> Callable[[Tensor], Tensor]:
        """v ↦ -(u v_x)^."""
        u, d = self.at_nodes(u_hat), self.cast(self.derivative, u_hat)
        return lambda v_hat: -self.waves(u * self.at_nodes(d * v_hat))

    def tangent(self, u_hat: Tensor, t: float) -> Callable[[Tensor], Tensor]:
        """v ↦ -(u v)_x^."""
        u, d = self.at_nodes(u_hat), self.cast(self.derivative, u_hat)
        return lambda v_hat: -d * self.waves(u * self.at_nodes(v_hat))

    def rate(self, u_hat: Complex[Tensor, "b 1 k"], t: float = 0.0) -> Float[Tensor, ""]:
        """max |u|/h."""
        return courant_rate(self.decode(u_hat), self.grid)
