"""The Gray-Scott reaction-diffusion system."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Inexact
from torch import Tensor

from ....domain import Grid
from ..pseudospectral import PseudoSpectral, laplacian_symbol, require_coefficients


class GrayScott(PseudoSpectral):
    """u_t = D_u Δu - u v² + F (1 - u),  v_t = D_v Δv + u v² - (F + k) v; channels (u, v).

    u is supplied at the rate F and converted to v, which decays (Pearson 1993). u = 1, v = 0 is
    stable; depending on F and k, spots of v divide or grow into stripes or waves. Good values: D_u
    = 2e-5, D_v = 1e-5 on [0, 2.5]², n = 256; F = 0.04, k = 0.06 (stripes), F = 0.03, k = 0.062
    (dividing spots); dt = 1, t up to 1e4. Periodic or Neumann sides.
    """

    degree = 3
    num_channels = 2

    def __init__(
        self,
        grid: Grid,
        feed: float | int = 0.04,
        kill: float | int = 0.06,
        *,
        diffusivity: Sequence[float | int] = (2e-5, 1e-5),
        series: Sequence[str] | str | None = None,
    ) -> None:
        D_u, D_v = diffusivity
        require_coefficients("Gray-Scott", feed=feed, kill=kill, D_u=D_u, D_v=D_v)
        laplacian = laplacian_symbol(grid, series)
        symbol = torch.stack([D_u * laplacian - feed, D_v * laplacian - feed - kill])
        super().__init__(grid, symbol, series)
        self.feed, self.kill = float(feed), float(kill)
        self.diffusivity = (D_u, D_v)

    def on(self, grid: Grid) -> "GrayScott":
        """The same equation on another grid of the box."""
        return GrayScott(
            grid, self.feed, self.kill, diffusivity=self.diffusivity, series=self.series
        )

    def nonlinear(self, u_hat: Inexact[Tensor, "b 2 *waves"], t: float) -> Inexact[Tensor, "..."]:
        """(F - u v², u v²)^."""
        u, v = self.at_nodes(u_hat).split(1, 1)
        reaction = u * v**2
        return self.waves(torch.cat([self.feed - reaction, reaction], 1))

    def frozen(self, u_hat: Tensor, t: float) -> Callable[[Tensor], Tensor]:
        """w ↦ (F - v² w_u, v² w_u)^ with v of the given state."""
        rate = self.at_nodes(u_hat)[:, 1:].square()

        def react(w_hat: Tensor) -> Tensor:
            reaction = rate * self.at_nodes(w_hat)[:, :1]
            return self.waves(torch.cat([self.feed - reaction, reaction], 1))

        return react

    def tangent(self, u_hat: Tensor, t: float) -> Callable[[Tensor], Tensor]:
        """d ↦ (-ρ, ρ)^ with ρ = v² d_u + 2uv d_v."""
        u, v = self.at_nodes(u_hat).split(1, 1)
        slopes = torch.cat([v.square(), 2 * u * v], 1)

        def react(d_hat: Tensor) -> Tensor:
            reaction = (slopes * self.at_nodes(d_hat)).sum(1, keepdim=True)
            return self.waves(torch.cat([-reaction, reaction], 1))

        return react
