"""The recipe and the finished run of a network inside a solver."""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from ...datasets.systems import SYSTEMS
from ...models import CORRECTIONS
from ...nn.parameters import num_parameters
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


@dataclass(frozen=True, repr=False)
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

    def __repr__(self) -> str:
        seconds = self.training_seconds
        trained = "" if seconds is None else f", trained in {seconds:.0f} s"
        return (
            f"SolverRun: {type(self.network).__name__} with {num_parameters(self.network):,} "
            f"parameters{trained}\n  source {self.source}"
        )

    def on(self, A: Any) -> Any:
        """The network for one system."""
        network: Any = self.network
        return network.on(A)
