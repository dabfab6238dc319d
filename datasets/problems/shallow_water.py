"""Shallow water on the rotating earth, from random initial fields; see cards/shallow_water.md."""
# Axes: c depth, vorticity, divergence; lat lon nodes; l degree, m order.

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from ...calculus.spherical import SphericalTransform, evaluate, unaliased_degree
from ...domain import Domain, Latitudes, Sphere
from ...solvers.evolution.equations.shallow_water import EARTH_RADIUS
from ...solvers.evolution.equations.shallow_water import ShallowWater as Equation
from ...solvers.evolution.equations.williamson import bump, galewsky_jet
from ...solvers.evolution.evolution import Evolution
from .evolution import EvolutionProblem


@dataclass(frozen=True)
class Random:
    """Random winds with energy near the degree `peak`, a balanced depth, and unbalanced waves.

    The stream function has the variance κ⁻¹ (1 + (κ/peak)⁴)⁻¹ per wave, κ² = l(l+1), scaled so that
    the winds of each sample have root mean square `speed`. The depth is h = H + balance + waves:
    balance makes δ_t = 0; the waves have the same spectrum and root mean square `waves`. δ = 0.
    """

    mean_depth: float = 10000.0
    speed: float = 20.0
    waves: float = 30.0
    peak: float = 6.0
    num_waves: int = 32
    t_end: float = 48.0
    num_frames: int = 8
    dt: float = 360.0
    degree: int = 85
    viscosity: float = 2e15

    isometric: ClassVar[bool] = False  # the earth turns one way

    def sample(self, grid: Sphere, random: np.random.Generator) -> Float[Tensor, "3 lat lon"]:
        """h, ζ, δ at the nodes, in float64."""
        balance = _solver(2 * self.num_waves, self.mean_depth, 0.0)  # holds products of two waves
        n = 2 * self.num_waves + 1
        psi, waves = (self._draw(random, n) for _ in range(2))
        laplacian = balance.transform.laplacian
        zeta = laplacian * psi
        energy = -(_power(psi) * laplacian).sum() / (4 * math.pi)  # mean of |v|²
        zeta = zeta * (self.speed / energy.sqrt())
        waves = waves * (self.waves / (_power(waves).sum() / (4 * math.pi)).sqrt())

        state = torch.stack([torch.zeros_like(zeta), zeta, torch.zeros_like(zeta)])[None]
        units = balance.units
        tendency = (balance.nonlinear(state / units, 0.0) * units)[0, 2]  # of δ, at h' = 0
        h = balance.transform.inverse_laplacian * tendency / balance.gravity + waves
        u = evaluate(torch.stack([h, zeta, torch.zeros_like(zeta)]), grid)
        u[0] += self.mean_depth
        return u

    def _draw(self, random: np.random.Generator, n: int) -> Complex[Tensor, "n n"]:
        """Coefficients of a real field with the spectrum, degrees 1 to num_waves of n - 1."""
        count = self.num_waves + 1
        normal = torch.from_numpy(random.standard_normal((count, count, 2)))
        c = torch.view_as_complex(normal) * math.sqrt(0.5)
        c[:, 0] = normal[:, 0, 0]
        l = torch.arange(count, dtype=torch.float64)[:, None]
        kappa = (l * (l + 1)).sqrt()
        std = (kappa * (1 + (kappa / self.peak) ** 4)).rsqrt()
        c = torch.where(l > 0, std * c, 0).tril()
        return torch.nn.functional.pad(c, (0, n - count, 0, n - count))


@dataclass(frozen=True)
class Galewsky:
    """Galewsky's unstable jet with bumps at random positions; it forms vortices within five days.

    The jet has the maximum `speed` between 26° and 64° north and is in balance with its depth.
    `num_bumps` bumps (`williamson.bump`) with heights N(0, height²) are added, centred at random
    longitudes and at latitudes between 30° and 60° north.
    """

    mean_depth: float = 10000.0
    speed: float = 80.0
    height: float = 120.0
    num_bumps: int = 3
    t_end: float = 144.0
    num_frames: int = 12
    dt: float = 240.0
    degree: int = 85
    viscosity: float = 2e15

    isometric: ClassVar[bool] = False

    def sample(self, grid: Sphere, random: np.random.Generator) -> Float[Tensor, "3 lat lon"]:
        """h, ζ, δ at the nodes, in float64."""
        u = galewsky_jet(grid, speed=self.speed, depth=self.mean_depth)
        for _ in range(self.num_bumps):
            height = self.height * random.standard_normal()
            longitude = random.uniform(0, 2 * math.pi)
            latitude = random.uniform(math.pi / 6, math.pi / 3)
            u[0] += bump(grid, height=height, latitude=latitude, longitude=longitude)
        return u


