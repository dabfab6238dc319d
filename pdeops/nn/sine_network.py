"""Networks of sine layers that carry the derivatives of their inputs (Sitzmann et al., 2020)."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .jets import DerivativesT
from .tanh_network import TanhNetwork


class SineNetwork(TanhNetwork):
    """Jet of the inputs -> jet of the outputs: layers sin(W a + b), then a linear layer.

    SIREN's factor ω₀ is part of the weights here: weights of the first layer are uniform in
    [-ω, ω], those of the others in ±√(6/n) with n inputs, those of the output in ±√(6/n)/ω, and
    biases of the hidden layers in [-π, π]. With ω too large for the spacing of the points, the
    network fits the points and oscillates between them.

    Args:
        frequency: ω.
    """

    activation = staticmethod(torch.sin)

    def __init__(
        self, inputs: int, widths: Sequence[int], outputs: int, frequency: float = 5.0
    ) -> None:
        super().__init__(inputs, widths, outputs)
        self.frequency = float(frequency)
        for i, layer in enumerate((*self.hidden, self.output)):
            assert isinstance(layer, nn.Linear)
            bound = math.sqrt(6 / layer.in_features) if i else frequency
            last = layer is self.output
            nn.init.uniform_(layer.weight, *_symmetric(bound / frequency if last else bound))
            nn.init.uniform_(layer.bias, *_symmetric(0.0 if last else math.pi))

    @torch.no_grad()
    def add_noise(self, first: Float[Tensor, " i"], ratio: float) -> None:
        """Add Gaussian noise to the weights of the first two layers.

        Args:
            first: standard deviation in the first layer, one per input.
            ratio: standard deviation in the second layer, divided by that of its plain weights.

        Raises:
            ValueError: there is one hidden layer.
        """
        if len(self.hidden) < 2:
            raise ValueError("The noise is that of two hidden layers; got one. Use 2 or more.")
        a, b = (layer.weight for layer in self.hidden[:2])
        assert isinstance(a, Tensor)
        assert isinstance(b, Tensor)
        a += torch.randn_like(a) * first.to(a)
        b += torch.randn_like(b) * ratio * math.sqrt(2 / b.shape[1])

    def jet(self, inputs: DerivativesT) -> DerivativesT:
        """The derivatives of the outputs."""
        return self.trace(inputs)[-1][2]

    def _activated(self, jet: DerivativesT) -> DerivativesT:
        s, c = torch.sin(jet.value), torch.cos(jet.value)
        return jet.through(s, c, -s)


def _symmetric(bound: float) -> tuple[float, float]:
    return -bound, bound
