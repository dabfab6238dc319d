"""Networks of tanh layers that carry the derivatives of their inputs."""
# Axes: i input channel, k feature, o output channel, q entries of a jet, n points.

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .jets import DerivativesT
from .tanh_blocks import tanh_network


class TanhNetwork(nn.Module):
    """Derivatives of the inputs -> derivatives of the outputs: tanh layers of these widths, then a
    linear layer.

    A layer may appear twice in `hidden`, which then shares its weights.

    Args:
        inputs: number of input channels.
        widths: width of each hidden layer, at least one.
        outputs: number of output channels.
    """

    activation = staticmethod(torch.tanh)

    def __init__(self, inputs: int, widths: Sequence[int], outputs: int) -> None:
        super().__init__()
        if not widths or min(inputs, outputs, *widths) < 1:
            raise ValueError(
                f"A network needs at least one hidden layer and positive widths; got {inputs}, "
                f"{list(widths)}, {outputs}."
            )
        sizes = [inputs, *widths]
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, widths, strict=False))
        self.output = nn.Linear(sizes[-1], outputs)

    @property
    def layers(self) -> list[nn.Linear]:
        """The linear layers in order."""
        return [*self.hidden, self.output]

    def forward(self, x: Float[Tensor, "i n"]) -> Float[Tensor, "o n"]:
        """The values of the outputs."""
        for layer in self.layers[:-1]:
            x = self.activation(layer.weight @ x + layer.bias[:, None])
        return self.output.weight @ x + self.output.bias[:, None]

    def trace(self, inputs: DerivativesT) -> list[tuple[nn.Linear, DerivativesT, DerivativesT]]:
        """Each linear layer, in order, with the derivatives of its inputs and outputs."""
        steps: list[tuple[nn.Linear, DerivativesT, DerivativesT]] = []
        for layer in self.layers:
            jet = inputs if not steps else self._activated(steps[-1][2])
            steps.append((layer, jet, jet.linear(layer.weight, layer.bias)))
        return steps

    def _activated(self, jet: DerivativesT) -> DerivativesT:
        return jet.tanh()

    def features(self, inputs: DerivativesT) -> DerivativesT:
        """The derivatives of the last hidden layer."""
        return self.trace(inputs)[-1][1]

    def jet(self, inputs: DerivativesT) -> DerivativesT:
        """The derivatives of the outputs."""
        weights, biases = [z.weight for z in self.layers], [z.bias for z in self.layers]
        return tanh_network(inputs, weights, biases)

    def last(self) -> "TanhNetwork":
        """The output layer as a network of the last hidden layer, with the same weights."""
        network = TanhNetwork(self.output.in_features, [1], self.output.out_features)
        network.hidden, network.output = nn.ModuleList(), self.output
        return network

    @classmethod
    def shared(
        cls, inputs: int, width: int, outputs: int, deep_outputs: int
    ) -> tuple["TanhNetwork", "TanhNetwork"]:
        """Two networks with one set of weights, three hidden layers and an output layer: the first
        uses two hidden layers, the second these and the third three times.

        Raises:
            ValueError: the two have different numbers of outputs.
        """
        if outputs != deep_outputs:
            raise ValueError(
                f"Networks with a common output layer have as many outputs; got {outputs} and "
                f"{deep_outputs}. Use two sets of weights."
            )
        deep = cls(inputs, [width] * 3, outputs)
        a, b, c = deep.hidden
        shallow = cls(inputs, [width] * 2, outputs)
        shallow.hidden, shallow.output = nn.ModuleList([a, b]), deep.output
        deep.hidden = nn.ModuleList([a, b, c, c, c])
        return shallow, deep

    @torch.no_grad()
    def randomise(
        self, deviations: Sequence[float], bias: float, generator: torch.Generator
    ) -> None:
        """Random features: normal weights of the first layer with one deviation per input, biases
        uniform in [-bias, bias], and an output of zero.

        Raises:
            ValueError: there is not one deviation per input.
        """
        first = self.hidden[0]
        assert isinstance(first, nn.Linear)
        if len(deviations) != first.in_features:
            raise ValueError(
                f"Give one deviation per input ({first.in_features}); got {len(deviations)}."
            )
        like: Any = {"generator": generator, "dtype": torch.float64}
        weight = torch.randn(*first.weight.shape, **like) * torch.tensor(deviations)
        first.weight.copy_(weight)
        first.bias.copy_(bias * (2 * torch.rand(first.out_features, **like) - 1))
        self.output.weight.zero_()
        self.output.bias.zero_()