class ShallowWater(EvolutionProblem):
    """Trajectories of depth, vorticity and divergence, times in hours.

    The solution has spherical harmonics up to `degree`, independently of the stored grid. The file
    stores its values at the nodes, which include both poles.
    """

    name = "shallow_water"
    equation = (
        "height_t + div(height v) = 0, vorticity_t + div((vorticity + f) v) = - D vorticity, "
        "divergence_t - curl((vorticity + f) v) + laplace(|v|^2 / 2 + g height) = - D divergence, "
        "D = viscosity (- laplace - 2 / R^2)^2, on the rotating earth"
    )
    fields = (
        ("height", "depth of the fluid", "m"),
        ("vorticity", "vertical component of the wind's curl", "1/s"),
        ("divergence", "divergence of the wind", "1/s"),
    )
    time_units = ("h", 3600.0)
    KINDS = {"random": Random, "galewsky": Galewsky}  # noqa: RUF012 - a ClassVar of Generated
    inputs: Random | Galewsky

    def grid(self, shape: Sequence[int]) -> Sphere:
        """The earth with this many circles of latitude, poles included, and longitudes."""
        grid = Sphere(shape, radius=EARTH_RADIUS)
        self.check_grid(grid)
        return grid

    def check_grid(self, grid: Domain) -> None:
        """Raise a ValueError unless the grid is the earth's, with both poles stored."""
        if (
            not isinstance(grid, Sphere)
            or grid.radius != EARTH_RADIUS
            or grid.latitudes is not Latitudes.EQUIANGULAR
            or min(grid.shape) < 8
        ):
            raise ValueError(
                f"{self.name} {self.kind} is stored on equiangular latitudes of the earth, radius "
                f"{EARTH_RADIUS:g} m, with at least 8 nodes per axis; got {grid}. Use "
                f"{self.name}'s grid((33, 64))."
            )

    def equation_on(self, grid: Sphere) -> Evolution:
        """The solver's equation: on Gauss latitudes of the largest degree without aliasing there,
        on a stored grid of `degree`."""
        gauss = grid.latitudes is Latitudes.GAUSS
        degree = unaliased_degree(grid) if gauss else self.inputs.degree
        return _solver(degree, self.inputs.mean_depth, self.inputs.viscosity)

    def solver_grid(self, grid: Sphere) -> Sphere:
        """The Gauss grid for `degree`, independent of the stored grid."""
        return gauss_grid(self.inputs.degree)

    def stored(
        self, u: Float[Tensor, "*batch_fine"], grid: Sphere
    ) -> Float[Tensor, "*batch_space"]:
        """The exact values of the solution at the nodes."""
        transform = SphericalTransform(gauss_grid(self.inputs.degree))
        return evaluate(transform.forward(u), grid)


def gauss_grid(degree: int) -> Sphere:
    """The coarsest grid on which products of two fields of this degree do not alias."""
    n_lat = 3 * degree // 2 + 1
    return Sphere((n_lat, 2 * n_lat), "gauss", radius=EARTH_RADIUS)


@lru_cache(maxsize=4)
def _solver(degree: int, mean_depth: float, viscosity: float) -> Equation:
    """The equation, cached because its Legendre tables are expensive to compute."""
    return Equation(gauss_grid(degree), mean_depth, viscosity=viscosity, degree=degree)


def _power(u_hat: Complex[Tensor, "l m"]) -> Float[Tensor, "l 1"]:
    """∫u² on the unit sphere by degree."""
    squares = u_hat.abs().square()
    return squares[:, :1] + 2 * squares[:, 1:].sum(1, keepdim=True)
