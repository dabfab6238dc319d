"""The recipe and the finished run of a network inside a solver."""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from ...datasets.systems import SYSTEMS
from ...models import CORRECTIONS
from ...runs.recipe import Choice, choice
from .. import own_models
from ..task import TrainingRecipe
from .objectives import OBJECTIVES

NETWORKS = own_models.Models(CORRECTIONS, given=("ndim",))


@dataclass(frozen=True, kw_only=True)
class PreconditionerRecipe(TrainingRecipe):
    """The recipe of a network inside a solver."""

    task: ClassVar[str] = "preconditioner"

    systems: Choice = choice(SYSTEMS, given=("seed",))
    model: Choice = choice(NETWORKS, given=NETWORKS.given)
    objective: Choice = choice(OBJECTIVES)


@dataclass(frozen=True)
class SolverRun:
    """A finished run: a network whose `on(A)` maps residuals of A x = b to corrections.

    Attributes:
        source: the folder of the run, a checkpoint, or the name of shipped weights.
        recipe: the resolved recipe; None if the checkpoint is not in a run's folder.
        network: the trained network, in evaluation mode.
        training_seconds: seconds of training; None if the checkpoint does not hold them.
    """

    task: ClassVar[str] = "preconditioner"

    source: str
    recipe: PreconditionerRecipe | None
    network: nn.Module
    training_seconds: float | None

    def on(self, A: Any) -> Any:
        """The network for one system."""
        network: Any = self.network
        return network.on(A)
