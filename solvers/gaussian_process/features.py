"""Features of a kernel: functions whose products are the kernel, with their derivatives."""
# Axes: n points, j features, m frequencies.

import math
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

_ROUND_OFF = 1e-15  # of the largest eigenvalue of K; smaller ones are dropped


@runtime_checkable
class Features(Protocol):
    """φ(x), a Gaussian process u(x) = φ(x)·z with independent standard normal z (Rasmussen &
    Williams 2006, sec. 2.1). The function that minimises |z| under conditions on u is the mean of
    the process with kernel φ(x)·φ(y) under these conditions."""

    def at(self, x: Float[Tensor, " n"], order: int = 0) -> Float[Tensor, "n j"]:
        """The derivative of this order, 0 to 2, at points x."""
        ...


class FourierFeatures:
    """a_i cos(2π f_i (x - x₀)) and a_i sin(2π f_i (x - x₀)).

    Args:
        frequencies: f.
        amplitudes: a.
        origin: x₀.
    """

    def __init__(
        self, frequencies: Float[Tensor, " m"], amplitudes: Float[Tensor, " m"], origin: float
    ) -> None:
        self.frequencies, self.amplitudes, self.origin = frequencies, amplitudes, origin

    def at(self, x: Float[Tensor, " n"], order: int = 0) -> Float[Tensor, "n j"]:
        """All cosines, then all sines."""
        omega = 2 * math.pi * self.frequencies
        angle = (x - self.origin)[:, None] * omega + order * math.pi / 2
        return torch.cat([angle.cos(), angle.sin()], 1) * (omega**order * self.amplitudes).repeat(2)


class NystromFeatures:
    """k(x, X) V Λ^(-1/2), with K = V Λ Vᵀ the matrix of the kernel at nodes X. At the nodes, the
    products of the features are K.

    Eigenvalues below the round-off of the largest are dropped. So about half of the digits of a
    float64 number are left in a solution.
    """

    def __init__(self, kernel: Callable[..., Tensor], nodes: Float[Tensor, " n"]) -> None:
        self.kernel, self.nodes = kernel, nodes
        values, vectors = torch.linalg.eigh(kernel(nodes[:, None] - nodes))
        kept = values > _ROUND_OFF * values[-1]
        self.coefficients = vectors[:, kept] / values[kept].sqrt()

    def at(self, x: Float[Tensor, " n"], order: int = 0) -> Float[Tensor, "n j"]:
        """One feature per eigenvalue."""
        return self.kernel(x[:, None] - self.nodes, order) @ self.coefficients
