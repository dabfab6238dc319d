"""The interface of a task, a kind of job. A new task is one file with a subclass of `Task`, and one
line in `TASKS` (`tasks/__init__.py`)."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ..datasets import FieldDataset
from ..runs.recipe import Choice, Recipe, choice, table
from ..training.learner import Objective
from ..training.optim import OPTIMIZERS, SCHEDULES
from ..training.options import TrainingOptions


@dataclass(frozen=True, kw_only=True)
class TrainingRecipe(Recipe):
    """The tables shared by the recipes of all tasks; a task adds its own, and defines `model`.

    Attributes:
        sources: the tables that may name a class of the user's own, whose file the run keeps. A
            resumed run has the same.
        fixed: other tables that must not change when a run is resumed, besides those of the
            trainer.
    """

    sources: ClassVar[tuple[str, ...]] = ("model",)
    fixed: ClassVar[tuple[str, ...]] = ()

    model: Choice
    optimizer: Choice = choice(OPTIMIZERS, "AdamW")
    schedule: Choice = choice(SCHEDULES, "OneCycle")
    training: TrainingOptions = table(TrainingOptions)


@dataclass(frozen=True)
class Job:
    """The objects that a task builds from a recipe for the trainer.

    Attributes:
        model: initialised from the recipe's seed.
        objective: (model, batch) -> mean loss of the batch.
        dataset: the training samples, a dataset of `Batch`es.
        validate: model -> metrics by name over held-out samples, summed over all processes.
        monitor: the metric that selects the best weights; lower is better.
        carry: plain data from which `Task.build` rebuilds the model; its key `model` describes it.
    """

    model: nn.Module
    objective: Objective
    dataset: Dataset
    validate: Callable[[nn.Module], Mapping[str, float]]
    monitor: str
    carry: dict[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Finished:
    """The content of a checkpoint and its source.

    Attributes:
        source: the folder of a run, a checkpoint file, or the name of shipped weights.
        folder: the run's folder; None if the checkpoint is not in one.
        state: the content of the checkpoint.
    """

    source: str
    folder: Path | None
    state: dict[str, Any] = field(repr=False)

    @property
    def carry(self) -> dict[str, Any]:
        """The task's entry in the checkpoint, `Job.carry`."""
        return self.state["carry"]


class Task(ABC):
    """A kind of job: its recipe, training, finished runs and their evaluation.

    Attributes:
        name: the name in recipes, as in `task = "supervised"`.
        summary: a short description of what is trained, for messages and lists.
        measured: a short description of what `evaluate` reports, for messages.
        recipe: the dataclass of its recipes, whose `task` is `name`.
        loader: the public function that loads its runs.
        options: names of the arguments of `evaluate` after the run.
        prediction_options: names of the keyword arguments of `predict`; a task without any predicts
            from a data file.
        can_divide: whether the objective calls the model by `forward` only, so that processes can
            share its weights and fields (`training.shard`, `training.slabs`).
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    measured: ClassVar[str] = "its metrics"
    recipe: ClassVar[type[TrainingRecipe]]
    loader: ClassVar[str] = "pdeops.load_run"
    options: ClassVar[tuple[str, ...]] = ()
    prediction_options: ClassVar[tuple[str, ...]] = ()
    can_divide: ClassVar[bool] = False

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
            carry: the attribute `carry` of the job.
            folder: the run's folder; None before training.
        """

    @abstractmethod
    def finished(self, found: Finished, model: nn.Module, recipe: Any) -> Any:
        """The finished run that `load_run` returns.

        Args:
            model: the model with its trained weights, in evaluation mode.
            recipe: the resolved recipe; None if the checkpoint is not in a run's folder.
        """

    @abstractmethod
    def evaluate(self, run: Any, *args: Any, **options: Any) -> dict[str, Any]:
        """The metrics of a run, as plain data; the arguments are the `options` of the task."""

    def text(self, report: Mapping[str, Any]) -> str | None:
        """A report of `evaluate` as Markdown; None if its entries are printed as a table."""
        return None

    def definitions(self) -> Mapping[str, str]:
        """Definitions of the entries of a report, printed with them."""
        return {}

    def examples(
        self, run: Any, data: str | Path | None = None
    ) -> tuple[FieldDataset, Callable[[int], Tensor]]:
        """The data set that `evaluate` predicts, and a function that maps the index of a sample to
        its prediction, of the shape of its target.

        Raises:
            ValueError: runs of this task predict no fields.
        """
        raise ValueError(
            f"A run of the task {self.name!r} ({self.summary}) predicts no fields, so there is "
            f"nothing to draw. Leave out --plot."
        )

    def predict(self, run: Any, data: Any, out: str | Path) -> dict[str, Any]:
        """Write the predictions for the inputs of a file to a new file; returns a summary.

        Raises:
            ValueError: runs of this task predict no fields.
        """
        raise ValueError(
            f"A run of the task {self.name!r} ({self.summary}) predicts no fields. Load it with "
            f"{self.loader}."
        )
