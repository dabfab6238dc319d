"""Operators from recipes: a registered or user-defined model with its normalizers."""
# Axes: b batch, t time, c channel, *space nodes.

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ..batch import Batch
from ..datasets import FieldDataset, open_dataset
from ..datasets.spec import DatasetSpec
from ..datasets.symmetry import DihedralAugmentation, check_isometric
from ..domain import domain_from_dict
from ..losses import LOSSES, Loss
from ..models import MODELS
from ..nn.domains import check_domain
from ..nn.operator import Operator
from ..nn.parameters import num_parameters
from ..nn.symmetry import SymmetricAverage
from ..normalizer import Normalizer
from ..runs.recipe import Choice
from . import own_models
from .data import DataTable, units
from .frames import FramesAsAxis, FramesAsChannels, with_time_axis
from .points import real
from .task import Finished

log = logging.getLogger("pdeops")

OPERATORS = own_models.Models(
    MODELS,
    given=("in_channels", "out_channels", "grid|domain|points"),
    keywords=("times_in", "times_out"),
)
ON_A_DOMAIN = ("grid", "domain")  # arguments that a run passes to the constructor of a loss


def describe(training: FieldDataset, model: Choice, table: DataTable) -> dict[str, Any]:
    """The description of an operator in a checkpoint, as plain data; `build` takes it."""
    declared = getattr(OPERATORS[model.name], "has_time", False)
    if table.time_axis and (declared or table.average_symmetries):
        raise ValueError(
            f"data.time_axis is for models without an axis of time, and without "
            f"data.average_symmetries; got {model.name}"
            f"{'' if declared else ' and average_symmetries'}. Set it to false."
        )
    if table.average_symmetries:
        if declared:
            raise ValueError(
                f"data.average_symmetries does not apply to {model.name}, whose fields have an "
                f"axis of time. Set it to false; data.symmetries transforms the training samples."
            )
        check_isometric(training)
    return {
        **(window_times(training, model.name) if declared else {}),
        "model": own_models.describe(model),
        "in_channels": training.in_channels,
        "out_channels": training.out_channels,
        "n_in": training.n_in,
        "n_out": training.n_out,
        "time_axis": table.time_axis,
        "domain": training.domain.to_dict(),
        "symmetries": {"half_open": training.half_open} if table.average_symmetries else None,
        "spec": training.spec.to_json() if training.spec else None,
    }


