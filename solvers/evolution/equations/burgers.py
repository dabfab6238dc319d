"""The viscous Burgers equation on a periodic box, and its Cole-Hopf solution."""
# Axes: x points, q quadrature nodes.

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ....domain import Grid
from ..pseudospectral import require_coefficients, require_periodic
from .transport import Transport


class Burgers(Transport):
    """u_t + u·∇u = ν Δu on a periodic box; one channel per axis, in 1D u_t + (u²/2)_x = ν u_xx.

    Fronts become about 4ν/(jump of u) wide and need about five nodes (n = 256 for ν = 0.01 on the
    unit interval with |u| = 1). Use `solve_conservation_law` for thinner fronts, at which this
    method oscillates.
    """

    autonomous = True

    def __init__(self, grid: Grid, viscosity: float | int) -> None:
        require_periodic(grid, "Burgers' equation")
        require_coefficients("Burgers' equation", viscosity=viscosity)
        super().__init__(grid, diffusivity=viscosity, num_channels=grid.ndim)
        self.conserves_mean = grid.ndim == 1  # u·∇u is a divergence in 1D only
        self.viscosity = float(viscosity)

    def velocity(self, u: Tensor, x: Tensor, t: Any) -> Tensor:
        """u itself."""
        return u


def cole_hopf(
    u0: Callable[[Tensor], Tensor],
    potential: Callable[[Tensor], Tensor],
    x: Float[Tensor, " x"],
    t: float | int,
    viscosity: float | int,
    *,
    num_nodes: int = 100,
) -> Float[Tensor, " x"]:
    """The solution of u_t + u u_x = ν u_xx on the line at x and t > 0, for u0 = potential'.

    u = ∫ u0 φ / ∫ φ with φ(y) = exp(-potential(y)/2ν - (x - y)²/4νt) (Cole 1951, Hopf 1950), by
    Gauss-Hermite quadrature about x. The largest exponent is factored out, so that small ν does not
    overflow, unlike the usual series of Bessel functions. 100 nodes give 12 digits for
    u0 = -sin πx, ν = 0.01/π, t <= 1; 400 nodes suffice down to ν = 3e-4; `hopf_lax` is the limit
    ν -> 0.

    Raises:
        ValueError: t or ν is not positive, or the nodes miss a part of the large integrand.
    """
    from scipy.special import roots_hermite

    if not (t > 0 and viscosity > 0):
        raise ValueError(f"t and viscosity must be positive; got {t} and {viscosity}.")
    s, weights = (torch.from_numpy(v) for v in roots_hermite(num_nodes))
    y = x.double()[:, None] - 2 * (viscosity * t) ** 0.5 * s
    exponent = -potential(y) / (2 * viscosity)
    usable = weights > 1e-290  # the outer weights underflow from about 400 nodes on
    inside = usable & usable.roll(1) & usable.roll(-1)
    inside[[0, -1]] = False
    log_integrand = exponent - s**2
    if not (log_integrand[:, ~inside].amax(1) < log_integrand[:, inside].amax(1) - 25).all():
        raise ValueError(
            f"{num_nodes} Gauss-Hermite nodes are too few at ν = {viscosity}, t = {t}: the "
            f"integrand is large beyond them. Use more (400 at most), a larger ν, or hopf_lax."
        )
    phi = weights * (exponent - exponent[:, inside].amax(1, keepdim=True)).clamp(max=600).exp()
    return ((u0(y) * phi).sum(1) / phi.sum(1)).to(x.dtype)
