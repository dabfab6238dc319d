"""The shallow water equations on a rotating sphere, in vorticity, divergence and depth."""
# Axes: b batch, c channel (depth, vorticity, divergence), lat lon nodes, l degree, m order.

import math
from collections.abc import Callable

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from ....calculus.spherical import SphericalTransform
from ....domain import Latitudes, Sphere
from ..evolution import Evolution
from ..pseudospectral import require_coefficients

# Constants of Williamson et al. (1992), in SI units.
EARTH_RADIUS = 6.37122e6
EARTH_ROTATION = 7.292e-5
EARTH_GRAVITY = 9.80616


class ShallowWater(Evolution):
    """Depth h, vorticity ζ and divergence δ of a layer of fluid, v its wind:

        h_t = -∇·(hv),   ζ_t = -∇·((ζ+f)v) - Dζ,
        δ_t = k·∇×((ζ+f)v) - Δ(|v|²/2 + g(h+b)) - Dδ,

    f = 2Ω sin φ, b the height of the ground, D = ν(-Δ - 2/R²)^(order/2), which does not damp a
    rigid rotation. Spherical harmonics end at degree L with 3L < 2 n_lat, so that no product of two
    fields aliases. The mean of h is conserved exactly, energy and potential enstrophy up to the
    errors of truncation and of the steps.

    The state holds h' = h - H in units of H, and ζ and δ in units of cκ/R with c = √(gH) and
    κ² = l(l+1). In these units the linear part, gravity waves in a fluid of depth H, is
    [[0, -ω], [ω, 0]] with the frequency ω = cκ/R, which ETDRK4 integrates exactly. It is not
    diagonal, so no other stepper applies. dt is limited by the wind and by h', not by c, which on
    the earth is three to five times as fast. Good values at degree 85: dt = 600 s with winds of
    80 m/s (400 s if the divergence of fast waves matters), ν = 2e15 m⁴/s, proportional to L⁻⁴.

    Args:
        grid: with Gauss's latitudes, its radius R in m; 2 n_lat longitudes suit.
        mean_depth: H in m, near the mean of h; it only separates the linear part from the rest.
        topography: b in m at the nodes.
        rotation, gravity: Ω in 1/s and g in m/s².
        tilt: angle α between the axis of rotation and the axis of the grid, in radians:
            f = 2Ω (sin φ cos α - cos λ cos φ sin α).
        viscosity: ν in m^order/s.
        order: the order of D, even.
        degree: L, by default the largest that does not alias.

    Raises:
        ValueError: equiangular latitudes, a degree that aliases, or a coefficient out of range.
    """

    num_channels = 3
    coupled = True

    def __init__(
        self,
        grid: Sphere,
        mean_depth: float | int,
        *,
        topography: Float[Tensor, "lat lon"] | None = None,
        rotation: float | int = EARTH_ROTATION,
        gravity: float | int = EARTH_GRAVITY,
        tilt: float | int = 0.0,
        viscosity: float | int = 0.0,
        order: int = 4,
        degree: int | None = None,
    ) -> None:
        name = "The shallow water equation"
        require_coefficients(name, viscosity=viscosity, gravity=gravity)
        if not (mean_depth > 0 and gravity > 0 and math.isfinite(mean_depth)):
            raise ValueError(f"{name} needs mean_depth, gravity > 0; got {mean_depth}, {gravity}.")
        if order < 2 or order % 2:
            raise ValueError(f"{name}'s order of viscosity is even, 2 at least; got {order}.")
        unaliased = SphericalTransform(grid).degree
        fits = degree is None or 1 <= degree <= unaliased
        if grid.latitudes is not Latitudes.GAUSS or not fits:
            raise ValueError(
                f"{name} is solved on Gauss's latitudes up to degree {unaliased} on {grid.shape} "
                f"nodes; got {grid.latitudes.value} latitudes and degree {degree}. Use "
                f"Sphere((n_lat, 2 * n_lat), 'gauss') with n_lat > 3/2 of the degree."
            )
        self.transform = SphericalTransform(grid, degree)
        self.mean_depth, self.gravity = float(mean_depth), float(gravity)
        R, c = grid.radius, math.sqrt(gravity * mean_depth)
        laplacian = self.transform.laplacian
        kappa = (-laplacian).sqrt() * R
        decay = viscosity * (-laplacian - 2 / R**2).clamp(min=0).pow(order // 2)
        omega = c / R * kappa
        zero = torch.zeros_like(omega)
        rows = [(zero, zero, -omega), (zero, -decay, zero), (omega, zero, -decay)]
        super().__init__(grid, torch.stack([torch.stack(row) for row in rows]))

        phi, lam = grid.latitude(), grid.axis(1)
        self.coriolis = 2 * rotation * (
            math.cos(tilt) * phi.sin() - math.sin(tilt) * phi.cos() * lam.cos()
        )  # fmt: skip
        # Units of the coefficients in the state, (c, l, 1).
        kappa = kappa.clamp(min=1)
        self.units = torch.stack([torch.full_like(kappa, mean_depth), *[c / R * kappa] * 2])
        self.per_unit = 1 / self.units
        self.per_unit[1:, 0] = 0
        self.mean = torch.zeros(self.transform.degree + 1, 1, dtype=torch.float64)
        self.mean[0] = math.sqrt(4 * math.pi) * mean_depth
        ground = torch.zeros(grid.shape) if topography is None else topography
        grid.check(ground, "topography")
        if not ground.isfinite().all():
            raise ValueError("The topography holds NaN or infinity. Check where it was made.")
        self.b_hat = self.transform.forward(ground.to("cpu", torch.float64))
        self.top = float(kappa[-1]) / R * 3 / (2 * math.pi)  # 1/h, h a third of the shortest wave

    def check(self, u: Float[Tensor, "b c *space"]) -> None:
        """Raise a ValueError unless u can be the equation's initial field."""
        super().check(u)
        if not (u[:, 0] > 0).all():
            raise ValueError(
                f"The depth, channel 0 of an initial field, must be positive; got "
                f"{u[:, 0].min():.4g} m. Use more water, or lower ground."
            )

    def encode(self, u: Float[Tensor, "b 3 lat lon"]) -> Complex[Tensor, "b 3 l m"]:
        """h, ζ, δ at the nodes as coefficients up to degree L, in the state's units."""
        u_hat = self.transform.forward(u)
        u_hat[:, 0, :, :1] -= self.cast(self.mean, u)
        return self.scaled(u_hat)

    def scaled(self, u_hat: Complex[Tensor, "b 3 l m"]) -> Complex[Tensor, "b 3 l m"]:
        """Coefficients of h', ζ, δ in the state's units. The means of ζ and δ, which vanish for
        every wind, are dropped."""
        return u_hat * self.cast(self.per_unit, u_hat)

    def decode(self, u_hat: Complex[Tensor, "b 3 l m"]) -> Float[Tensor, "b 3 lat lon"]:
        """h, ζ, δ at the nodes."""
        u = self.transform.inverse(u_hat * self.cast(self.units, u_hat))
        return torch.cat([u[:, :1] + self.mean_depth, u[:, 1:]], 1)

    def nonlinear(self, u_hat: Complex[Tensor, "b 3 l m"], t: float) -> Complex[Tensor, "b 3 l m"]:
        """The nonlinear part: -∇·(h'v), -∇·((ζ+f)v), k·∇×((ζ+f)v) - Δ(|v|²/2 + gb)."""
        T, units = self.transform, self.cast(self.units, u_hat)
        u_hat = u_hat * units
        h, zeta = T.inverse(u_hat[:, :2]).unbind(1)
        v = T.wind(u_hat[:, 1:])
        absolute = zeta + self.cast(self.coriolis, u_hat)
        fluxes = torch.stack([h[:, None] * v, absolute[:, None] * v], 1)
        (_, mass), (curl, vorticity) = (
            p.unbind(1) for p in T.vorticity_divergence(fluxes).unbind(1)
        )
        head = T.forward(v.square().sum(1) / 2) + self.gravity * self.cast(self.b_hat, u_hat)
        divergence = curl - self.cast(T.laplacian, u_hat) * head
        return torch.stack([-mass, -vorticity, divergence], 1) / units

    def tangent(
        self, u_hat: Complex[Tensor, "b 3 l m"], t: float
    ) -> Callable[[Complex[Tensor, "b 3 l m"]], Complex[Tensor, "b 3 l m"]]:
        """d ↦ N'(u) d by a central difference, which is exact because N has degree two. d is scaled
        to the size of u, so that no digits are lost."""
        size = torch.linalg.vector_norm(u_hat.detach())

        def derivative(d_hat: Complex[Tensor, "b 3 l m"]) -> Complex[Tensor, "b 3 l m"]:
            d_size = torch.linalg.vector_norm(d_hat.detach())
            scale = torch.where((d_size > 0) & (size > 0), size / d_size, 1.0)
            ahead, back = (self.nonlinear(u_hat + s * scale * d_hat, t) for s in (1, -1))
            return (ahead - back) / (2 * scale)

        return derivative

    def rate(self, u_hat: Complex[Tensor, "b 3 l m"], t: float = 0.0) -> Float[Tensor, ""]:
        """max |v| / h, where h is a third of the shortest wavelength 2πR/κ."""
        wind = self.wind(u_hat)
        return wind.square().sum(1).amax().sqrt() * self.top

    def positive(self, u_hat: Complex[Tensor, "b 3 l m"]) -> Float[Tensor, ""]:
        """The least depth; the spectral method does not detect a negative one."""
        return self.mean_depth * (1 + self.transform.inverse(u_hat[:, 0]).amin())

    def fault(self, value: float) -> str:
        """A depth that is not positive."""
        return f"the layer is dry somewhere, with a depth of {value:.3g} m"

    def wind(self, u_hat: Complex[Tensor, "b 3 l m"]) -> Float[Tensor, "b 2 lat lon"]:
        """Eastward and northward wind of a state."""
        return self.transform.wind((u_hat * self.cast(self.units, u_hat))[:, 1:])

    def field(
        self, wind: Float[Tensor, "b 2 lat lon"], depth: Float[Tensor, "b lat lon"]
    ) -> Float[Tensor, "b 3 lat lon"]:
        """h, ζ, δ of a wind, eastward and northward, and a depth at the nodes."""
        rotation = self.transform.inverse(self.transform.vorticity_divergence(wind))
        return torch.cat([depth[:, None], rotation], 1)

    def invariants(self, u: Float[Tensor, "b 3 lat lon"]) -> dict[str, Float[Tensor, " b"]]:
        """Per sample mass ∫h, energy ∫ h|v|²/2 + g(h²/2 + hb), potential enstrophy ∫ (ζ+f)²/2h."""
        w = self.grid.quadrature().to(u)
        v = self.transform.wind(self.transform.forward(u[:, 1:]))
        b = self.transform.inverse(self.b_hat).to(u)
        h, absolute = u[:, 0], u[:, 1] + self.cast(self.coriolis, u)
        energy = h * v.square().sum(1) / 2 + self.gravity * (h.square() / 2 + h * b)
        densities = {"mass": h, "energy": energy, "enstrophy": absolute.square() / (2 * h)}
        return {name: (w * density).sum((-2, -1)) for name, density in densities.items()}
