"""Calculus: what a domain's waves offer to norms, metrics and solvers, whatever the waves are."""
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
    """Fields on a domain ↔ coefficients of orthogonal waves φ_k, eigenfunctions of the Laplacian.

        u = Σ_k û_k φ_k,   -Δ φ_k = λ_k φ_k,   Σ_nodes w u² = Σ_k W_k |û_k|²,

    with w the quadrature of the domain. The transform is a bijection: every field on the nodes is
    the inverse transform of its coefficients, and Parseval's equation holds for all of them.

    Attributes:
        domain: where the fields live.
        has_constant: whether a constant is among the waves.
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
        """W (float64)."""

    @property
    @abstractmethod
    def symbol(self) -> Float[Tensor, "*waves"]:
        """λ (float64), the eigenvalues of -Δ."""

    @property
    @abstractmethod
    def wave_number(self) -> Float[Tensor, "*waves"]:
        """The whole-number size of each wave (float64), by which `band_errors` sorts: the length
        |k| of the vector of indices on a box, the degree l on a sphere."""

    @abstractmethod
    def resample(
        self, u: Float[Tensor, "*batch_space"], shape: Sequence[int]
    ) -> Float[Tensor, "*batch_new_space"]:
        """u on `domain.with_shape(shape)`: its interpolant by waves, less those that do not fit."""

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
        """The u of zero mean with Δu = f; where no wave is constant, simply the u with Δu = f.

        Raises:
            ValueError: f has not zero mean, though a constant is among the waves.
        """
        self.check_zero_mean(f, purpose="An inverse Laplacian")
        return self.apply_multiplier(f, -self.sobolev_multiplier(-2, 0.0))

    def check_zero_mean(self, u: Float[Tensor, "*batch_space"], *, purpose: str) -> None:
        """Raise a ValueError unless every field has zero mean, where a constant is a wave."""
        self.domain.check(u)
        if self.has_constant:
            require_zero_mean(u, self._mean, purpose=purpose)

    @cached_property
    def _mean(self) -> Float[Tensor, "*space"]:
        return self.domain.quadrature() / self.domain.volume


def power(symbol: Tensor, order: int | float, alpha: int | float) -> Tensor:
    """(α + λ)^{s/2} for any real order s, at every wave: nothing is cut off.

    With α = 0 and s < 0 it is defined on fields of zero mean only; there the constant gets 0.

    Raises:
        ValueError: α < 0, or a number that is not finite.
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
    """Raise a ValueError unless Σ w u of every field is zero, to √eps of its root mean square.

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
