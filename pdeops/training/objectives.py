"""Objectives: objective(model, batch) -> mean loss of the batch, minimised in a step."""

from collections.abc import Callable

from torch import Tensor, nn

from ..batch import Batch


class Supervised:
    """Objective of pairs (x, y): the loss between operator(x) and y, on the physical scale.

    Args:
        loss: (prediction, target) -> scalar. If the loss has `at(batch)`, as `losses.Loss`,
            that gives the loss on the domain of the batch.
    """

    def __init__(self, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.at: Callable[[Batch], Callable[[Tensor, Tensor], Tensor]]
        self.at = getattr(loss, "at", lambda batch: loss)

    def __call__(self, operator: nn.Module, batch: Batch) -> Tensor:
        # Samples on points of their own: the operator needs their positions.
        located = {"at": batch} if "positions" in batch else {}
        return self.at(batch)(operator(batch.input, **located), batch.target)
