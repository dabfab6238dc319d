"""Runs: a recipe becomes data, normalizers and model, is trained, and is loaded as an operator."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from ..datasets import FieldDataset, Problem, compatible, open_dataset, problem_of
from ..datasets.layouts import native_file
from ..datasets.spec import DatasetSpec
from ..datasets.spec import Field as FieldSpec
from ..datasets.symmetry import DihedralAugmentation, check_isometric
from ..domain import domain_from_dict
from ..losses import LOSSES
from ..metrics import MetricMean
from ..models import MODELS
from ..nn.operator import Operator
from ..nn.symmetry import SymmetricAverage
from ..normalizer import Normalizer
from ..runs.folder import fresh_folder, open_folder, recipe_of, withdraw
from ..runs.recipe import Recipe, SystemsRecipe
from ..training import checkpoint, distributed
from ..training.objectives import Supervised
from ..training.optim import OPTIMIZERS, SCHEDULES
from ..training.record import History
from ..training.trainer import Trainer
from . import preconditioner as run_systems

log = logging.getLogger("pdeops")
Field = TypeVar("Field", Tensor, np.ndarray)

# Validation and model selection look at this metric; the lower the better.
MONITOR = "relative_l2"


@dataclass(frozen=True)
class Run:
    """A finished run, callable on physical fields.

    Attributes:
        folder: the run's own folder.
        recipe: the resolved recipe it was trained from.
        operator: the trained network with its normalizers, in evaluation mode.
        domain: that of the training data.
        spec: what the training file says of itself; None for a foreign file.
    """

    folder: Path
    recipe: Recipe
    operator: Operator
    domain: Any
    spec: DatasetSpec | None
    in_channels: int

    @property
    def problem(self) -> Problem | None:
        """The equation behind the training data, where the file names one that pdeops knows."""
        problem = problem_of(self.spec) if self.spec else None
        return problem if isinstance(problem, Problem) else None

    def __call__(self, x: Field, *, batch_size: int = 32) -> Field:
        """The predicted fields for x, on the grid x is given on.

        x is a tensor or array of shape (*space), (b, *space) when there is one input channel, or
        (b, c, *space); the prediction has the same form, type and precision.

        Raises:
            ValueError: x has another number of axes or channels.
        """
        if isinstance(x, np.ndarray):
            return self(torch.from_numpy(x), batch_size=batch_size).numpy()
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
        parameter = next(self.operator.parameters())
        with torch.no_grad():
            y = torch.cat([self.operator(b.to(parameter)) for b in fields.split(batch_size)])
        if missing and y.shape[1] == 1:
            y = y[:, 0]
        return (y[0] if missing == 2 else y).to(x.device, x.dtype)


def train(
    recipe: Recipe | SystemsRecipe, *, out: str | Path | None = None, device: str = "auto"
) -> dict[str, Any]:
    """Train a recipe into a fresh run folder: its name, best validation metrics, and why it ended.

    The folder is `out`, or runs/<name>/<time>-<hash> below the working directory.

    Raises:
        ValueError: the data do not fit the recipe, or `out` already holds a run.
    """
    with distributed.process_group(_device(device)) as place:
        folder = distributed.from_main(fresh_folder(recipe, out))
        trainer = _assemble(recipe, folder, place)
        try:
            if distributed.is_main():
                open_folder(folder, recipe, place)
            return _report(trainer.fit(), folder)
        except BaseException:
            if distributed.is_main() and not trainer.last_path.exists():
                withdraw(folder)
            raise


def resume(folder: str | Path, *, device: str = "auto") -> dict[str, Any]:
    """Continue an interrupted run exactly where its last checkpoint stands."""
    folder = Path(folder)
    recipe = recipe_of(folder)
    with distributed.process_group(_device(device)) as place:
        trainer = _assemble(recipe, folder, place)
        trainer.resume()
        return _report(trainer.fit(), folder)


def load_run(folder: str | Path, *, weights: str = "best", device: str = "cpu") -> Run:
    """The trained operator of a run folder, with its best weights on validation or its last ones.

    Raises:
        ValueError: the folder holds no run, or a checkpoint of another format version.
    """
    folder, place = Path(folder), _device(device)
    recipe = recipe_of(folder)
    if isinstance(recipe, SystemsRecipe):
        raise ValueError(
            f"{folder} holds a network inside a solver, not an operator; use load_correction."
        )
    state = checkpoint.load(folder / "checkpoints" / f"{weights}.pt", map_location=place)
    carry = state["carry"]
    operator = _build(carry)
    operator.load_state_dict(state["model"])
    grid = domain_from_dict(carry["grid"])
    spec = DatasetSpec.from_json(carry["spec"]) if carry["spec"] else None
    return Run(folder, recipe, operator.to(place).eval(), grid, spec, carry["in_channels"])


def evaluate(run: Run, data: str | Path | FieldDataset | None = None) -> dict[str, Any]:
    """Mean metrics of a run over a test set (by default the recipe's), on the physical scale.

    Returns every metric of `pdeops.metrics`, the relative residual of the discrete equation (None
    where the file names no equation), and the number of samples.
    """
    if data is None:
        data = run.recipe.data.test
        if data is None:
            raise ValueError("The recipe names no test file; name one with --data FILE.")
    dataset = data if isinstance(data, FieldDataset) else open_dataset(data)
    _check_channels(dataset, run.in_channels, "The run's operator")
    problem = problem_of(dataset.spec) if dataset.spec else None
    domain: Any = dataset.domain
    metrics = MetricMean(domain)
    residual = 0.0
    for batch in dataset.batches(32):
        prediction = run(batch.input)
        metrics.update(prediction, batch.target)
        if isinstance(problem, Problem):
            residual += problem.residual(batch.input, prediction, domain).sum().item()
    report: dict[str, Any] = dict(metrics.compute())
    report["residual"] = residual / len(dataset) if isinstance(problem, Problem) else None
    report["samples"] = len(dataset)
    return report


def predict(run: Run, data: str | Path, out: str | Path) -> dict[str, Any]:
    """Write the predictions for every input of a file to a new file of the project's format.

    It holds the inputs and, under the targets' names, what the operator says, on the same grid.

    Raises:
        ValueError: `out` exists, or the file's inputs are not those of the operator.
    """
    native_file.refuse_existing(Path(out))
    dataset = open_dataset(data)
    _check_channels(dataset, run.in_channels, "The run's operator")
    x = torch.cat([batch.input for batch in dataset.batches(256)])
    y = run(x)
    source = f"predicted by {run.recipe.model.name}, run {run.folder.name}"
    if dataset.spec:
        spec = replace(dataset.spec, source=source, num_samples=len(dataset))
    else:
        roles = [(name, "input") for name in dataset.inputs]
        roles += [(name, "target") for name in dataset.targets]
        spec = DatasetSpec(
            name="prediction",
            kind=run.recipe.name,
            equation="not stated in the input file",
            fields=tuple(FieldSpec(native_file.free_name(n, role), role, n) for n, role in roles),
            domain=dataset.domain,
            parameters={},
            seed=None,
            num_samples=len(dataset),
            source=source,
            licence="that of the input file",
        )
    native_file.write(out, spec, spec.by_field("input", x) | spec.by_field("target", y))
    return {"out": str(out), "samples": len(dataset), "grid": list(dataset.domain.shape)}


def _assemble(recipe: Recipe | SystemsRecipe, folder: Path, device: torch.device) -> Trainer:
    """Data, normalizers, model and trainer of a recipe."""
    if isinstance(recipe, SystemsRecipe):
        return run_systems.assemble(recipe, folder, device)
    training, validation = _data(recipe)
    grid = training.domain
    spec = training.spec
    if recipe.data.average_symmetries:
        check_isometric(training)
    half_open = {"half_open": training.half_open}
    carry: dict[str, Any] = {
        "model": recipe.model.name,
        "arguments": dict(recipe.model.arguments),
        "in_channels": training.in_channels,
        "out_channels": training.out_channels,
        "grid": grid.to_dict(),
        "symmetries": half_open if recipe.data.average_symmetries else None,
        "spec": spec.to_json() if spec else None,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)  # torch's layers initialise from the global generator
        operator = _build(carry)
    operator.input_normalizer = Normalizer.fit(batch.input for batch in training.batches(64))
    operator.output_normalizer = Normalizer.fit(batch.target for batch in training.batches(64))
    loss = LOSSES[recipe.loss.name](grid, **recipe.loss.arguments)
    units = _units(spec)
    if len(units) > 1 and loss.pools_channels:
        raise ValueError(
            f"The loss {recipe.loss.name} adds up the errors of all channels, and the targets are "
            f"in {', '.join(units)}: the largest numbers would be all that is learnt. Set "
            f"loss.name = 'PerChannel'."
        )
    monitor = MONITOR if len(units) < 2 else "vrmse"
    return Trainer(
        operator,
        Supervised(loss),
        DihedralAugmentation(training, recipe.seed) if recipe.data.symmetries else training,
        options=recipe.training,
        optimizer=OPTIMIZERS[recipe.optimizer.name](**recipe.optimizer.arguments),
        schedule=SCHEDULES[recipe.schedule.name](**recipe.schedule.arguments),
        evaluate=_Validation(validation, device, monitor),
        monitor=monitor,
        folder=folder,
        seed=recipe.seed,
        device=device,
        carry=carry,
    )


def _build(carry: Mapping[str, Any]) -> Operator:
    """The operator that a checkpoint describes, freshly initialised, its normalizers not fitted."""
    channels, grid = (carry["in_channels"], carry["out_channels"]), domain_from_dict(carry["grid"])
    model = MODELS[carry["model"]](*channels, grid, **carry["arguments"])
    if carry["symmetries"] is not None:
        model = SymmetricAverage(model, grid, **carry["symmetries"])
    return Operator(model, *(Normalizer.identity(c) for c in channels))


class _Validation:
    """Mean metrics of an operator on the held-out samples, summed over all processes."""

    def __init__(self, dataset: FieldDataset, device: torch.device, monitor: str) -> None:
        self.dataset, self.device, self.monitor = dataset, device, monitor

    def __call__(self, operator: nn.Module) -> Mapping[str, float]:
        domain: Any = self.dataset.domain
        metrics = MetricMean(domain, names=(self.monitor, "relative_h1"))
        mine = distributed.my_slice(len(self.dataset))
        for batch in self.dataset.subset(range(mine.start, mine.stop)).batches(32):
            metrics.update(operator(batch.input.to(self.device)).cpu(), batch.target)
        metrics.all_reduce()
        return metrics.compute()


def _units(spec: DatasetSpec | None) -> list[str]:
    """Of the targets, each once, where a file says them."""
    fields = spec.fields if spec else ()
    return sorted({f.units for f in fields if f.role == "target"})


def _data(recipe: Recipe) -> tuple[FieldDataset, FieldDataset]:
    """Training and validation samples, checked; the test file is checked against them, not read."""
    table = recipe.data
    training = open_dataset(table.train)
    if table.samples is not None:
        if table.samples > len(training):
            raise ValueError(
                f"data.samples = {table.samples}, but {table.train} has {len(training)}. Ask for "
                f"fewer."
            )
        training = training.subset(range(table.samples))
    training.check()
    if isinstance(table.validation, str):
        validation = open_dataset(table.validation)
        validation.check()
        compatible(training, validation)
    else:
        training, validation = _hold_out(training, table.validation)
    if table.test is not None:
        _check_test(training, table.test)
    return training, validation


def _hold_out(dataset: FieldDataset, amount: int | float) -> tuple[FieldDataset, FieldDataset]:
    """The first samples to train on, and the last ones (a count, or a fraction) held out."""
    number = max(round(amount * len(dataset)) if amount < 1 else int(amount), 1)
    kept = len(dataset) - number
    if kept < 1:
        raise ValueError(
            f"data.validation = {amount} leaves no sample to train on: the file has "
            f"{len(dataset)}. Hold out fewer, or name a validation file."
        )
    return dataset.subset(range(kept)), dataset.subset(range(kept, len(dataset)))


def _check_test(training: FieldDataset, file: str) -> None:
    """Refuse a test file that cannot be evaluated; one that is not there yet is only mentioned."""
    if not Path(file).exists():
        log.warning("test file %s does not exist yet; evaluation will need it", file)
        return
    test = open_dataset(file)
    compatible(training, test)
    if training.spec and test.spec and None is not training.spec.seed == test.spec.seed:
        log.warning("%s has the seed of the training data, hence the same samples", file)


def _check_channels(dataset: FieldDataset, in_channels: int, whose: str) -> None:
    if dataset.in_channels != in_channels:
        raise ValueError(
            f"{whose} takes {in_channels} input channel(s); the file holds {dataset.in_channels}. "
            f"Choose a file of the same problem."
        )


def _report(history: History, folder: Path) -> dict[str, Any]:
    """What a training reached, for people and machines."""
    return {
        "run": str(folder),
        "validation": dict(history.best_metrics),
        "best_epoch": history.best_epoch,
        "epochs": history.epochs,
        "reason": history.reason,
    }


def _device(name: str) -> torch.device:
    """The named device; auto is a GPU where there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"Unknown device {name!r}; use auto, cpu, cuda or cuda:1.") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"Device {name!r} asked for, but torch sees no GPU; use --device cpu.")
    return device
