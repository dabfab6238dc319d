"""What a kind of job is. A task is one file that defines a subclass of `Task`, and one line in
`TASKS` (`tasks/__init__.py`)."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn
from torch.utils.data import Dataset

from ..runs.recipe import Choice, Recipe, choice, table
from ..training.learner import Objective
from ..training.optim import OPTIMIZERS, SCHEDULES
from ..training.options import TrainingOptions


@dataclass(frozen=True, kw_only=True)
class TrainingRecipe(Recipe):
    """The tables that the recipes of all tasks share; a task adds its own, and `model`."""

    model: Choice
    optimizer: Choice = choice(OPTIMIZERS, "AdamW")
    schedule: Choice = choice(SCHEDULES, "OneCycle")
    training: TrainingOptions = table(TrainingOptions)


@dataclass(frozen=True)
class Job:
    """What a recipe becomes: all that the trainer needs and the task knows.

    Attributes:
        model: freshly initialised from the recipe's seed.
        objective: (model, batch) -> mean loss of the batch.
        dataset: of `Batch`es; the training samples.
        validate: model -> metrics by name over held-out samples, summed over all processes.
        monitor: the metric that chooses the best weights; lower is better.
        carry: plain data from which `Task.build` makes the model again; `model` describes it.
    """

    model: nn.Module
    objective: Objective
    dataset: Dataset
    validate: Callable[[nn.Module], Mapping[str, float]]
    monitor: str
    carry: dict[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Finished:
    """A checkpoint that was read.

    Attributes:
        source: the folder of a run, a checkpoint file, or the name of shipped weights.
        folder: of the run; None where a checkpoint lies outside of one.
        state: the content of the checkpoint.
    """

    source: str
    folder: Path | None
    state: dict[str, Any] = field(repr=False)

    @property
    def carry(self) -> dict[str, Any]:
        """What the task wrote into the checkpoint."""
        return self.state["carry"]


class Task(ABC):
    """A kind of job: its recipe, its training, what a finished run is and how it is judged.

    Attributes:
        name: as recipes say, `task = "supervised"`.
        summary: what is trained, in a few words for messages and lists.
        recipe: the dataclass of its recipes, whose `task` is `name`.
        loader: the public function that loads its runs.
        options: names of the arguments that `evaluate` takes besides the run.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    recipe: ClassVar[type[TrainingRecipe]]
    loader: ClassVar[str] = "pdeops.load_run"
    options: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def job(self, recipe: Any, device: torch.device) -> Job:
        """Data, model, objective and validation of a recipe.

        Raises:
            ValueError: the data do not fit the recipe.
        """

    @abstractmethod
    def build(self, carry: Mapping[str, Any], folder: Path | None) -> nn.Module:
        """The model that a checkpoint describes, freshly initialised.

        Args:
            carry: that of the job.
            folder: of the run; None for one that has not begun.
        """

    @abstractmethod
    def finished(self, found: Finished, model: nn.Module, recipe: Any) -> Any:
        """What a finished run loads as.

        Args:
            model: with the trained weights, in evaluation mode.
            recipe: the resolved one; None where a checkpoint lies outside of a run.
        """

    @abstractmethod
    def evaluate(self, run: Any, *args: Any, **options: Any) -> dict[str, Any]:
        """The figures of a run, as plain data; the arguments are the `options` of the task."""

    def text(self, report: Mapping[str, Any]) -> str | None:
        """A report of `evaluate` for people; None where its entries can be shown as they are."""
        return None

    def predict(self, run: Any, data: str | Path, out: str | Path) -> dict[str, Any]:
        """Write the predictions for the inputs of a file to a new file; a summary.

        Raises:
            ValueError: runs of this task predict no fields.
        """
        raise ValueError(
            f"A run of the task {self.name!r} ({self.summary}) predicts no fields. Load it with "
            f"{self.loader}."
        )
