"""Coefficients of trajectories and the H^s norm in which a residual is measured."""
# Axes: b batch, t frame, m instant, c channel, *space nodes, *fine nodes of the padded grid, *waves
# coefficients.

import math
from abc import ABC, abstractmethod
from typing import Any

import torch
from jaxtyping import Float, Inexact
from torch import Tensor

from ..calculus.box import BoxCalculus
from ..calculus.calculus import power
from ..calculus.fourier import pad_waves, resample, rfftn
from ..calculus.harmonic_fit import HarmonicFit
from ..domain import Placement, Sphere
from ..solvers.evolution.equations.shallow_water import ShallowWater
from ..solvers.evolution.evolution import Evolution


class Waves(ABC):
    """Fields on `grid` ↔ states of `equation`, with weights such that Σ |root R̂|² = ‖R‖²_{H^s}.

    Attributes:
        grid: the nodes of the frames.
        equation: the equation whose L and N act on the coefficients.
        order, alpha: s and α.
        root: W^{1/2} (α + λ)^{s/2} (float64).
        misses_mean: the constant has weight 0.
    """

    grid: Any
    equation: Any
    order: float
    alpha: float
    root: Tensor
    misses_mean: bool = False

    @abstractmethod
    def forward(self, u: Float[Tensor, "b t c *space"]) -> Inexact[Tensor, "b t c *waves"]:
        """The coefficients of fields."""

    def difference(self, d: Float[Tensor, "b t c *space"]) -> Inexact[Tensor, "b t c *waves"]:
        """The coefficients of a difference of two fields: forward(u + d) - forward(u)."""
        return self.forward(d)

    @abstractmethod
    def inverse(self, R: Inexact[Tensor, "b m c *waves"]) -> Float[Tensor, "b m c *fine"]:
        """The field of a tendency, at the nodes of `equation.grid`."""

    def resolved(self, u: Float[Tensor, "b t c *space"]) -> Float[Tensor, "b t c *space"]:
        """u without components that no solution has and that the norm does not see: here u."""
        return u

    def linear(self, u_hat: Inexact[Tensor, "b t c *waves"]) -> Inexact[Tensor, "b t c *waves"]:
        """L û."""
        L = self.equation.cast(self.equation.symbol, u_hat)
        if not self.equation.coupled:
            return L * u_hat
        return torch.einsum("ij...,btj...->bti...", L.to(u_hat.dtype), u_hat)


class PaddedWaves(Waves):
    """Coefficients on the padded grid of an equation on a box: every wave of the frames and of
    their products, (α + |ξ|²)^{s/2} with the weights of Parseval's equation.

    Args:
        alpha: None is the smallest |ξ|² > 0 of the box.

    Raises:
        ValueError: the equation has no padded transforms; or α = 0, s < 0, and it does not conserve
            the mean.
    """

    def __init__(self, equation: Evolution, order: float | int, alpha: float | int | None) -> None:
        self.grid, self.equation = equation.grid, equation.padded()
        fine, series = self.equation.grid, self.equation.series
        calculus = BoxCalculus(fine, series)
        if alpha is None:
            alpha = calculus.symbol[calculus.symbol > 0].min().item()
        self.misses_mean = alpha == 0 and order < 0 and calculus.has_constant
        if self.misses_mean and not self.equation.conserves_mean:
            raise ValueError(
                f"{type(equation).__name__} does not conserve the mean, and with α = 0 a norm of "
                f"order {order:g} does not see the mean of the residual. Take α > 0, or None for "
                f"the smallest |ξ|² > 0."
            )
        self.order, self.alpha = float(order), float(alpha)
        multiplier = calculus.sobolev_multiplier(self.order, self.alpha)
        self.root = calculus.parseval_weights.sqrt() * multiplier
        # Coefficients can be padded if their origin is the first node of both grids.
        self._pads = self.equation.is_fourier and set(self.grid.placement) == {Placement.LEFT}

    def forward(self, u: Float[Tensor, "b t c *space"]) -> Inexact[Tensor, "b t c *waves"]:
        grid, fine, series = self.grid, self.equation.grid, self.equation.series
        if self._pads:
            return pad_waves(rfftn(u, grid.ndim), grid, fine.shape, series)
        u = resample(u, grid, fine.shape, series)
        return self.equation.encode(u.flatten(0, 1)).unflatten(0, u.shape[:2])

    def inverse(self, R: Inexact[Tensor, "b m c *waves"]) -> Float[Tensor, "b m c *fine"]:
        return self.equation.decode(R.flatten(0, 1)).unflatten(0, R.shape[:2])


class SphericalWaves(Waves):
    """Spherical harmonics of depth, vorticity and divergence up to the equation's degree L in the
    norm of the linearised energy, ∫ g h² + H|v|² dA, times (α + l(l+1)/R²)^{s/2} by degree.

    Harmonics of the frames above L, or above the largest degree that their nodes determine, are
    dropped.

    Attributes:
        transform: from the nodes of the frames to coefficients.

    Args:
        grid: the nodes of the frames, a sphere of any latitudes.
        alpha: None is the smallest l(l+1)/R² > 0, 2/R².
    """

    equation: ShallowWater

    def __init__(
        self,
        equation: ShallowWater,
        grid: Sphere | None,
        order: float | int,
        alpha: float | int | None,
    ) -> None:
        self.equation, self.grid = equation, equation.grid if grid is None else grid
        if self.grid.radius != equation.grid.radius:
            raise ValueError(
                f"The frames must lie on the equation's sphere, of radius "
                f"{equation.grid.radius:g}; got {self.grid}."
            )
        degree = equation.transform.degree
        self.transform = HarmonicFit(self.grid, degree)
        self._missing = degree - self.transform.degree
        R = equation.grid.radius
        alpha = 2 / R**2 if alpha is None else alpha
        self.order, self.alpha = float(order), float(alpha)
        m = torch.arange(degree + 1)
        weights = torch.where(m == 0, 1.0, 2.0).double().sqrt() * R
        unit = equation.mean_depth * equation.gravity**0.5
        self.root = unit * weights * power(-equation.transform.laplacian, self.order, self.alpha)

    def forward(self, u: Float[Tensor, "b t c lat lon"]) -> Inexact[Tensor, "b t c l m"]:
        mean = torch.zeros(self.equation.num_channels, 1, 1, dtype=u.dtype, device=u.device)
        mean[0] = self.equation.mean_depth
        return self.difference(u - mean)

    def difference(self, d: Float[Tensor, "b t c lat lon"]) -> Inexact[Tensor, "b t c l m"]:
        d_hat = self.transform.forward(d.flatten(0, 1))
        d_hat = torch.nn.functional.pad(d_hat, (0, self._missing, 0, self._missing))
        return self.equation.scaled(d_hat).unflatten(0, d.shape[:2])

    def resolved(self, u: Float[Tensor, "b t c lat lon"]) -> Float[Tensor, "b t c lat lon"]:
        """u without means of vorticity and divergence, which no wind has, and without harmonics
        above the degree L of the equation, which its solutions do not have. If the nodes do not
        determine all harmonics up to L, they may stand for missing ones and are kept."""
        u_hat = self.transform.forward(u)
        means = u_hat[..., 1:, :1, :1].real / math.sqrt(4 * math.pi)
        u = u if self._missing else self.transform.inverse(u_hat)
        return torch.cat([u[:, :, :1], u[:, :, 1:] - means], 2)

    def inverse(self, R: Inexact[Tensor, "b m c l k"]) -> Float[Tensor, "b m c lat lon"]:
        units = self.equation.cast(self.equation.units, R)
        return self.equation.transform.inverse(R * units)
