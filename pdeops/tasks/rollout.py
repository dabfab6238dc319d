"""Rollouts: a one-step model of an evolution, trained and evaluated on its own predictions.

A model maps n_in frames to the next n_out. Applied repeatedly to its own output, it predicts a
whole trajectory. Errors then accumulate, and the inputs leave the distribution of the data. Two
options counter this: training unrolls several steps, with or without the gradient through the
predictions that become input (unrolling; the pushforward trick, Brandstetter, Worrall & Welling
2022), or adds noise to the input (Sanchez-Gonzalez et al. 2020).
"""
# Axes: b batch, t time, c channel, *space nodes.

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..datasets import EvolutionProblem, FieldDataset, open_dataset, problem_of
from ..datasets.spec import DatasetSpec
from ..datasets.windows import Window
from ..losses import LOSSES
from ..nn.operator import Operator
from ..runs.recipe import Choice, choice, table
from ..training import distributed
from . import operators, prediction, trajectories
from .data import DataTable, check_channels, training_and_validation
from .fields import fields_of
from .operators import ON_A_DOMAIN, OPERATORS
from .task import Finished, Job, Task, TrainingRecipe
from .trajectories import TrajectoryMeasures
from .unrolling import Unrolled, roll_out, trajectory_errors


@dataclass(frozen=True)
class RolloutTable:
    """Options for training a one-step model.

    Attributes:
        steps: number of model steps per training sample; with 1, all inputs are frames of the data.
            2 to 5 are good values. Every step has its loss.
        pushforward: number of first steps whose predictions enter the next step without gradient;
            below `steps`. The published pushforward trick is steps = 2, pushforward = 1.
        noise: standard deviation of Gaussian noise on the input frames, relative to that of each
            channel; 0.001 to 0.01 are good values.

    Raises:
        ValueError: a value is out of its range.
    """

    steps: int = 1
    pushforward: int = 0
    noise: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.pushforward < self.steps:
            raise ValueError(
                f"rollout.pushforward must be at least 0 and below rollout.steps; got "
                f"{self.pushforward} of {self.steps} steps."
            )
        if not 0 <= self.noise < math.inf:
            raise ValueError(f"rollout.noise must be at least 0 and finite; got {self.noise}.")


@dataclass(frozen=True, kw_only=True)
class RolloutRecipe(TrainingRecipe):
    """The recipe of a run on trajectories. `data.window` holds the frames of one step of the model;
    by default the model maps one frame to the next."""

    task: ClassVar[str] = "rollout"

    data: DataTable = table(DataTable)
    model: Choice = choice(OPERATORS, given=OPERATORS.given)
    rollout: RolloutTable = table(RolloutTable)
    loss: Choice = choice(LOSSES, "RelativeL2", given=ON_A_DOMAIN)