def fresh(carry: Mapping[str, Any], model: Choice, seed: int) -> Operator:
    """The operator of a recipe, initialised from its seed; the normalizers are not fitted."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # torch's layers initialise from the global generator
        return build({**carry, "model": asdict(model)}, None)


def build(carry: Mapping[str, Any], folder: Path | None) -> Operator:
    """The operator that a checkpoint describes, with initial weights and identity normalizers.

    Frames become channels or an axis of the grid here, and only here, unless the model declares
    `has_time = True`.
    """
    domain, channels = (
        domain_from_dict(carry["domain"]),
        (carry["in_channels"], carry["out_channels"]),
    )
    frames = carry["n_in"], carry["n_out"]
    cls = OPERATORS.named(carry["model"], folder)
    check_domain(cls, domain)
    declared = getattr(cls, "has_time", False)
    along_time = carry.get("time_axis", False)  # checkpoints of before lack it
    folded = frames != (None, None) and not declared
    frames_in_channels = (frames[0], None) if along_time else frames
    width = tuple(
        c * (n or 1) if folded else c for c, n in zip(channels, frames_in_channels, strict=True)
    )
    times = {name: carry[name] for name in OPERATORS.keywords if declared and name in carry}
    grid = with_time_axis(domain, frames[1], cls.__name__) if along_time else domain
    model = OPERATORS.build(carry["model"], folder, *width, grid, **times)
    if carry["symmetries"] is not None:
        model = SymmetricAverage(model, domain, **carry["symmetries"])
    if folded:
        model = FramesAsAxis(model, *frames) if along_time else FramesAsChannels(model, *frames)
    scales = (Normalizer.identity(c) for c in channels)
    return Operator(model, *scales, n_in=frames[0], n_out=frames[1], domain=domain)


def window_times(training: FieldDataset, model: str) -> dict[str, list[float]]:
    """The times of the input and output frames of a window relative to its last input frame; one
    unit of time apart if the file states no times.

    Raises:
        ValueError: the data have no trajectories, or the times depend on where the window begins.
    """
    window = training.window
    if window is None:
        raise ValueError(
            f"{model} maps frames to later frames, and {training} has none. Use files whose fields "
            f"have the role 'state' and the axis time, or another model."
        )
    stored = np.asarray(training.times or range(window.span), dtype=np.float64)
    starts = np.arange(window.num_starts(len(stored)))
    times = stored[window.frames(starts)]
    times = times - times[:, window.n_in - 1, None]
    even = (times[0, -1] - times[0, 0]) / (window.num_frames - 1) * np.arange(window.num_frames)
    even -= even[window.n_in - 1]
    if np.allclose(times, even, rtol=0, atol=1e-5 * abs(even[-1])):
        times = even[None]
    elif not np.allclose(times, times[0], rtol=0, atol=1e-5 * abs(times[0, -1])):
        raise ValueError(
            f"The frames of {training} are not equally spaced, so the windows of "
            f"{window.num_frames} frames have different times, and {model} has one set of times. "
            f"Interpolate the frames to equal spacing, or use one window per trajectory."
        )
    n_in = window.n_in
    return {"times_in": times[0, :n_in].tolist(), "times_out": times[0, n_in:].tolist()}


def with_symmetries(training: FieldDataset, table: DataTable, seed: int) -> Dataset:
    """The training samples, transformed by symmetries of the box if the recipe asks for it.

    It warns if the file does not state that its samples have these symmetries.
    """
    if (table.symmetries or table.average_symmetries) and (
        training.spec is None or training.spec.isometric is None
    ):
        log.warning(
            "%s does not state that its equation, boundary and inputs are symmetric under "
            "rotations and reflections of the box, as data.symmetries assumes. A flow with a "
            "direction (a mean wind, a moving force) is not; set data.symmetries and "
            "data.average_symmetries to false for such data.",
            table.train,
        )
    return DihedralAugmentation(training, seed) if table.symmetries else training


def fit_normalizer(batches: Iterable[Tensor], num_frames: int | None) -> Normalizer:
    """Mean and standard deviation per channel over all samples and frames (if there are any)."""
    return Normalizer.fit(u if num_frames is None else u.flatten(0, 1) for u in batches)


def fit_both(operator: Operator, training: FieldDataset) -> tuple[Normalizer, Normalizer]:
    """The normalizers of inputs and of targets, each with statistics of its own."""
    return (
        fit_normalizer((real(b, b.input) for b in training.batches(64)), training.n_in),
        fit_normalizer((real(b, b.target) for b in training.batches(64)), training.n_out),
    )


def fit_scales(operator: Operator, trajectories: FieldDataset) -> tuple[Normalizer, Normalizer]:
    """The normalizers of input and prediction of a map of states. Predictions become input, so both
    are scaled by the statistics of all frames; inputs that are constant in time have a scale of
    their own. Components of a vector that the model keeps divergence-free share one deviation."""
    channels = trajectories.out_channels
    frames = (torch.cat([b.input[:, :, :channels], b.target], 1) for b in trajectories.batches(64))
    state = fit_normalizer(frames, trajectories.n_out)
    if getattr(operator.model, "divergence_free", False):
        state = Normalizer(state.mean, state.std.square().mean().sqrt().expand(channels))
    if trajectories.in_channels == channels:
        return state, state
    fixed = fit_normalizer((b.input[:, 0, channels:] for b in trajectories.batches(64)), None)
    both = Normalizer(torch.cat([state.mean, fixed.mean]), torch.cat([state.std, fixed.std]))
    return both, state


def loss_on(training: FieldDataset, loss: Choice) -> Loss:
    """The loss of a recipe on the domain of its data.

    Raises:
        ValueError: the loss adds up errors of fields in different units.
    """
    built = LOSSES[loss.name](training.domain, **loss.arguments)
    found = units(training)
    if len(found) > 1 and built.pools_channels:
        raise ValueError(
            f"The loss {loss.name} adds up the errors of all channels, and the targets are "
            f"in {', '.join(found)}: the largest values would dominate the loss. Set "
            f"loss.name = 'PerChannel'."
        )
    return built


def monitor(training: FieldDataset) -> str:
    """The metric that selects the best weights; it does not pool channels in different units."""
    return metric_for(units(training))


def metric_for(units: Collection[str]) -> str:
    """The main metric of fields in these units."""
    return "relative_l2" if len(units) < 2 else "vrmse"


def in_batches(
    operator: Callable[..., Tensor],
    x: Tensor,
    parameter: Tensor,
    batch_size: int,
    at: Batch | None = None,
) -> Tensor:
    """The operator on x without gradients, `batch_size` samples at a time on the device of
    `parameter`; the result has the device and dtype of x.

    Args:
        at: positions of these samples, where samples have points of their own.
    """
    parts = x.split(batch_size)
    located: list[dict[str, Any]] = [{} for _ in parts]
    if at is not None:
        located = [{"at": part.to(parameter)} for part in at.split(batch_size)]
    with torch.no_grad():
        y = torch.cat(
            [operator(u.to(parameter), **there) for u, there in zip(parts, located, strict=True)]
        )
    return y.to(x.device, x.dtype)


def loaded(found: Finished, model: nn.Module, recipe: Any) -> dict[str, Any]:
    """The attributes that the finished runs of all tasks on fields share, by name.

    Raises:
        ValueError: the checkpoint is not in a run's folder.
    """
    if recipe is None or found.folder is None:
        raise ValueError(
            f"{found.source} lies outside of the folder of its run, which holds the recipe. Name "
            f"the folder that `train` printed."
        )
    carry = found.carry
    return {
        "folder": found.folder,
        "recipe": recipe,
        "operator": model,
        "domain": domain_from_dict(carry["domain"]),
        "spec": DatasetSpec.from_json(carry["spec"]) if carry["spec"] else None,
        "in_channels": carry["in_channels"],
        "n_in": carry["n_in"],
        "n_out": carry["n_out"],
    }


def summary(run: Any) -> str:
    """The text of a finished run on fields in a terminal: one line for each of its facts."""
    recipe, spec = run.recipe, run.spec
    frames = (
        ""
        if run.n_in is None and run.n_out is None
        else (f", {run.n_in or 1} frame(s) to {run.n_out or 1}")
    )
    data = recipe.data.train if spec is None else f"{spec.name} ({spec.kind}), {recipe.data.train}"
    return (
        f"{type(run).__name__}: {recipe.model.name} with {num_parameters(run.operator):,} "
        f"parameters{frames}\n  trained on {data}\n  domain {run.domain}\n  folder {run.folder}"
    )


def evaluated_on(run: Any, data: str | Path | FieldDataset | None) -> FieldDataset:
    """The data set to evaluate on: `data`, or by default the test file of the run's recipe.

    Raises:
        ValueError: no file is named, or it holds values that are not finite; the message names the
            samples.
    """
    if data is None:
        data = _test_set(run.recipe.data.test)
    dataset = data if isinstance(data, FieldDataset) else open_dataset(data)
    dataset.check()
    return dataset


def _test_set(path: str | Path | None) -> FieldDataset:
    """The test set of a recipe."""
    if path is None:
        raise ValueError("The recipe names no test file; name one with --data FILE.")
    try:
        return open_dataset(path)
    except ValueError:
        if Path(path).expanduser().exists():
            raise
        raise ValueError(
            f"The test file of the recipe, {path}, does not exist. Name a file with --data FILE."
        ) from None
