"""Spectral-mixture kernels: sums of waves whose phases are correlated over a length."""
# Axes: n points, q components.

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from .features import Features, FourierFeatures, NystromFeatures

_TAIL = 8.6  # exp(-8.6² / 2) is the round-off of float64
_MOST_WAVES = 20_000

Kind = TypeVar("Kind", bound="Mixture")


class Mixture(ABC):
    """k(d) = Σ_q w_q ρ(d; ℓ_q) cos(2π f_q d), a stationary kernel on a line (Fang et al. 2024).

    The functions that it represents well have frequencies within about 1/(2π ℓ_q) of some f_q. The
    dictionary of `covering` leaves no gap up to its highest frequency.

    Args:
        frequencies: f_q >= 0, in cycles per unit of x.
        lengths: ℓ_q > 0 in units of x; a number stands for all components.
        weights: w_q > 0; by default 1/q, so that k(0) = 1.

    Raises:
        ValueError: a value is not finite or outside of its range, or the sizes differ.
    """

    def __init__(
        self,
        frequencies: Sequence[float | int] | Float[Tensor, " q"],
        lengths: float | int | Sequence[float | int] | Float[Tensor, " q"],
        weights: Sequence[float | int] | Float[Tensor, " q"] | None = None,
    ) -> None:
        name = type(self).__name__
        f = torch.as_tensor(frequencies, dtype=torch.float64)
        if f.ndim != 1 or not len(f) or not (f.isfinite() & (f >= 0)).all():
            raise ValueError(
                f"{name} needs a list of frequencies >= 0 in cycles per unit of x; got "
                f"{frequencies}. Use covering(highest, extent) for all frequencies up to one."
            )
        self.frequencies = f
        self.lengths = self._per_component("lengths", lengths)
        self.weights = self._per_component("weights", 1 / len(f) if weights is None else weights)

    @classmethod
    def covering(cls: type[Kind], highest: float | int, extent: float | int) -> Kind:
        """The dictionary of all frequencies up to `highest` on an interval of length `extent`: one
        component per cycle over the interval, correlated over half of it.

        Raises:
            ValueError: highest < 0, extent <= 0, or there would be too many frequencies.
        """
        if not (0 <= highest < math.inf and 0 < extent < math.inf):
            raise ValueError(
                f"A dictionary needs a highest frequency >= 0, in cycles per unit of x, and an "
                f"extent > 0; got {highest} and {extent}."
            )
        cycles = math.ceil(highest * extent)
        if cycles > _MOST_WAVES:
            raise ValueError(
                f"A dictionary up to {highest:g} on a length of {extent:g} has {cycles} "
                f"frequencies, more than {_MOST_WAVES}. Divide the interval."
            )
        return cls([i * highest / max(cycles, 1) for i in range(cycles + 1)], extent / 2)

    @property
    def highest(self) -> float:
        """The largest f_q plus the standard deviation of its component, 1/(2π ℓ_q)."""
        return (self.frequencies + 1 / (2 * math.pi * self.lengths)).max().item()

    def __call__(self, d: Float[Tensor, "*n"], order: int = 0) -> Float[Tensor, "*n"]:
        """The derivative of this order, 0 to 2, of k at distances d, by Leibniz' rule."""
        total = torch.zeros_like(d)
        parameters = torch.stack([2 * math.pi * self.frequencies, self.lengths, self.weights])
        for omega, length, weight in parameters.mT.tolist():
            envelopes = self.envelope(d, length)
            for i in range(order + 1):
                wave = torch.cos(omega * d + i * math.pi / 2)
                total += weight * math.comb(order, i) * omega**i * envelopes[order - i] * wave
        return total

    @abstractmethod
    def envelope(
        self, d: Float[Tensor, "*n"], length: float
    ) -> tuple[Float[Tensor, "*n"], Float[Tensor, "*n"], Float[Tensor, "*n"]]:
        """ρ, ρ' and ρ'' at distances d."""

    @abstractmethod
    def features(self, nodes: Float[Tensor, " n"]) -> Features:
        """φ with φ(x)·φ(y) = k(x - y) for x and y in the interval of the nodes, or at the nodes."""

    def _per_component(self, name: str, given: object) -> Float[Tensor, " q"]:
        values = torch.as_tensor(given, dtype=torch.float64)
        size = len(self.frequencies)
        if values.ndim == 0:
            values = values.expand(size)
        if values.shape != (size,) or not (values.isfinite() & (values > 0)).all():
            raise ValueError(
                f"{type(self).__name__} of {size} frequencies needs as many {name} > 0, or one "
                f"number; got {given}."
            )
        return values

    def __repr__(self) -> str:
        f, length = self.frequencies, self.lengths
        return (
            f"{type(self).__name__}({len(f)} frequencies from {f.min():.4g} to {f.max():.4g}, "
            f"lengths from {length.min():.4g} to {length.max():.4g})"
        )


