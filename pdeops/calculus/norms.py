"""L^p and Sobolev norms of fields by the quadrature of their grid."""

import math
from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from ..domain import Grid
from .fourier import Choice, check_zero_mean, parseval_weights, sobolev_multiplier, transform


class Norm(ABC):
    """Fields (b, c, *space) of one grid ↦ one number (b,) per sample, channels pooled.

    Differentiable, with gradient 0 at the zero field. Half-precision fields are measured in
    float32.
    """

    grid: Grid

    def __call__(self, u: Float[Tensor, "b c *space"]) -> Float[Tensor, " b"]:
        """The norm of each sample."""
        name = type(self).__name__
        self.grid.check(u, f"argument of {name}")
        if u.ndim != 2 + self.grid.ndim:
            raise ValueError(
                f"{name} takes fields (b, c, *space) with {self.grid.ndim} axes of space; got "
                f"shape {tuple(u.shape)}. Add a batch or channel axis, or flatten time into the "
                f"batch."
            )
        return self._norm(u.to(torch.promote_types(u.dtype, torch.float32)))

    @abstractmethod
    def _norm(self, u: Tensor) -> Tensor:
        """The norm of each sample of a checked float32 or float64 field."""


class Lp(Norm):
    """(∫ Σ_c |u_c|^p dx)^{1/p}, 1 <= p <= ∞, the integral by `Grid.quadrature` (∞: largest node).

    Raises:
        ValueError: p < 1, where it is no norm.
    """

    def __init__(self, p: int | float = 2.0, *, grid: Grid) -> None:
        if not p >= 1:
            raise ValueError(f"An L^p norm needs p >= 1; got {p}.")
        self.p, self.grid = float(p), grid

    def _norm(self, u: Tensor) -> Tensor:
        if math.isfinite(self.p):
            u = u * self.grid.quadrature().pow(1 / self.p).to(u)
        return torch.linalg.vector_norm(u.flatten(1), ord=self.p, dim=1)

    def __repr__(self) -> str:
        return f"Lp({self.p}, grid={self.grid!r})"


class Sobolev(Norm):
    """‖u‖_{H^s} = (Σ_k W_k (α + |ξ_k|²)^s |û_k|²)^{1/2} for any real s; s = 0 is `Lp(2)`, exactly.

    û are the coefficients of the grid's waves (`spectral.transform`), W Parseval's weights: one
    wave of wavenumber ξ has (α + |ξ|²)^{s/2} times its L² norm, on every grid and box, none is cut
    off. s = 1 with α = 1 is the H¹ norm (∫ u² + |∇u|²)^{1/2}, s = 1 with α = 0 its seminorm, s =
    -1 the dual norm.

    `series` defaults to `Grid.series()`: on a grid that stores its ends, cosines, which also
    represent a field that does not vanish there. Of a smooth field whose slope does not vanish at
    the ends the even continuation has a kink, and its H¹ norm converges as O(h); sines would
    diverge where the field itself is not zero, and are refused then.

    Args:
        order: s; good values 1 (slopes), -1 (residuals), 0.
        grid: where the fields live.
        alpha: α >= 0, weight of the constant. α = 0 with s < 0 is a norm of zero-mean fields.
        series: the waves of each axis.

    Raises:
        ValueError: α < 0; on use, α = 0 with s < 0 and a mean that is not zero, or sines with
            values that are not zero at the stored ends.
    """

    def __init__(
        self, order: int | float, grid: Grid, alpha: int | float = 1.0, series: Choice = None
    ) -> None:
        self.order, self.grid, self.alpha = float(order), grid, float(alpha)
        self.series = grid.series(series)
        multiplier = sobolev_multiplier(grid, self.order, self.alpha, self.series)
        self._weight = parseval_weights(grid, self.series).sqrt() * multiplier
        self._weight_on: dict[tuple[torch.device, torch.dtype], Tensor] = {}

    def _norm(self, u: Tensor) -> Tensor:
        if self.alpha == 0 and self.order < 0:
            check_zero_mean(u, self.grid, self.series, purpose=f"A norm of order {self.order:g}")
        place = (u.device, u.dtype)
        if place not in self._weight_on:
            self._weight_on[place] = self._weight.to(u)
        u_hat = transform(u, self.grid, self.series) * self._weight_on[place]
        return torch.linalg.vector_norm(u_hat.flatten(1), dim=1)

    def __repr__(self) -> str:
        waves = ", ".join(s.value for s in self.series)
        return f"Sobolev({self.order:g}, {self.grid!r}, alpha={self.alpha:g}, series=({waves}))"


def relative_error(
    norm: Norm, prediction: Float[Tensor, "b c *space"], target: Float[Tensor, "b c *space"]
) -> Float[Tensor, " b"]:
    """‖prediction - target‖ / ‖target‖ per sample.

    Where a target is zero there is nothing to be relative to, and the error itself, ‖prediction‖,
    counts: finite.
    """
    check_alike(prediction, target)
    size = norm(target)
    return norm(prediction - target) / torch.where(size > 0, size, 1.0)


def check_alike(prediction: Tensor, target: Tensor) -> None:
    """Raise a ValueError unless the two shapes are equal: broadcasting would hide a mistake."""
    if prediction.shape != target.shape:
        raise ValueError(
            f"Prediction and target must have one shape; got {tuple(prediction.shape)} and "
            f"{tuple(target.shape)}."
        )
