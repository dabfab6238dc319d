"""Hidden layers of the networks of fields: activation and initial weights."""
# Axes: k waves, d axes of the box.

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..calculus.spectrum import centroid_of
from ..domain import Grid
from ..nearest import did_you_mean
from .sine_network import SineNetwork
from .tanh_network import TanhNetwork

ACTIVATIONS = ("sine", "tanh")


@dataclass(frozen=True)
class FieldLayers:
    """The hidden layers of a network whose inputs are cos and sin of waves of the box.

    With `winner` s > 0, Gaussian noise is added to the plain weights of the first two layers, after
    WINNER (arXiv 2509.09719), with the standard deviations

        σ₀ = s Σ_a κ_a |ξ_a|/|ξ|² for the inputs cos ξ·x, sin ξ·x,   σ₁ = s √(2/n) (1 - exp(-m/ω)),

    n the width, √(2/n) the deviation of the plain weights, κ the spectral centroid of the initial
    field (`calculus.spectrum.centroid_of`), and m = |κ_a L_a/2π| its number of periods in the box.
    The first layer then has local wavenumbers of about s times the component of κ along ξ. Inputs
    that do not depend on x have no noise, because the spectrum in time is not known.

    The published deviations are functions of the centroid in cycles per sample, which halves when
    the samples are doubled. Tanh layers have no `winner`: the published noise scales the arguments
    of sines, and tanh saturates.

    Attributes:
        activation: "sine" or "tanh".
        frequency: ω, bound on the plain weights of the first layer of sines, see `SineNetwork`.
        winner: s, for two or more layers of sines; 0 for none.

    Raises:
        ValueError: the activation is unknown, ω is not positive, or s is negative, not finite, or
            positive for tanh.
    """

    activation: str
    frequency: float
    winner: float

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise ValueError(
                f"Unknown activation {self.activation!r}."
                f"{did_you_mean(self.activation, ACTIVATIONS)} Choose from "
                f"{', '.join(ACTIVATIONS)}."
            )
        if not 0 < self.frequency < math.inf:
            raise ValueError(f"frequency must be positive and finite; got {self.frequency}.")
        if not 0 <= self.winner < math.inf or (self.winner > 0 and self.activation == "tanh"):
            raise ValueError(
                f"winner must be 0 or more, and 0 unless activation = 'sine'; got {self.winner} "
                f"and {self.activation!r}."
            )

    def network(self, inputs: int, widths: Sequence[int], outputs: int) -> TanhNetwork:
        """A network with plain initial weights."""
        if self.activation == "sine":
            return SineNetwork(inputs, widths, outputs, self.frequency)
        return TanhNetwork(inputs, widths, outputs)

    def add_noise(
        self,
        networks: Iterable[torch.nn.Module],
        u0: Callable[[Tensor], Tensor],
        grid: Grid,
        waves: Float[Tensor, "k d"],
    ) -> None:
        """Add the noise to networks of `network`, if s > 0.

        Args:
            u0: the initial field, (1, d, n) points -> (1, c, n).
            grid: the periodic box.
            waves: ξ; the inputs of the networks are all cos, all sin, and inputs without x.

        Raises:
            ValueError: the networks have one hidden layer, or an error of `centroid_of`.
        """
        if self.winner == 0:
            return
        kappa = centroid_of(u0, grid)
        periods = (kappa * kappa.new_tensor(grid.extent) / (2 * math.pi)).norm().item()
        squares = waves.square().sum(1)
        along = torch.where(squares > 0, waves.abs() @ kappa / squares, 0.0)
        ratio = 1 - math.exp(-periods / self.frequency)
        for network in networks:
            assert isinstance(network, SineNetwork)
            first = kappa.new_zeros(network.layers[0].in_features)
            first[: 2 * len(along)] = torch.cat([along, along])
            network.add_noise(self.winner * first, self.winner * ratio)
