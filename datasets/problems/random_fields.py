"""Random fields defined as functions independent of the grid: sample i agrees on every grid.

Axes: k l modes, x y space.
"""

import math
from dataclasses import dataclass
from functools import lru_cache, reduce

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...domain import Grid


def sample_generator(seed: int, index: int) -> np.random.Generator:
    """The random generator of sample `index`, which depends on (seed, index) only.

    It is Philox keyed by numpy's SeedSequence, independent of worker, order and grid.
    """
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, index))))


@dataclass(frozen=True)
class GaussianField:
    """Gaussian field N(0, scale² (-Δ + τ²)^(-α)) on a box, -Δ with zero slope at the boundary.

    u(x) = scale Σ_k (π² Σ_a k_a²/L_a² + τ²)^(-α/2) ξ_k Π_a c_(k_a) cos(π k_a x_a/L_a) / √L_a, with
    ξ_k standard normal, c_0 = 1 and c_k = √2 (the cosines are then orthonormal in L²). Per axis
    k = 0 .. num_modes - 1 on every grid, so a draw is one function that is evaluated exactly at the
    nodes of any grid. In 2D u is almost in H^(α-1); with α = 2 it is continuous with rough level
    sets. Good values: τ 3 .. 15 (1/τ is the correlation length), α 2 .. 4.

    Attributes:
        tau, alpha, scale: τ, α and the prefactor.
        num_modes: modes per axis; with 128 modes and α = 2 the truncated tail has 1 % of the
            standard deviation.
        zero_mean: omit the constant mode, as in the generator of the published Darcy files (Li et
            al. 2021, arXiv 2010.08895, appendix A.3.2). A sign threshold then splits the box about
            in half; with the constant mode (standard deviation τ^(-α)) the fractions would vary
            from sample to sample.

    Raises:
        ValueError: a parameter is out of range.
    """

    tau: float = 3.0
    alpha: float = 2.0
    num_modes: int = 128
    scale: float = 1.0
    zero_mean: bool = True

    def __post_init__(self) -> None:
        if not (self.tau > 0 and self.alpha > 0 and self.scale > 0 and self.num_modes >= 2):
            raise ValueError(
                f"A Gaussian field needs tau, alpha, scale > 0 and num_modes >= 2; got tau "
                f"{self.tau}, alpha {self.alpha}, scale {self.scale}, num_modes {self.num_modes}."
            )

    def standard_deviations(self, extent: tuple[float, ...]) -> Float[Tensor, "*modes"]:
        """Standard deviation of the coefficient of each orthonormal cosine mode."""
        k = torch.arange(self.num_modes, dtype=torch.float64)
        eigenvalues = reduce(
            lambda a, b: a[..., None] + b, [(math.pi / L * k) ** 2 for L in extent]
        )
        std = self.scale * (eigenvalues + self.tau**2) ** (-self.alpha / 2)
        if self.zero_mean:
            std.view(-1)[0] = 0
        return std

    def sample(self, grid: Grid, random: np.random.Generator) -> Float[Tensor, "*space"]:
        """One draw at the nodes of the grid, in float64.

        The normal numbers are drawn in C order of the modes, independently of the grid.
        """
        std = self.standard_deviations(grid.extent)
        u = std * torch.from_numpy(random.standard_normal(tuple(std.shape)))
        for axis in range(grid.ndim):
            # Table first: the product of two transposes takes several times as long.
            u = torch.tensordot(_cosines(grid, axis, self.num_modes), u, dims=1).movedim(0, -1)
        return u.contiguous()

    def variance(self, grid: Grid) -> Float[Tensor, "*space"]:
        """Pointwise variance at the nodes, from the Karhunen-Loève sum."""
        v = self.standard_deviations(grid.extent) ** 2
        for axis in range(grid.ndim):
            v = torch.tensordot(v, _cosines(grid, axis, self.num_modes) ** 2, dims=([0], [1]))
        return v


@lru_cache(maxsize=16)
def _cosines(grid: Grid, axis: int, num_modes: int) -> Float[Tensor, "x k"]:
    """The orthonormal cosines of one axis at its nodes; cached, not to be written to."""
    L = grid.extent[axis]
    k = torch.arange(num_modes, dtype=torch.float64)
    table = torch.cos(math.pi * (grid.axis(axis) / L)[:, None] * k) * math.sqrt(2 / L)
    table[:, 0] = math.sqrt(1 / L)
    return table
