"""The interface of spectral calculus on a domain, for norms, metrics and solvers."""
# Axes: *batch leading axes, *space nodes, *waves coefficients as the calculus lays them out.

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Inexact
from torch import Tensor


class Calculus(ABC):
    """Fields on a domain ↔ coefficients in orthogonal eigenfunctions φ_k of the Laplacian (waves).

        u = Σ_k û_k φ_k,   -Δ φ_k = λ_k φ_k,   Σ_nodes w u² = Σ_k W_k |û_k|²,

    with w the quadrature weights of the domain. The transform is a bijection: every field on the
    nodes is the inverse transform of its coefficients, and Parseval's equation holds for every
    field.

    Attributes:
        domain: the domain of the fields.
        has_constant: whether one of the waves is constant.
    """

    domain: Any
    has_constant: bool = True

    @abstractmethod
    def transform(self, u: Float[Tensor, "*batch_space"]) -> Inexact[Tensor, "*batch_waves"]:
        """Coefficients û of u."""

    @abstractmethod
    def inverse_transform(
        self, u_hat: Inexact[Tensor, "*batch_waves"]
    ) -> Float[Tensor, "*batch_space"]:
        """The field with these coefficients, at the nodes."""

    @property
    @abstractmethod
    def parseval_weights(self) -> Float[Tensor, "*waves"]:
        """Weights W of Parseval's equation (float64)."""

    @property
    @abstractmethod
    def symbol(self) -> Float[Tensor, "*waves"]:
        """Eigenvalues λ of -Δ (float64)."""

    @property
    @abstractmethod
    def wave_number(self) -> Float[Tensor, "*waves"]:
        """Dimensionless wavenumber of each wave (float64), used by `band_errors`: the length |k| of
        the index vector on a box, the degree l on a sphere."""

    @abstractmethod
    def resample(
        self, u: Float[Tensor, "*batch_space"], shape: Sequence[int]
    ) -> Float[Tensor, "*batch_new_space"]:
        """u on `domain.with_shape(shape)`: spectral interpolation, truncated to the new grid."""

    def sobolev_multiplier(
        self, order: int | float, alpha: int | float = 1.0
    ) -> Float[Tensor, "*waves"]:
        """(α + λ)^{s/2} (float64) for any real order s; see `power`."""
        return power(self.symbol, order, alpha)

    def apply_multiplier(
        self, u: Float[Tensor, "*batch_space"], multiplier: Tensor
    ) -> Float[Tensor, "*batch_space"]:
        """The field with coefficients multiplier · û; the multiplier is real."""
        return self.inverse_transform(self.transform(u) * multiplier.to(u))

    def laplacian(self, u: Float[Tensor, "*batch_space"]) -> Float[Tensor, "*batch_space"]:
        """Δu: û is multiplied by -λ."""
        return self.apply_multiplier(u, -self.symbol)

    def inverse_laplacian(self, f: Float[Tensor, "*batch_space"]) -> Float[Tensor, "*batch_space"]:
        """The solution u of Δu = f, with zero mean if one of the waves is constant.

        Raises:
            ValueError: f has nonzero mean, and one of the waves is constant.
        """
        self.check_zero_mean(f, purpose="An inverse Laplacian")
        return self.apply_multiplier(f, -self.sobolev_multiplier(-2, 0.0))

    def check_zero_mean(self, u: Float[Tensor, "*batch_space"], *, purpose: str) -> None:
        """Raise a ValueError unless every field has zero mean; no check without a constant wave."""
        self.domain.check(u)
        if self.has_constant:
            require_zero_mean(u, self._mean, purpose=purpose)

    @cached_property
    def _mean(self) -> Float[Tensor, "*space"]:
        return self.domain.quadrature() / self.domain.volume


def power(symbol: Tensor, order: int | float, alpha: int | float) -> Tensor:
    """(α + λ)^{s/2} for any real order s, at every wave, without truncation.

    With α = 0 and s < 0 it is defined on fields of zero mean only; the constant wave gets 0.

    Raises:
        ValueError: α < 0, or α or s is not finite.
    """
    if not (alpha >= 0 and math.isfinite(alpha) and math.isfinite(order)):
        raise ValueError(
            f"A Sobolev multiplier (α + |ξ|²)^(s/2) needs finite α >= 0 and s; got α = {alpha}, "
            f"s = {order}."
        )
    symbol = alpha + symbol
    multiplier = symbol.pow(order / 2)
    return multiplier.masked_fill(symbol == 0, 0.0) if order < 0 else multiplier


def require_zero_mean(u: Tensor, w: Tensor, *, purpose: str) -> None:
    """Raise a ValueError unless |Σ w u| of every field is at most √eps times its RMS.

    Args:
        w: weights of the mean over the domain.
    """
    dims = tuple(range(-w.ndim, 0))
    w = w.to(u)
    mean = (w * u.detach()).sum(dims)
    size = (w * u.detach().square()).sum(dims).sqrt()
    if (mean.abs() > math.sqrt(torch.finfo(u.dtype).eps) * size).any():
        raise ValueError(
            f"{purpose} without a constant term (α = 0) needs fields of zero mean; got a mean of "
            f"{mean.abs().max().item():.3g}. Subtract it, or take α > 0."
        )
