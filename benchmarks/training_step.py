"""A step of training, as a side of a bench."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class TrainingStep:
    """A model, its optimizer and one batch; `step` returns the prediction before the update.

    Args:
        loss: prediction -> the loss, a scalar.
        forward: (model, x) -> prediction; by default the model's own.
        optimizer: parameters -> optimizer, called with lr.
    """

    def __init__(
        self,
        model: nn.Module,
        x: Tensor,
        loss: Callable[[Tensor], Tensor],
        *,
        lr: float = 1e-3,
        forward: Callable[[nn.Module, Tensor], Tensor] = nn.Module.__call__,
        optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.Adam,
    ) -> None:
        self.model, self.x, self.loss, self.forward = model, x, loss, forward
        self.optimizer = optimizer(model.parameters(), lr=lr)

    def step(self) -> Tensor:
        self.optimizer.zero_grad()
        prediction = self.forward(self.model, self.x)
        self.loss(prediction).backward()
        self.optimizer.step()
        return prediction.detach()
