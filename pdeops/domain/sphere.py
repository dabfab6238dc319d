"""Grids of a sphere: circles of latitude, and weights of integrals over the surface."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .grid import Boundary, Grid, Placement, Series, per_axis, shortest


class Latitudes(StrEnum):
    """Where the n circles of latitude of a sphere lie; θ is the angle from the north pole."""

    EQUIANGULAR = "equiangular"  # θ_i = i π/(n-1): both poles are stored, n_lon times each
    GAUSS = "gauss"  #             cos θ_i are the roots of the Legendre polynomial of degree n


@dataclass(frozen=True)
class Sphere(Grid):
    """Nodes of a sphere: circles of latitude from north to south, on each longitudes λ_j = 2πj/n.

    `Sphere((33, 64))` stores both poles; solvers take `Sphere((32, 64), "gauss")`. Axes and
    nodes are the angles (θ, λ) in [0, π] x [0, 2π), as of the box with Neumann and periodic ends
    that this also is: `series`, and with it `spectral`, Sobolev norms and bands, know that box (the
    waves of a sphere are in `spherical`). Integrals are those of the sphere.

    Attributes:
        latitudes: their places, a `Latitudes`.
        radius: R.

    Raises:
        ValueError: shape is not (n_lat, n_lon), or the radius is not positive.
    """

    kind: ClassVar[str] = "sphere"

    latitudes: Latitudes = Latitudes.EQUIANGULAR
    radius: float = 1.0

    def __init__(
        self,
        shape: Sequence[int],
        latitudes: str = Latitudes.EQUIANGULAR,
        *,
        radius: float | int = 1.0,
    ) -> None:
        if len(shape) != 2 or not (radius > 0 and math.isfinite(radius)):
            raise ValueError(
                f"A sphere's grid needs a shape (latitudes, longitudes) and a positive radius; got "
                f"{tuple(shape)} and {radius}. Write Sphere((33, 64))."
            )
        places = per_axis("latitudes", latitudes, 1, Latitudes)[0]
        gauss = places is Latitudes.GAUSS  # near the cells' centres, within a twentieth of a cell
        super().__init__(
            shape,
            (math.pi, 2 * math.pi),
            (Boundary.NEUMANN, Boundary.PERIODIC),
            (Placement.CENTERS if gauss else Placement.ENDPOINTS, Placement.LEFT),
        )
        object.__setattr__(self, "latitudes", places)
        object.__setattr__(self, "radius", float(radius))

    def __str__(self) -> str:
        """As errors name it: "33 x 64 nodes, sphere of radius 1, equiangular"."""
        n_lat, n_lon = self.shape
        radius = shortest(self.radius)
        return f"{n_lat} x {n_lon} nodes, sphere of radius {radius}, {self.latitudes}"

    @property
    def axes(self) -> tuple[str, ...]:
        """latitude, longitude."""
        return ("latitude", "longitude")

    @property
    def volume(self) -> float:
        """Area 4πR²."""
        return 4 * math.pi * self.radius**2

    @property
    def weights(self) -> np.ndarray:
        """Those of the circles of latitude: ∫ u sin θ dθ ≈ Σ weights u."""
        return self._circles[1]

    @cached_property
    def _circles(self) -> tuple[np.ndarray, np.ndarray]:
        """θ of the circles of latitude, and weights of ∫ · sin θ dθ: Gauss's, or Clenshaw and
        Curtis's, exact for polynomials in cos θ of degree 2n-1, or n-1."""
        n = self.shape[0]
        if self.latitudes is Latitudes.GAUSS:
            cosines, weights = np.polynomial.legendre.leggauss(n)
            return np.arccos(cosines[::-1]), weights[::-1].copy()
        theta = np.linspace(0, math.pi, n)
        k = np.arange(1, (n - 1) // 2 + 1)
        b = np.where(2 * k == n - 1, 1.0, 2.0) / (4 * k**2 - 1)
        weights = 2 / (n - 1) * (1 - np.cos(2 * np.outer(theta, k)) @ b)
        weights[[0, -1]] /= 2
        return theta, weights

    def axis(self, index: int, dtype: torch.dtype = torch.float64) -> Float[Tensor, " n"]:
        """Colatitudes θ, or longitudes λ, in radians."""
        if index % 2 == 1:
            return super().axis(1, dtype)
        return torch.from_numpy(self._circles[0]).to(dtype)

    def latitude(self, dtype: torch.dtype = torch.float64) -> Float[Tensor, "n_lat 1"]:
        """φ = π/2 - θ of each circle, shaped to broadcast over longitudes."""
        return (math.pi / 2 - self.axis(0))[:, None].to(dtype)

    def quadrature(self, dtype: torch.dtype = torch.float64) -> Float[Tensor, "n_lat n_lon"]:
        """Weights w with ∫u dA ≈ Σ w u over the sphere of radius R."""
        w = torch.from_numpy(self.weights) * (2 * math.pi / self.shape[1] * self.radius**2)
        return w[:, None].expand(self.shape).to(dtype)

    def series(self, choice: Sequence[str] | str | None = None) -> tuple[Series, ...]:
        """As a box's, of the angles; not on Gauss's latitudes, which are not equally spaced."""
        if self.latitudes is Latitudes.GAUSS:
            raise ValueError(
                "Gauss's latitudes are not equally spaced, so a field on them has no series of "
                "cosines. Use spherical.SphericalTransform, or equiangular latitudes."
            )
        return super().series(choice)

    @cached_property
    def interior(self) -> "Grid":
        """Itself: a sphere has no boundary."""
        return self

    def boundary_mask(self) -> Bool[Tensor, "*space"]:
        """False everywhere."""
        return torch.zeros(self.shape, dtype=torch.bool)

    def with_shape(self, shape: Sequence[int]) -> "Sphere":
        """The same sphere with another number of nodes."""
        return Sphere(shape, self.latitudes, radius=self.radius)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, strings and numbers."""
        return {**super().to_dict(), "latitudes": self.latitudes.value, "radius": self.radius}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> "Sphere":
        """The sphere that `to_dict` described."""
        return Sphere(plain["shape"], plain["latitudes"], radius=plain["radius"])
