"""What a step minimises: objective(model, batch) → the batch's mean loss."""

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from ..batch import Batch
from .conjugate_direction import ConjugateDirection
from .conjugate_gradients import ConjugateGradients


class Supervised:
    """Objective of pairs (x, y): the loss between operator(x) and y, on the physical scale."""

    def __init__(self, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.loss = loss

    def __call__(self, operator: nn.Module, batch: Batch) -> Tensor:
        return self.loss(operator(batch.input), batch.target)


# Of learned solvers, which need no pairs: called without a grid, on batches of systems.
OBJECTIVES: Mapping[str, type[ConjugateDirection | ConjugateGradients]] = {
    "ConjugateDirection": ConjugateDirection,
    "ConjugateGradients": ConjugateGradients,
}
