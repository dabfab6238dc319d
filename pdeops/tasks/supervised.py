"""Supervised learning of an operator from pairs of input and target fields in data files."""
# Axes: b batch, t time, c channel, *space nodes.

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from ..batch import Batch
from ..compare.tables import markdown_table
from ..datasets import FieldDataset, Problem, open_dataset, problem_of
from ..datasets.spec import DatasetSpec
from ..losses import LOSSES
from ..metrics import MetricMean, definitions, metrics_of
from ..nn.operator import Operator
from ..runs.recipe import Choice, choice, table
from ..training import distributed
from ..training.objectives import Supervised
from . import operators, prediction, trajectories
from .data import DataTable, check_channels, check_frames, training_and_validation, windowed
from .fields import fields_of
from .operators import ON_A_DOMAIN, OPERATORS
from .points import integrals, located, points_of
from .task import Finished, Job, Task, TrainingRecipe
from .trajectories import TrajectoryMeasures

log = logging.getLogger("pdeops")


@dataclass(frozen=True, kw_only=True)
class SupervisedRecipe(TrainingRecipe):
    """The recipe of a run on pairs of fields."""

    task: ClassVar[str] = "supervised"

    data: DataTable = table(DataTable)
    model: Choice = choice(OPERATORS, given=OPERATORS.given)
    loss: Choice = choice(LOSSES, "RelativeL2", given=ON_A_DOMAIN)


@dataclass(frozen=True, repr=False)
class Run:
    """A finished run, callable on physical fields.

    Attributes:
        folder: the folder of the run.
        recipe: the resolved recipe of the run.
        operator: the trained network with its normalizers, in evaluation mode.
        domain: the domain of the training data.
        spec: the spec in the training file; None for a file of another project.
        in_channels: number of input channels, per frame if there is an axis of time.
        n_in, n_out: frames of the input and of the prediction; None without an axis of time.
    """

    task: ClassVar[str] = "supervised"

    folder: Path
    recipe: SupervisedRecipe
    operator: Operator
    domain: Any
    spec: DatasetSpec | None
    in_channels: int
    n_in: int | None = None
    n_out: int | None = None

    def __repr__(self) -> str:
        return operators.summary(self)

    @property
    def problem(self) -> Problem | None:
        """The problem of the training data; None if the file names none that pdeops knows."""
        problem = problem_of(self.spec) if self.spec else None
        return problem if isinstance(problem, Problem) else None

    def __call__(
        self,
        x: Any = None,
        *,
        positions: Any = None,
        mask: Any = None,
        weights: Any = None,
        parameters: Any = None,
        batch_size: int = 32,
    ) -> Any:
        """The predicted fields for x, on the grid or the points of x.

        x is a tensor, array, DataArray or list of shape (b, c, *space), or (*space) or (b, *space)
        for one input channel; with an axis of time (t, c, *space) or (b, t, c, *space). The
        prediction has the same layout and type; its numbers are floating, float64 if those of x
        are, see `fields.fields_of`.

        Args:
            x: by default the positions, where these are the input.
            positions, mask, weights, parameters: of samples with points of their own, (b, d, n),
                (b, n), (b, n) and (b, p), without b for one sample; see `Batch`. Padding, where the
                mask is false, is predicted as 0.

        Raises:
            ValueError: x has another number of axes, channels or frames, or is no array of real
                numbers; positions are missing or do not fit.
        """
        parameter = next(self.operator.parameters())
        given = {
            "positions": positions,
            "mask": mask,
            "weights": weights,
            "parameters": parameters,
        }
        at = points_of(self.domain, given)
        fields, restore = fields_of(positions if x is None else x, self.domain, parameter.dtype)
        if at is not None and np.ndim(positions) == 2:  # one sample
            return restore(self._predicted(fields[None], parameter, batch_size, at)[0])
        return restore(self._predicted(fields, parameter, batch_size, at))

    def _predicted(self, x: Tensor, parameter: Tensor, batch_size: int, at: Batch | None) -> Tensor:
        if at is not None and x.shape[-1] != at.positions.shape[-1]:
            raise ValueError(
                f"The last axis of the input counts points: positions are those of "
                f"{at.positions.shape[-1]}; got {tuple(x.shape)}."
            )
        if self.n_in is not None:
            return self._on_trajectories(x, parameter, batch_size, at)
        missing = self.domain.ndim + 2 - x.ndim
        if missing not in (0, 1, 2) or (missing and self.in_channels > 1):
            raise ValueError(
                f"The operator maps fields of shape (batch, {self.in_channels}, "
                f"{self.domain.ndim} space axes); got {tuple(x.shape)}."
            )
        fields = x[(None,) * (missing == 2)][(slice(None), None) if missing else ()]
        if fields.shape[1] != self.in_channels:
            raise ValueError(
                f"The operator takes {self.in_channels} input channel(s); got {fields.shape[1]} in "
                f"{tuple(x.shape)}."
            )
        y = operators.in_batches(self.operator, fields, parameter, batch_size, at)
        channel = 1 if self.n_out is None else 2
        if missing and y.shape[channel] == 1:
            y = y.squeeze(channel)
        return y[0] if missing == 2 else y

    def _on_trajectories(
        self, x: Tensor, parameter: Tensor, batch_size: int, at: Batch | None
    ) -> Tensor:
        missing = self.domain.ndim + 3 - x.ndim
        frames = x[None] if missing == 1 else x
        if missing not in (0, 1) or frames.shape[1:3] != (self.n_in, self.in_channels):
            raise ValueError(
                f"The operator maps fields of shape (batch, {self.n_in} frames, "
                f"{self.in_channels} channels, {self.domain.ndim} space axes); got "
                f"{tuple(x.shape)}."
            )
        y = operators.in_batches(self.operator, frames, parameter, batch_size, at)
        return y[0] if missing else y


