"""The vorticity equation with every wave of its products, for residuals."""
# Axes: b batch, x y nodes, *waves coefficients in the layout of `calculus.fourier.transform`.

import math
from collections.abc import Callable

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from ....calculus.fourier import resample, rfftn
from ....domain import Grid
from ..pseudospectral import (
    PseudoSpectral,
    courant_rate,
    derivative_symbols,
    laplacian_symbol,
)

Force = Callable[[Tensor, float], Tensor]


class PaddedNavierStokes(PseudoSpectral):
    """ω_t + u·∇ω = ν Δω - μ ω + f as in `NavierStokes`, with no wave dropped.

    -u·∇ω = -∇·(uω) is exact for fields of at most half of the waves of `grid`. A function of the
    nodes and the time is evaluated at the nodes of `grid`; f may contain every wave of it.

    Args:
        forcing: as for `NavierStokes`, at the nodes of this grid.
    """

    def __init__(
        self,
        grid: Grid,
        viscosity: float | int,
        *,
        drag: float | int = 0.0,
        forcing: Tensor | Force | None = None,
    ) -> None:
        laplacian = laplacian_symbol(grid)
        symbol = viscosity * laplacian - drag
        symbol[0, 0] = 0.0  # the mean of a curl is zero at all times
        super().__init__(grid, symbol)
        self.kept = torch.ones_like(self.kept)
        inverse = 1 / laplacian.masked_fill(laplacian == 0, -math.inf)
        self.dx, self.dy = derivative_symbols(grid)
        self.to_velocity = torch.stack([-self.dy * inverse, self.dx * inverse])
        self.viscosity, self.drag, self.forcing = float(viscosity), float(drag), forcing
        self.nodes = grid.nodes()
        self.autonomous = forcing is None or (isinstance(forcing, Tensor) and forcing.ndim == 2)
        self._f_hat = self._transformed(forcing) if isinstance(forcing, Tensor) else None
        f_hat = self._force_at(0.0, self.nodes)
        self.conserves_mean = f_hat is None or bool(
            (f_hat[..., 0, 0].abs() <= 1e-12 * f_hat.abs().amax()).all()
        )

    def on(self, grid: Grid) -> "PaddedNavierStokes":
        """The same equation on another grid of the box; a force given as a field is interpolated,
        exactly on a finer grid."""
        f = self.forcing
        if isinstance(f, Tensor):
            f = resample(f.double(), self.grid, grid.shape)
        return PaddedNavierStokes(grid, self.viscosity, drag=self.drag, forcing=f)

    def velocity(self, u_hat: Complex[Tensor, "b 1 *waves"]) -> Float[Tensor, "b 2 x y"]:
        """u and v at the nodes."""
        return self.decode(u_hat * self.cast(self.to_velocity, u_hat))

    def nonlinear(self, u_hat: Complex[Tensor, "b 1 *waves"], t: float) -> Complex[Tensor, "..."]:
        """(-∇·(uω) + f)^."""
        return self.frozen(u_hat, t)(u_hat)

    def frozen(self, u_hat: Tensor, t: float) -> Callable[[Tensor], Tensor]:
        """ζ ↦ (-∇·(uζ) + f)^ with the velocity u of the given state."""
        u, f_hat = self.velocity(u_hat), self._force_at(t, u_hat)

        def convect(zeta_hat: Tensor) -> Tensor:
            convection = self._minus_divergence(u * self.decode(zeta_hat))
            return convection if f_hat is None else convection + f_hat

        return convect

    def tangent(self, u_hat: Tensor, t: float) -> Callable[[Tensor], Tensor]:
        """ζ ↦ -∇·(uζ + vω)^, v the velocity of ζ."""
        u, w = self.velocity(u_hat), self.decode(u_hat)
        return lambda zeta_hat: self._minus_divergence(
            u * self.decode(zeta_hat) + w * self.velocity(zeta_hat)
        )

    def _minus_divergence(self, flux: Float[Tensor, "b 2 x y"]) -> Complex[Tensor, "b 1 *waves"]:
        """(-∇·flux)^."""
        flux_x, flux_y = rfftn(flux, 2).split(1, 1)
        return -self.cast(self.dx, flux_x) * flux_x - self.cast(self.dy, flux_y) * flux_y

    def rate(self, u_hat: Complex[Tensor, "b 1 *waves"], t: float = 0.0) -> Float[Tensor, ""]:
        """max (|u|/h_x + |v|/h_y)."""
        return courant_rate(self.velocity(u_hat), self.grid)

    def _force_at(self, t: float, like: Tensor) -> Tensor | None:
        """f̂ at a time, (1 or b, 1, *waves), in the precision of `like`."""
        if callable(self.forcing):
            return self._transformed(self.forcing(self.cast(self.nodes, like), t))
        return None if self._f_hat is None else self.cast(self._f_hat, like)

    def _transformed(self, f: Tensor) -> Tensor:
        self.grid.check(f, "forcing")
        return self.encode(f.reshape(-1, 1, *self.grid.shape))