@dataclass(frozen=True, repr=False)
class RolloutRun:
    """A finished run, callable on the first frames of a trajectory.

    Attributes:
        folder: the folder of the run.
        recipe: the resolved recipe of the run.
        operator: the trained one-step model with its normalizers, in evaluation mode.
        domain: the domain of the training data.
        spec: the spec in the training file; None for a file of another project.
        in_channels: number of channels of a frame.
        n_in, n_out: number of input and output frames of one step.
    """

    task: ClassVar[str] = "rollout"

    folder: Path
    recipe: RolloutRecipe
    operator: Operator
    domain: Any
    spec: DatasetSpec | None
    in_channels: int
    n_in: int
    n_out: int

    def __repr__(self) -> str:
        return operators.summary(self)

    @property
    def problem(self) -> EvolutionProblem | None:
        """The problem of the training data; None if the file names none that pdeops knows."""
        problem = problem_of(self.spec) if self.spec else None
        return problem if isinstance(problem, EvolutionProblem) else None

    def __call__(
        self,
        frames: Any,
        num_frames: int | None = None,
        *,
        times: Sequence[float] | None = None,
        times_in: Sequence[float] | None = None,
        batch_size: int = 32,
    ) -> Any:
        """The frames after the given ones: `num_frames` of them, with the spacing of the training,
        or those at `times`, (b, t, c, *space).

        Args:
            frames: (b, n_in, c, *space), in any form that `fields.fields_of` takes, on any grid of
                the domain; the result has the same type, with floating numbers. A model with an
                axis of time (SpatiotemporalFNO) takes any number of frames that it can fit.
            times: times of the wanted frames after the last given one, increasing; only for a model
                with an axis of time.
            times_in: times of the given frames relative to the last; by default they have the
                spacing of the training.

        Raises:
            ValueError: `frames` has another shape, `num_frames` is not an integer >= 1, or times
                are given for a model with a fixed step.
        """
        number = len(times) if times is not None else num_frames
        if number is None or None not in (num_frames, times):
            raise ValueError("Give either num_frames or times; got both or neither.")
        if not isinstance(number, Integral):
            raise ValueError(f"num_frames is an integer >= 1; got {number!r}.")
        if not self.operator.has_time and not (times is None and times_in is None):
            raise ValueError(
                f"{self.recipe.model.name} has the fixed time step of its training; only a model "
                f"with an axis of time (SpatiotemporalFNO) takes times. Give num_frames."
            )
        parameter = next(self.operator.parameters())
        frames, restore = fields_of(frames, self.domain, parameter.dtype)
        given = frames.shape[1] if self.operator.has_time else self.n_in
        shape = (given, self.in_channels)
        if frames.ndim != self.domain.ndim + 3 or frames.shape[1:3] != shape or number < 1:
            raise ValueError(
                f"A rollout takes fields of shape (batch, {self.n_in} frames, {self.in_channels} "
                f"channels, {self.domain.ndim} space axes) and gives 1 or more frames; got "
                f"{tuple(frames.shape)} and num_frames {number}."
            )
        predict = self._predict(number, times, times_in)
        return restore(operators.in_batches(predict, frames, parameter, batch_size))

    def _predict(
        self, number: int, times: Sequence[float] | None, times_in: Sequence[float] | None
    ) -> Callable[[Tensor], Tensor]:
        """Given frames -> predicted frames."""
        if not self.operator.has_time:
            return lambda u: roll_out(self.operator, u, number)
        if times is None:
            step: Any = self.operator.model.times_out  # of one window, repeated
            times = [step[-1] * (k // len(step)) + step[k % len(step)] for k in range(number)]
        return lambda u: self.operator(u, times_in, times)


class RolloutTask(Task):
    """Trains a one-step model on trajectories and evaluates the error of whole rollouts."""

    name = "rollout"
    summary = "one-step models of trajectories"
    measured = "errors, correlation time, spectra and blow-up of whole rollouts"
    recipe = RolloutRecipe
    options = ("data",)
    can_divide = True

    def job(self, recipe: RolloutRecipe, device: torch.device) -> Job:
        """Trains on windows of trajectories, validates on whole held-out trajectories."""
        trajectories, held_out = training_and_validation(recipe.data)
        require_states(trajectories)
        if trajectories.domain.num_nodes < 0:
            raise ValueError(
                f"The task 'rollout' needs nodes that all samples share; {recipe.data.train} has "
                f"points of each sample. Train with task = 'supervised' and data.window."
            )
        window, steps = recipe.data.window or Window(), recipe.rollout.steps
        one_step = trajectories.windowed(window)
        training = trajectories.windowed(Window(window.n_in, steps * window.n_out, window.stride))
        carry = operators.describe(one_step, recipe.model, recipe.data)
        operator = operators.fresh(carry, recipe.model, recipe.seed)
        operator.input_normalizer, scale = operators.fit_scales(operator, trajectories)
        operator.output_normalizer = scale
        monitor = operators.monitor(training)
        return Job(
            operator,
            Unrolled(
                operators.loss_on(training, recipe.loss),
                steps=steps,
                pushforward=recipe.rollout.pushforward,
                noise=recipe.rollout.noise,
                scale=scale,
            ),
            operators.with_symmetries(training, recipe.data, recipe.seed),
            Validation(whole_trajectories(held_out, window), device, monitor),
            monitor,
            carry,
        )

    def build(self, carry: Mapping[str, Any], folder: Path | None) -> Operator:
        """The one-step operator; its normalizers are not fitted."""
        return operators.build(carry, folder)

    def finished(self, found: Finished, model: nn.Module, recipe: Any) -> RolloutRun:
        """A `RolloutRun`, callable on the first frames."""
        return RolloutRun(**operators.loaded(found, model, recipe))

    def evaluate(
        self, run: RolloutRun, data: str | Path | FieldDataset | None = None
    ) -> dict[str, Any]:
        """Errors of rollouts over a test set (by default the recipe's), on the physical scale.

        The first n_in frames of a trajectory predict all later ones. Returns the mean of the metric
        (relative_l2, or vrmse for fields in different units) over samples and times, for the model
        and for persistence (the last given frame repeated), and errors, correlation, spectra,
        diagnostics of the equation and blow-ups; see `TrajectoryMeasures.compute`.
        """
        dataset = self._predicted(run, data)
        measures = TrajectoryMeasures(dataset, operators.monitor(dataset))
        for batch in dataset.batches(32):
            measures.update(batch, run(batch.input, batch.target.shape[1]))
        return measures.compute()

    def examples(
        self, run: RolloutRun, data: str | Path | FieldDataset | None = None
    ) -> tuple[FieldDataset, Callable[[int], Tensor]]:
        """The trajectories of the test set, and the rollout of one of them."""
        dataset = self._predicted(run, data)

        def predict(index: int) -> Tensor:
            batch = dataset.read([index])
            return run(batch.input, batch.target.shape[1])[0]

        return dataset, predict

    def _predicted(self, run: RolloutRun, data: str | Path | FieldDataset | None) -> FieldDataset:
        """The whole trajectories of a test set."""
        dataset = operators.evaluated_on(run, data)
        require_states(dataset)
        check_channels(dataset, run.in_channels)
        return whole_trajectories(dataset, run.recipe.data.window or Window())

    def text(self, report: Mapping[str, Any]) -> str:
        """Means over the trajectories, and a Markdown table of the figures at each time."""
        return trajectories.text(report)

    def predict(self, run: RolloutRun, data: str | Path, out: str | Path) -> dict[str, Any]:
        """Write the trajectories with the axis time: the given frames, then the predicted ones."""
        prediction.prepare(out)
        dataset = open_dataset(data)
        require_states(dataset)
        check_channels(dataset, run.in_channels)
        dataset.check()
        dataset = whole_trajectories(dataset, run.recipe.data.window or Window())
        pairs = ((b, run(b.input, b.target.shape[1])) for b in dataset.batches(64))
        return prediction.write(run, dataset, pairs, out)


def require_states(dataset: FieldDataset) -> None:
    """Raise a ValueError unless the frames of the data are both input and target of a step, with
    equal steps in time."""
    if dataset.n_in is None or dataset.n_out is None:
        raise ValueError(
            f"The task 'rollout' needs trajectories, fields with the axis time; {dataset} has "
            f"none. Use the task 'supervised'."
        )
    names = dataset.inputs[: dataset.out_channels]
    if names != dataset.targets:
        raise ValueError(
            f"A rollout feeds predictions back as input, so both have the same fields; {dataset} "
            f"has {', '.join(dataset.inputs)} and {', '.join(dataset.targets)}. Use the task "
            f"'supervised'."
        )
    dataset.uniform_time_step()  # raises: one step of the model is one step in time


def whole_trajectories(dataset: FieldDataset, window: Window) -> FieldDataset:
    """Windows of maximal length, with the input frames and stride of `window`."""
    assert dataset.n_in is not None
    assert dataset.n_out is not None
    num_frames = dataset.n_in + dataset.n_out
    return dataset.windowed(Window.whole(num_frames, window.n_in, window.stride))


class Validation:
    """Mean error over held-out trajectories and times, summed over all processes."""

    def __init__(self, dataset: FieldDataset, device: torch.device, monitor: str) -> None:
        self.dataset, self.device, self.monitor = dataset, device, monitor

    def __call__(self, operator: nn.Module) -> Mapping[str, float]:
        def predict(frames: Tensor, num_frames: int) -> Tensor:
            return roll_out(operator, frames.to(self.device), num_frames)

        mine = distributed.my_slice(len(self.dataset))
        errors = trajectory_errors(predict, self.dataset, self.monitor, mine, self.device)
        return {self.monitor: errors.mean().item(), "first_step_error": errors[0].item()}