class SupervisedTask(Task):
    """Trains on pairs from a data file and evaluates errors on the physical scale."""

    name = "supervised"
    summary = "operators on a data file"
    measured = "mean errors over a test file"
    recipe = SupervisedRecipe
    options = ("data",)
    can_divide = True

    def job(self, recipe: SupervisedRecipe, device: torch.device) -> Job:
        """Samples, operator and loss; normalizers are fitted to the training samples."""
        training, validation = (
            windowed(part, recipe.data.window) for part in training_and_validation(recipe.data)
        )
        carry = operators.describe(training, recipe.model, recipe.data)
        operator = operators.fresh(carry, recipe.model, recipe.seed)
        fit = operators.fit_scales if operator.has_time else operators.fit_both
        operator.input_normalizer, operator.output_normalizer = fit(operator, training)
        monitor = operators.monitor(training)
        return Job(
            operator,
            Supervised(operators.loss_on(training, recipe.loss)),
            operators.with_symmetries(training, recipe.data, recipe.seed),
            Validation(validation, device, monitor),
            monitor,
            carry,
        )

    def build(self, carry: Mapping[str, Any], folder: Path | None) -> Operator:
        """The operator; its normalizers are not fitted."""
        return operators.build(carry, folder)

    def finished(self, found: Finished, model: nn.Module, recipe: Any) -> Run:
        """A `Run`, callable on fields."""
        return Run(**operators.loaded(found, model, recipe))

    def evaluate(self, run: Run, data: str | Path | FieldDataset | None = None) -> dict[str, Any]:
        """Mean metrics of a run over a test set (by default the recipe's), on the physical scale.

        Returns every metric of `pdeops.metrics`, the relative residual of the discrete equation
        (None if the file names no equation that has one), and the number of samples; for windows of
        trajectories also the measures at each time, `TrajectoryMeasures.compute`.
        """
        dataset = self._predicted(run, data)
        problem = problem_of(dataset.spec) if dataset.spec else None
        steady = problem if isinstance(problem, Problem) else None
        metrics = MetricMean(dataset.domain)
        monitor = operators.monitor(dataset)
        frames = TrajectoryMeasures(dataset, monitor) if dataset.window else None
        residual, num_zero = 0.0, 0
        for batch in dataset.batches(32):
            prediction = run(batch.input, **located(batch))
            if frames is not None:
                frames.update(batch, prediction)
            num_zero += int((batch.target == 0).flatten(1).all(dim=1).sum())
            metrics.update(prediction, batch.target, batch)
            if steady is not None:
                domain: Any = dataset.domain
                residual += steady.residual(batch.input, prediction, domain).sum().item()
        if num_zero:
            log.warning(
                "%d of %d targets are zero everywhere: for these samples every relative error is "
                "the absolute error",
                num_zero,
                len(dataset),
            )
        report: dict[str, Any] = dict(metrics.compute())
        report["residual"] = None if steady is None else residual / len(dataset)
        report["samples"] = len(dataset)
        if (weighting := integrals(dataset)) is not None:
            report["integrals"] = weighting
        if frames is not None:
            report["trajectory"] = frames.compute()
        return report

    def examples(
        self, run: Run, data: str | Path | FieldDataset | None = None
    ) -> tuple[FieldDataset, Callable[[int], Tensor]]:
        """The test set, samples or windows, and the prediction of a sample."""
        dataset = self._predicted(run, data)

        def predict(index: int) -> Tensor:
            batch = dataset.read([index])
            return run(batch.input, **located(batch))[0]

        return dataset, predict

    def _predicted(self, run: Run, data: str | Path | FieldDataset | None) -> FieldDataset:
        """The samples or windows of a test set."""
        dataset = windowed(operators.evaluated_on(run, data), run.recipe.data.window)
        check_channels(dataset, run.in_channels)
        check_frames(dataset, run.n_in, run.n_out)
        return dataset

    def text(self, report: Mapping[str, Any]) -> str | None:
        """For windows of trajectories, the mean metrics and the figures at each time; else None."""
        if "trajectory" not in report:
            return None
        known = self.definitions()
        means = [(k, v, known[k]) for k, v in report.items() if k != "trajectory"]
        cells = [(k, _cell(v), note) for k, v, note in means]
        table = markdown_table(("over all frames", "mean", "definition"), cells)
        return f"{table}\n\n{trajectories.text(report['trajectory'])}"

    def definitions(self) -> Mapping[str, str]:
        """Definitions of the metrics, p the prediction and t the target."""
        return {
            **definitions(),
            "residual": "‖b - A p‖ / ‖b‖ of the discrete equation, mean over samples",
            "samples": "number of samples; every other entry is a mean over them",
            "integrals": "on points: weighted by the file's quadrature weights, or unweighted "
            "means over the points, as the file has none",
        }

    def predict(self, run: Run, data: str | Path, out: str | Path) -> dict[str, Any]:
        """Write the inputs and the predictions, under the targets' names, on the same grid.

        Trajectories are written with the axis time: the given frames, then the predicted ones.
        """
        prediction.prepare(out)
        dataset = windowed(open_dataset(data), run.recipe.data.window)
        check_channels(dataset, run.in_channels)
        check_frames(dataset, run.n_in, run.n_out)
        dataset.check(("input", "state"))
        pairs = ((batch, run(batch.input, **located(batch))) for batch in dataset.batches(256))
        return prediction.write(run, dataset, pairs, out)


def _cell(value: Any) -> str:
    """A measure in a table: four digits of a number, "-" if there is none."""
    if value is None:
        return "-"
    return value if isinstance(value, str) else f"{value:.4g}"


class Validation:
    """Mean metrics of an operator on the held-out samples, summed over all processes."""

    def __init__(self, dataset: FieldDataset, device: torch.device, monitor: str) -> None:
        self.dataset, self.device, self.monitor = dataset, device, monitor

    def __call__(self, operator: nn.Module) -> Mapping[str, float]:
        domain: Any = self.dataset.domain
        names = [n for n in metrics_of(domain) if n in (self.monitor, "relative_h1")]
        metrics = MetricMean(domain, names=names)
        mine = distributed.my_slice(len(self.dataset))
        for batch in self.dataset.subset(range(mine.start, mine.stop)).batches(32):
            there = batch.to(self.device)
            at = {"at": there} if "positions" in batch else {}
            metrics.update(operator(there.input, **at).cpu(), batch.target, batch)
        metrics.all_reduce()
        return metrics.compute()
