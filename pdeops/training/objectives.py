"""What a step minimises: objective(model, batch) -> the batch's mean loss."""

from collections.abc import Callable

from torch import Tensor, nn

from ..batch import Batch


class Supervised:
    """Objective of pairs (x, y): the loss between operator(x) and y, on the physical scale."""

    def __init__(self, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.loss = loss

    def __call__(self, operator: nn.Module, batch: Batch) -> Tensor:
        return self.loss(operator(batch.input), batch.target)
