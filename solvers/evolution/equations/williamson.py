"""Test flows for shallow water solvers on the sphere: initial fields (3, lat, lon) of depth,
vorticity and divergence, and the topography.

Williamson et al. (1992), J. Comput. Phys. 102, 211; Galewsky, Scott and Polvani (2004), Tellus A
56, 429. SI units; radius, rotation and gravity of the earth by default.
"""
# Axes: lat lon nodes; φ latitude (lat, 1), λ longitude (lon).

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ....domain import Sphere
from .shallow_water import EARTH_GRAVITY, EARTH_ROTATION

_JET = (math.pi / 7, math.pi / 2 - math.pi / 7)  # latitudes between which the jet blows
_JET_NODES = 256  # nodes of the Gauss rule for the depth of the jet; gives 13 digits


def steady_flow(
    grid: Sphere,
    *,
    speed: float | int = 2 * math.pi * 6.37122e6 / (12 * 86400),
    depth: float | int = 2.94e4 / EARTH_GRAVITY,
    tilt: float | int = 0.0,
    rotation: float | int = EARTH_ROTATION,
    gravity: float | int = EARTH_GRAVITY,
) -> Float[Tensor, "3 lat lon"]:
    """Case 2: rigid rotation about an axis tilted by `tilt`, in geostrophic balance; steady.

    h = depth - (RΩu + u²/2) s²/g and ζ = 2u s/R with s = sin φ cos α - cos λ cos φ sin α; speed
    and depth are those at the flow's equator, s = 0.
    """
    phi, lam = grid.latitude(), grid.axis(1)
    s = phi.sin() * math.cos(tilt) - lam.cos() * phi.cos() * math.sin(tilt)
    h = depth - (grid.radius * rotation * speed + speed**2 / 2) / gravity * s.square()
    return torch.stack([h, 2 * speed / grid.radius * s, torch.zeros_like(h)])


def mountain(grid: Sphere) -> tuple[Float[Tensor, "3 lat lon"], Float[Tensor, "lat lon"]]:
    """Case 5: a zonal flow of 20 m/s over a cone 2000 m high at 30° north: fields and topography.

    The surface is that of case 2 at 5960 m. The cone has a kink, so convergence is of order two.
    """
    phi, lam = grid.latitude(), grid.axis(1)
    width = math.pi / 9
    distance = ((lam - 3 * math.pi / 2).square() + (phi - math.pi / 6).square()).sqrt()
    ground = 2000 * (1 - distance.clamp(max=width) / width)
    fields = steady_flow(grid, speed=20.0, depth=5960.0)
    fields[0] -= ground
    return fields, ground


def rossby_haurwitz(
    grid: Sphere,
    *,
    wavenumber: int = 4,
    rate: float | int = 7.848e-6,
    depth: float | int = 8000.0,
    rotation: float | int = EARTH_ROTATION,
    gravity: float | int = EARTH_GRAVITY,
) -> Float[Tensor, "3 lat lon"]:
    """Case 6: a Rossby-Haurwitz wave, ψ = -R² ω sin φ + R² K cos^r φ sin φ cos rλ with
    ω = K = rate, r = wavenumber. The barotropic equation moves it east with constant shape, and the
    shallow water equations nearly so."""
    phi, lam = grid.latitude(), grid.axis(1)
    r, K, c, s = wavenumber, float(rate), phi.cos(), phi.sin()
    zeta = 2 * K * s - K * s * c**r * (r**2 + 3 * r + 2) * (r * lam).cos()
    A = K / 2 * (2 * rotation + K) * c**2 + K**2 / 4 * c ** (2 * r) * (
        (r + 1) * c**2 + (2 * r**2 - r - 2)
    )
    A = A - K**2 / 2 * r**2 * c ** (2 * r - 2)
    B = 2 * (rotation + K) * K / ((r + 1) * (r + 2)) * c**r
    B = B * (r**2 + 2 * r + 2 - (r + 1) ** 2 * c**2)
    C = K**2 / 4 * c ** (2 * r) * ((r + 1) * c**2 - (r + 2))
    h = depth + grid.radius**2 / gravity * (A + B * (r * lam).cos() + C * (2 * r * lam).cos())
    return torch.stack([h, zeta, torch.zeros_like(h)])


def galewsky_jet(
    grid: Sphere,
    *,
    speed: float | int = 80.0,
    depth: float | int = 10000.0,
    rotation: float | int = EARTH_ROTATION,
    gravity: float | int = EARTH_GRAVITY,
) -> Float[Tensor, "3 lat lon"]:
    """A jet from 26° to 64° north in balance with its depth, of mean `depth`: steady, unstable.

    u = speed exp(4/(φ₁-φ₀)²) exp(1/((φ-φ₀)(φ-φ₁))) between φ₀ = π/7 and φ₁ = π/2 - φ₀, and
    g h' = -∫ u (2ΩR sin φ + u tan φ) dφ.
    """
    phi = grid.latitude()
    u, slope = _jet(phi, float(speed))
    zeta = (u * phi.tan() - slope) / grid.radius

    nodes, weights = (torch.from_numpy(v) for v in np.polynomial.legendre.leggauss(_JET_NODES))

    def fall(to: Tensor) -> Tensor:
        """h(φ₀) - h(φ)."""
        half = (to.clamp(*_JET) - _JET[0]) / 2
        x = _JET[0] + half * (nodes + 1)
        wind, _ = _jet(x, float(speed))
        force = wind * (2 * rotation * grid.radius * x.sin() + wind * x.tan())
        return half * (force @ weights)[..., None] / gravity

    # The mean of the fall over the sphere, ∫ fall cos φ dφ / 2: inside the jet, and north of it.
    x = (_JET[0] + (_JET[1] - _JET[0]) / 2 * (nodes + 1))[:, None]
    inside = (_JET[1] - _JET[0]) / 2 * (weights @ (fall(x) * x.cos())).item()
    north = fall(torch.tensor([[_JET[1]]], dtype=torch.float64)).item() * (1 - math.sin(_JET[1]))
    h = depth + (inside + north) / 2 - fall(phi)
    return torch.stack([v.expand(grid.shape) for v in (h, zeta, torch.zeros_like(h))])


def bump(
    grid: Sphere,
    *,
    height: float | int = 120.0,
    latitude: float | int = math.pi / 4,
    longitude: float | int = math.pi,
    width: tuple[float, float] = (1 / 3, 1 / 15),
) -> Float[Tensor, "lat lon"]:
    """Galewsky's perturbation of the depth: height cos φ exp(-(Δλ/α)² - (Δφ/β)²), width (α, β)."""
    phi, lam = grid.latitude(), grid.axis(1)
    away = torch.remainder(lam - longitude + math.pi, 2 * math.pi) - math.pi
    alpha, beta = width
    return height * phi.cos() * torch.exp(-((away / alpha) ** 2) - ((phi - latitude) / beta) ** 2)


def _jet(phi: Tensor, speed: float) -> tuple[Tensor, Tensor]:
    """Wind u of the jet and its derivative du/dφ."""
    a, b = _JET
    inside = (phi > a) & (phi < b)
    product = torch.where(inside, (phi - a) * (phi - b), -1.0)
    u = torch.where(inside, speed * torch.exp(4 / (b - a) ** 2 + 1 / product), 0.0)
    return u, -u * (2 * phi - a - b) / product**2