class GaussianMixture(Mixture):
    """ρ(d) = exp(-d²/(2ℓ²)): the spectral density is a sum of Gaussians (Wilson & Adams 2013).

    Its features are waves: the trapezoidal rule for the inverse Fourier transform of the spectral
    density, which converges faster than any power, gives k to round-off on the interval. They avoid
    the matrix K, whose eigenvalues below round-off carry half of the digits of a solution.
    """

    def envelope(self, d: Tensor, length: float) -> tuple[Tensor, Tensor, Tensor]:
        """ρ, ρ' and ρ''."""
        s = d / length
        rho = torch.exp(-(s**2) / 2)
        return rho, -s / length * rho, (s**2 - 1) / length**2 * rho

    def features(self, nodes: Float[Tensor, " n"]) -> FourierFeatures:
        """Waves of the frequencies j/P, with P so long that the periodic images of k, P apart, do
        not reach the interval.

        Raises:
            ValueError: there would be too many of them.
        """
        low, high = nodes.min().item(), nodes.max().item()
        longest, shortest = self.lengths.max().item(), self.lengths.min().item()
        period = high - low + _TAIL * longest
        top = self.frequencies.max().item() + _TAIL / (2 * math.pi * shortest)
        count = math.ceil(top * period) + 1
        if count > _MOST_WAVES:
            raise ValueError(
                f"This kernel takes {count} waves on an interval of length {high - low:.6g}, more "
                f"than {_MOST_WAVES}: its lengths are up to {longest:.6g}, its frequencies up to "
                f"{self.highest:.6g}. Use lengths below ten times the interval."
            )
        f = torch.arange(count, dtype=torch.float64) / period
        scale = 2 * math.pi * self.lengths
        bells = [
            torch.exp(-(((f[:, None] + sign * self.frequencies) * scale) ** 2) / 2)
            for sign in (-1, 1)
        ]
        density = ((bells[0] + bells[1]) * self.weights * self.lengths).sum(1)
        density = density * math.sqrt(2 * math.pi) / period
        density[0] /= 2
        return FourierFeatures(f, density.sqrt(), (low + high) / 2)


class StudentMixture(Mixture):
    """ρ(d) = (1 + s + s²/3) exp(-s) with s = √5 |d|/ℓ, Matérn's kernel of smoothness 5/2: the
    spectral density is a sum of Student's t.

    k has four derivatives at 0 only, so that the error of a solution falls algebraically with the
    number of nodes.
    """

    def envelope(self, d: Tensor, length: float) -> tuple[Tensor, Tensor, Tensor]:
        """ρ, ρ' and ρ''."""
        a = math.sqrt(5) / length
        s = a * d.abs()
        decay = torch.exp(-s)
        first = -(a**2) / 3 * d * (1 + s) * decay
        return (1 + s + s**2 / 3) * decay, first, -(a**2) / 3 * (1 + s - s**2) * decay

    def features(self, nodes: Float[Tensor, " n"]) -> NystromFeatures:
        """k(x, X) V Λ^(-1/2), with K = V Λ Vᵀ at the nodes X."""
        return NystromFeatures(self, nodes)
