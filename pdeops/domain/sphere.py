"""Sphere: circles of latitude, and weights of integrals over the surface."""

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

from .domain import check_keys
from .grid import check_shape, per_axis, shortest


class Latitudes(StrEnum):
    """Positions of the n circles of latitude; θ is the colatitude, measured from the north pole."""

    EQUIANGULAR = "equiangular"  # θ_i = i π/(n-1): both poles are stored, n_lon times each
    GAUSS = "gauss"  #             cos θ_i are the roots of the Legendre polynomial of degree n


_MIN_LATITUDES = {Latitudes.EQUIANGULAR: 2, Latitudes.GAUSS: 1}


@dataclass(frozen=True)
class Sphere:
    """Grid of a sphere: circles of latitude from north to south, with longitudes λ_j = 2πj/n.

    `Sphere((33, 64))` stores both poles; solvers use `Sphere((32, 64), "gauss")`. Nodes are given
    by their angles (θ, λ) in [0, π] x [0, 2π). Integrals are over the surface, and fields are
    expanded in spherical harmonics (`calculus.sphere`).

    Attributes:
        shape: (n_lat, n_lon); n_lat is at least 2 if both poles are stored, else 1.
        latitudes: positions of the circles of latitude, a `Latitudes`.
        radius: radius R of the sphere.

    Raises:
        ValueError: shape is not (n_lat, n_lon), or the radius is not positive.
    """

    kind: ClassVar[str] = "sphere"
    axes: ClassVar[tuple[str, ...]] = ("latitude", "longitude")
    ndim: ClassVar[int] = 2

    shape: tuple[int, ...]
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
                f"A sphere needs a shape (latitudes, longitudes) and a positive radius; got "
                f"{tuple(shape)} and {radius}. Write Sphere((33, 64))."
            )
        places = per_axis("latitudes", latitudes, 1, Latitudes)[0]
        n_lat, n_lon = (int(n) for n in shape)
        if n_lat < _MIN_LATITUDES[places] or n_lon < 1:
            raise ValueError(
                f"A sphere needs at least {_MIN_LATITUDES[places]} circles of latitude "
                f"({places.value}) and one longitude; got {tuple(shape)}. Use a larger shape."
            )
        object.__setattr__(self, "shape", (n_lat, n_lon))
        object.__setattr__(self, "latitudes", places)
        object.__setattr__(self, "radius", float(radius))

    def __str__(self) -> str:
        """Text for error messages: "33 x 64 nodes, sphere of radius 1, equiangular"."""
        n_lat, n_lon = self.shape
        radius = shortest(self.radius)
        return f"{n_lat} x {n_lon} nodes, sphere of radius {radius}, {self.latitudes}"

    @property
    def num_nodes(self) -> int:
        """Number of nodes; each pole counts once per longitude."""
        return math.prod(self.shape)

    @property
    def volume(self) -> float:
        """Area 4πR²."""
        return 4 * math.pi * self.radius**2

    @property
    def region(self) -> dict[str, Any]:
        """Radius and kind of latitudes."""
        return {k: v for k, v in self.to_dict().items() if k != "shape"}

    @property
    def poles_stored(self) -> bool:
        """Whether the first and the last circle are the poles."""
        return self.latitudes is Latitudes.EQUIANGULAR

    @property
    def cells(self) -> tuple[int, ...]:
        """Number of intervals per axis: from pole to pole, and around the axis."""
        return (self.shape[0] - self.poles_stored, self.shape[1])

    @property
    def offset(self) -> tuple[float, ...]:
        """Position of the first node per axis, in cells; Gauss latitudes are near cell centres."""
        return (0.0 if self.poles_stored else 0.5, 0.0)

    @property
    def weights(self) -> np.ndarray:
        """Weights of the circles of latitude: ∫ u sin θ dθ ≈ Σ weights u."""
        return self._circles[1]

    @cached_property
    def _circles(self) -> tuple[np.ndarray, np.ndarray]:
        """θ of the circles of latitude, and weights of ∫ · sin θ dθ. Gauss weights are exact for
        polynomials in cos θ of degree 2n-1, Clenshaw-Curtis weights for degree n-1."""
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
            n = self.shape[1]
            return (torch.arange(n, dtype=torch.float64) * (2 * math.pi / n)).to(dtype)
        return torch.from_numpy(self._circles[0]).to(dtype)

    def nodes(self, dtype: torch.dtype = torch.float64) -> Float[Tensor, "2 n_lat n_lon"]:
        """(θ, λ) of all nodes."""
        return torch.stack(torch.meshgrid(self.axis(0, dtype), self.axis(1, dtype), indexing="ij"))

    def latitude(self, dtype: torch.dtype = torch.float64) -> Float[Tensor, "n_lat 1"]:
        """φ = π/2 - θ of each circle, shaped to broadcast over longitudes."""
        return (math.pi / 2 - self.axis(0))[:, None].to(dtype)

    def quadrature(self, dtype: torch.dtype = torch.float64) -> Float[Tensor, "n_lat n_lon"]:
        """Weights w with ∫u dA ≈ Σ w u over the sphere of radius R."""
        w = torch.from_numpy(self.weights) * (2 * math.pi / self.shape[1] * self.radius**2)
        return w[:, None].expand(self.shape).to(dtype)

    def mean_weights(self, dtype: torch.dtype = torch.float64) -> Float[Tensor, "n_lat n_lon"]:
        """Quadrature weights divided by the area; equal weights would overweight the poles."""
        return (self.quadrature() / self.volume).to(dtype)

    def outermost(self) -> Bool[Tensor, "n_lat n_lon"]:
        """False everywhere: a sphere has no boundary."""
        return torch.zeros(self.shape, dtype=torch.bool)

    def mask_padding(self, u: Tensor) -> Tensor:
        """u itself: a sphere has no padding."""
        return u

    def at(self, batch: Any) -> "Sphere":
        """Self: all samples have the same nodes."""
        return self

    def with_shape(self, shape: Sequence[int]) -> "Sphere":
        """The same sphere with another number of nodes."""
        return Sphere(shape, self.latitudes, radius=self.radius)

    def refined(self, factor: int) -> "Sphere":
        """The sphere with `factor` times as many intervals per axis; equiangular nodes nest."""
        (rows, columns), more = self.cells, self.shape[0] - self.cells[0]
        return self.with_shape((factor * rows + more, factor * columns))

    def check(self, u: Tensor, name: str = "field") -> None:
        """Raise a ValueError unless the last axes of u are those of the sphere."""
        check_shape(u, self.shape, name)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, strings and numbers, for files; `from_dict` reads them."""
        return {
            "kind": self.kind,
            "shape": list(self.shape),
            "latitudes": self.latitudes.value,
            "radius": self.radius,
        }

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> "Sphere":
        """The sphere that `to_dict` described; a ValueError if it has other keys."""
        check_keys(plain, ("shape", "latitudes", "radius"))
        return Sphere(plain["shape"], plain["latitudes"], radius=plain["radius"])
