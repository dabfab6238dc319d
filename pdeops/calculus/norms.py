"""L^p and Sobolev norms of fields, by the quadrature and the spectral calculus of the domain."""
# Axes: b batch, c channel, *space nodes.

import math
from abc import ABC, abstractmethod
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..domain import Domain, Grid, check_alike, fold_time
from . import calculus_of
from .box import BoxCalculus
from .fourier import Choice


class Norm(ABC):
    """Fields (b, c, *space) of one domain ↦ one number (b,) per sample, channels pooled.

    A trajectory (b, t, c, *space) is also pooled over time (`fold_time`). The norm is
    differentiable, with gradient 0 at the zero field. Half-precision fields are converted to
    float32. Padding does not count.
    """

    domain: Any

    def __call__(self, u: Float[Tensor, "b c *space"]) -> Float[Tensor, " b"]:
        """The norm of each sample."""
        return self._norm(self._prepared(u))

    def at(self, batch: Any) -> "Norm":
        """The same norm on the domain of the samples of a `Batch` (`Domain.at`)."""
        domain = self.domain.at(batch)
        return self if domain is self.domain else self.on(domain)

    @abstractmethod
    def on(self, domain: Domain) -> "Norm":
        """The same norm on another domain."""

    @abstractmethod
    def _norm(self, u: Tensor) -> Tensor:
        """The norm of each sample of a checked float32 or float64 field."""

    def _prepared(self, u: Tensor) -> Tensor:
        """u after its check, with times folded and padding zeroed, in float32 at least."""
        u = fold_time(u, self.domain, f"argument of {type(self).__name__}")
        return self.domain.mask_padding(u.to(torch.promote_types(u.dtype, torch.float32)))


class Lp(Norm):
    """(∫ Σ_c |u_c|^p dx)^{1/p}, 1 <= p <= ∞, by `Domain.quadrature`; for p = ∞ the maximum.

    Raises:
        ValueError: p < 1, which does not define a norm.
    """

    def __init__(self, p: int | float = 2.0, *, domain: Domain) -> None:
        if not p >= 1:
            raise ValueError(f"An L^p norm needs p >= 1; got {p}.")
        self.p, self.domain = float(p), domain

    def on(self, domain: Domain) -> "Lp":
        return Lp(self.p, domain=domain)

    def per_channel(self, u: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c_t"]:
        """The norm of each channel separately."""
        return torch.linalg.vector_norm(self._weighted(self._prepared(u)), ord=self.p, dim=2)

    def _norm(self, u: Tensor) -> Tensor:
        return torch.linalg.vector_norm(self._weighted(u).flatten(1), ord=self.p, dim=1)

    def _weighted(self, u: Tensor) -> Tensor:
        """w^{1/p} u, (b, c, n)."""
        if math.isfinite(self.p):
            u = u * self.domain.quadrature().pow(1 / self.p).to(u)
        return u.flatten(2)

    def __repr__(self) -> str:
        return f"Lp({self.p}, domain={self.domain!r})"


class Sobolev(Norm):
    """‖u‖_{H^s} = (Σ_k W_k (α + λ_k)^s |û_k|²)^{1/2} for any real s; s = 0 is `Lp(2)`, exactly.

    û are the coefficients of `calculus_of(domain)`, λ the eigenvalues of -Δ and W the weights of
    Parseval's equation. On every domain the norm of a wave is (α + λ)^{s/2} times its L² norm, and
    no wave is truncated. λ is |ξ|² on a box and l(l+1)/R² on a sphere. On a sphere a field also has
    components outside the span of the harmonics; `calculus.sphere` defines their λ. s = 1 with
    α = 1 is the H¹ norm (∫ u² + |∇u|²)^{1/2}, s = 1 with α = 0 its seminorm, s = -1 the dual norm.

    On a box `series` defaults to `Grid.series()`. A grid with stored ends uses cosines, which also
    represent fields that do not vanish at the ends. If the slope of a smooth field does not vanish
    at the ends, its even extension has a kink, and the H¹ norm converges as O(h). With sines the
    norm of a field that does not vanish at the ends would diverge; an error is raised.

    Args:
        order: s; good values 1 (slopes), -1 (residuals), 0.
        domain: the domain of the fields.
        alpha: α >= 0, weight of the constant. With α = 0 and s < 0, fields must have zero mean.
        series: the series of each axis of a box.

    Raises:
        ValueError: α < 0, or the domain has no waves (scattered points). When called: α = 0, s < 0
            and the mean is not zero, or sines and nonzero values at the stored ends.
    """

    def __init__(
        self,
        order: int | float,
        domain: Domain,
        alpha: int | float = 1.0,
        series: Choice = None,
    ) -> None:
        self.order, self.domain, self.alpha = float(order), domain, float(alpha)
        self._series = series
        self.calculus = calculus_of(domain) if series is None else _by_series(domain, series)
        multiplier = self.calculus.sobolev_multiplier(self.order, self.alpha)
        self._weight = self.calculus.parseval_weights.sqrt() * multiplier
        self._weight_on: dict[tuple[torch.device, torch.dtype], Tensor] = {}

    def on(self, domain: Domain) -> "Sobolev":
        return Sobolev(self.order, domain, self.alpha, self._series)

    def _norm(self, u: Tensor) -> Tensor:
        if self.alpha == 0 and self.order < 0:
            self.calculus.check_zero_mean(u, purpose=f"A norm of order {self.order:g}")
        place = (u.device, u.dtype)
        if place not in self._weight_on:
            self._weight_on[place] = self._weight.to(u)
        u_hat = self.calculus.transform(u) * self._weight_on[place]
        return torch.linalg.vector_norm(u_hat.flatten(1), dim=1)

    def __repr__(self) -> str:
        return f"Sobolev({self.order:g}, {self.calculus!r}, alpha={self.alpha:g})"


def _by_series(domain: Domain, series: Choice) -> BoxCalculus:
    if not isinstance(domain, Grid):
        raise ValueError(
            f"The argument series is for a box (Grid) only; got {series} for {domain}. Omit the "
            f"argument."
        )
    return BoxCalculus(domain, series)


def relative_error(
    norm: Norm, prediction: Float[Tensor, "b c *space"], target: Float[Tensor, "b c *space"]
) -> Float[Tensor, " b"]:
    """‖prediction - target‖ / ‖target‖ per sample.

    If a target is zero, the absolute error ‖prediction‖ is returned, so that the result is finite.
    """
    check_alike(prediction, target)
    size = norm(target)
    return norm(prediction - target) / torch.where(size > 0, size, 1.0)
