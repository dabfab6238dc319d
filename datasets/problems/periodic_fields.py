"""Random fields on periodic boxes, defined as functions independent of the grid.

Axes: k real waves of one axis, *modes of all, *space nodes.
"""

import math
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...domain import Grid


@dataclass(frozen=True)
class PeriodicGaussianField:
    """Gaussian field N(0, scale² (-Δ + τ²)^(-α)) of zero mean on a periodic box.

    u(x) = scale Σ_k (|ξ_k|² + τ²)^(-α/2) N_k φ_k(x), with N_k standard normal and φ_k the products
    of 1/√L, √(2/L) cos(2πm x/L) and √(2/L) sin(2πm x/L), m = 1 .. num_waves. A draw is the same
    function on every grid. The distribution is translation-invariant.

    Raises:
        ValueError: a parameter is out of range.
    """

    tau: float
    alpha: float
    scale: float = 1.0
    num_waves: int = 32

    def __post_init__(self) -> None:
        if not (self.tau > 0 and self.alpha > 0 and self.scale > 0 and self.num_waves >= 1):
            raise ValueError(
                f"A periodic Gaussian field needs tau, alpha, scale > 0 and num_waves >= 1; got "
                f"tau {self.tau}, alpha {self.alpha}, scale {self.scale}, num_waves "
                f"{self.num_waves}."
            )

    def sample(self, grid: Grid, random: np.random.Generator) -> Float[Tensor, "*space"]:
        """One draw at the nodes of the grid, in float64."""
        squared = squared_wavenumbers(self.num_waves, grid)
        std = self.scale * (squared + self.tau**2) ** (-self.alpha / 2)
        return synthesise(std * normal(squared, random), grid)


@dataclass(frozen=True)
class RingVorticity:
    """Vorticity of a flow with energy near the wavenumber `peak` and mean energy ½ |u|² = ½.

    The stream function has the variance |ξ|⁻¹ (1 + (|ξ|/peak)⁴)⁻¹ per wave (McWilliams 1984); each
    sample is then scaled to the same energy.
    """

    peak: float = 4.0
    num_waves: int = 32

    def __post_init__(self) -> None:
        if not (self.peak > 0 and self.num_waves >= 1):
            raise ValueError(
                f"The vorticity needs peak > 0 and num_waves >= 1; got {self.peak} and "
                f"{self.num_waves}."
            )

    def sample(self, grid: Grid, random: np.random.Generator) -> Float[Tensor, "*space"]:
        """One draw at the nodes of the grid, in float64."""
        squared = squared_wavenumbers(self.num_waves, grid)
        xi = squared.sqrt()
        psi = (xi * (1 + (xi / self.peak) ** 4)).rsqrt() * normal(squared, random)
        psi = torch.where(squared == 0, 0, psi)
        energy = (squared * psi**2).sum() / math.prod(grid.extent)  # mean of |u|²
        return synthesise(squared * psi / energy.sqrt(), grid)


def squared_wavenumbers(num_waves: int, grid: Grid) -> Float[Tensor, "*modes"]:
    """|ξ|² of each product of real waves; per axis 1, cos 1, sin 1, cos 2, sin 2, ..."""
    m = (torch.arange(2 * num_waves + 1, dtype=torch.float64) + 1).div(2, rounding_mode="floor")
    return reduce(lambda a, b: a[..., None] + b, [(2 * math.pi / L * m) ** 2 for L in grid.extent])


def normal(like: Tensor, random: np.random.Generator) -> Float[Tensor, "*modes"]:
    """Standard normal coefficients for all modes except the constant, which gets 0."""
    numbers = torch.from_numpy(random.standard_normal(tuple(like.shape)))
    numbers.view(-1)[0] = 0
    return numbers


def synthesise(coefficients: Float[Tensor, "*modes"], grid: Grid) -> Float[Tensor, "*space"]:
    """Values at the nodes of the function with these coefficients in orthonormal real waves."""
    u = coefficients
    for axis, L in enumerate(grid.extent):
        m = torch.arange(1, u.shape[0] // 2 + 1, dtype=torch.float64)
        angle = 2 * math.pi / L * grid.axis(axis)[:, None] * m
        pairs = torch.stack([torch.cos(angle), torch.sin(angle)], -1).flatten(1) * math.sqrt(2 / L)
        constant = torch.full((len(pairs), 1), math.sqrt(1 / L), dtype=torch.float64)
        u = torch.tensordot(u, torch.cat([constant, pairs], 1), dims=([0], [1]))
    return u.contiguous()
