"""What a step minimises: objective(model, batch) -> the batch's mean loss."""

from collections.abc import Callable

from torch import Tensor, nn

from ..batch import Batch


class Supervised:
    """Objective of pairs (x, y): the loss between operator(x) and y, on the physical scale.

    Args:
        loss: of prediction and target; one that has `at(batch)`, as `losses.Loss`, is taken on the
            domain of the samples of each batch.
    """

    def __init__(self, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.at: Callable[[Batch], Callable[[Tensor, Tensor], Tensor]]
        self.at = getattr(loss, "at", lambda batch: loss)

    def __call__(self, operator: nn.Module, batch: Batch) -> Tensor:
        return self.at(batch)(operator(batch.input), batch.target)
