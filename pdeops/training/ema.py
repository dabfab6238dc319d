"""Exponential moving average of a model's weights."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class EMA:
    """A second set of weights, the moving average of the trained ones (Polyak & Juditsky 1992).

    After the t-th optimizer step, t = 1, 2, …,

        a ← d a + (1 − d) θ,    d = min(decay, (1 + t)/(10 + t)),

    The smaller d at the start removes the random initial weights from the average before
    1/(1 − decay) steps. The average starts at the model's weights; buffers are not averaged.

    Raises:
        ValueError: `decay` is not in (0, 1). 0.99 suits some hundred steps, 0.999 some thousand.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        if not 0 < decay < 1:
            raise ValueError(
                f"The EMA decay must lie in (0, 1); got {decay}. Use None for no average."
            )
        self.decay = decay
        self.num_updates = 0
        self.average = {
            name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad
        }

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Update the average after an optimizer step."""
        self.num_updates += 1
        d = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        torch._foreach_lerp_(list(self.average.values()), self._weights(model), 1 - d)

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """The model has the averaged weights inside the block, and its own weights after it."""
        weights = self._weights(model)
        trained = [w.clone() for w in weights]
        try:
            _assign(weights, list(self.average.values()))
            yield
        finally:
            _assign(weights, trained)

    def state_dict(self) -> dict[str, Any]:
        """Plain data for a checkpoint."""
        return {
            "decay": self.decay,
            "num_updates": self.num_updates,
            "average": dict(self.average),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load the averages and the count; the decay stays that of the constructor."""
        self.num_updates = state["num_updates"]
        _assign(list(self.average.values()), [state["average"][name] for name in self.average])

    def _weights(self, model: nn.Module) -> list[Tensor]:
        parameters = dict(model.named_parameters())
        return [parameters[name].detach() for name in self.average]


def _assign(targets: list[Tensor], sources: list[Tensor]) -> None:
    for target, source in zip(targets, sources, strict=True):
        target.copy_(source)
