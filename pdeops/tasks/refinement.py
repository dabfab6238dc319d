"""Refinement of a run's predicted trajectories by the residual of the equation of a data file."""
# Axes: b batch, n given frames, t predicted frames, c channel, *space nodes.

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..datasets import FieldDataset
from ..datasets.windows import Window
from ..domain import Grid, Sphere
from ..estimators import Differences
from ..estimators.evolution_residual import residual_on
from ..solvers.evolution.evolution import Evolution
from ..training.least_squares import per_sample
from ..training.refine import refine
from ..training.search import Method, Refinement
from .data import check_channels
from .unrolling import persistence

log = logging.getLogger("pdeops")

BLOCK = 5  # frames that are refined at once, if the time differences do not need more
ACCURACIES = (4, 6)  # orders of the time differences
# (given frames, their times, times of the wanted frames) -> the wanted frames
Predict = Callable[[Tensor, Sequence[float], Sequence[float]], Tensor]


@dataclass(frozen=True)
class RefinedTrajectory:
    """Predicted frames before and after their refinement.

    Attributes:
        given: the frames that the prediction starts from.
        times: times of the given and the predicted frames.
        prediction: the frames of the model alone, without any refinement.
        refined: the refined frames.
        blocks: the records of the refinement, one for each block of frames.
        predict_seconds: seconds of the model.
        refine_seconds: seconds of the refinement, with the set-up of the estimator.
        cpu_seconds: processor time of both.
    """

    given: Float[Tensor, "b n c *space"]
    times: tuple[float, ...]
    prediction: Float[Tensor, "b t c *space"]
    refined: Float[Tensor, "b t c *space"]
    blocks: tuple[Refinement, ...] = field(repr=False)
    predict_seconds: float
    refine_seconds: float
    cpu_seconds: float

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the refinement of the last block stopped, for each sample."""
        return self.blocks[-1].reasons


def refine_trajectory(
    predict: Predict,
    equation: Evolution,
    given: Float[Tensor, "b n c *space"],
    times: Sequence[float],
    method: Method | None = None,
    *,
    grid: Grid | Sphere | None = None,
    block: int | None = None,
    accuracy: int = 4,
) -> RefinedTrajectory:
    """Predict the frames after the given ones, and refine them with the residual of the equation.

    The computation is in float64, whatever the precision of the model. The model predicts `block`
    frames; they are refined with all earlier frames fixed, and the model goes on from them. So its
    errors do not accumulate (docs/figures.md compares blocks with one refinement of all frames).
    Without an accepted step the result is the prediction of all frames, exactly.
    Components that no solution has, such as harmonics of a sphere above the degree of the equation,
    are removed where a step was accepted (`Waves.resolved`).

    Args:
        times: times of all frames, of the given ones first.
        method: as in `training.refine.refine`.
        grid: the nodes of the frames, by default those of the equation.
        block: number of frames that are predicted and refined at once; None is the default of
            `block_of`.
        accuracy: order of the time differences in the residual; 4 or 6.

    Raises:
        ValueError: as `residual_on`, `refine`, `check_differences` and `block_of`.
    """
    n, total = given.shape[1], len(times)
    check_differences(accuracy)
    block = block_of(n, total - n, block, accuracy)
    known, records, changed = given.double(), [], False
    started, cpu = time.perf_counter(), time.process_time()
    prediction = predict(given, times[:n], times[n:])
    seconds = [time.perf_counter() - started, 0.0]
    for start in range(n, total, block):
        stop = min(start + block, total)
        before = known[:, -n:]
        started = time.perf_counter()
        if changed:
            frames = predict(before.to(given.dtype), times[start - n : start], times[start:stop])
        else:
            frames = prediction[:, start - n : stop - n]
        between = time.perf_counter()
        fixed = min(start, max(n, accuracy))  # frames before the block that its differences use
        estimator = residual_on(
            equation.grid if grid is None else grid,
            equation,
            times[start - fixed : stop],
            derivative=Differences(accuracy),
        )
        result = refine(estimator, known[:, -fixed:], frames.double(), method)
        fell = result.eta[-1] < result.eta[0]
        changed = changed or bool(fell.any())
        fell = per_sample(fell, result.frames)
        refined = torch.where(fell, estimator.space.resolved(result.frames), result.frames)
        seconds[0] += between - started
        seconds[1] += time.perf_counter() - between
        known = torch.cat([known, refined], 1)
        records.append(result)
        log.info(
            "frames %d to %d of %d: residual %.3g, refined to %.3g in %.1f s",
            *(start - n + 1, stop - n, total - n, result.eta[0].mean(), result.eta[-1].mean()),
            time.perf_counter() - between,
        )
    return RefinedTrajectory(
        given=given.double(),
        times=tuple(times),
        prediction=prediction.double(),
        refined=known[:, n:],
        blocks=tuple(records),
        predict_seconds=seconds[0],
        refine_seconds=seconds[1],
        cpu_seconds=time.process_time() - cpu,
    )


def check_differences(accuracy: int) -> None:
    """Raise a ValueError unless the order of the time differences is 4 or 6."""
    if accuracy not in ACCURACIES:
        raise ValueError(
            f"--accuracy is the order of the time differences in the residual, 4 or 6; got "
            f"{accuracy}."
        )


def block_of(num_given: int, num_predicted: int, block: int | None, accuracy: int) -> int:
    """The number of frames that are refined at once: `block`, or `BLOCK` by default, or more where
    the differences need them.

    Raises:
        ValueError: the first block of frames, with the given ones before it, has less than the
            accuracy + 1 frames that a time difference needs; later blocks have them then.
    """
    if block is None:
        block = max(BLOCK, accuracy + 1 - num_given)
    if block < 1 or num_predicted < 1:
        raise ValueError(
            f"A refinement needs one predicted frame or more, in blocks of 1 or more; got "
            f"{num_predicted} predicted frames and --block {block}."
        )
    first = min(block, num_predicted)
    if num_given + first > accuracy:
        return block
    least = accuracy + 1 - num_given
    option = f"--block {least}" if num_predicted >= least else f"--frames {least}"
    if max(block, num_predicted) < least:
        option = f"--frames {least} and --block {least}"
    lower = " or --accuracy 4" if num_given + first > 4 else ""
    raise ValueError(
        f"Differences of accuracy {accuracy} need {accuracy + 1} frames, also for --steps 0, whose "
        f"residual is reported; {num_given} given and {first} predicted in the first block are "
        f"{num_given + first}. Take {option} or more{lower}."
    )


def from_persistence(given: Tensor, known: Sequence[float], wanted: Sequence[float]) -> Tensor:
    """The last given frame for all times, the prediction without a model."""
    return persistence(given, len(wanted))


def predictor(run: Any, spacing: float) -> Predict:
    """The trajectories that a run predicts; a fixed step is repeated.

    Args:
        spacing: time between the frames of the data.

    Raises:
        ValueError: the run predicts no trajectories of its input, or its step has another length.
    """
    require_trajectories(run)
    if run.operator.has_time and run.task == "rollout":
        return lambda u, known, wanted: run(
            u,
            times=[t - known[-1] for t in wanted],
            times_in=[t - known[-1] for t in known],
        )
    step = _step_of(run)
    if step is not None and abs(spacing - step) > 1e-4 * step:
        raise ValueError(
            f"The model of {run.folder} makes steps of {step:.6g}, the step of its training data; "
            f"the frames of the data are {spacing:.6g} apart. Choose data with that spacing, or a "
            f"model that takes times, such as SpatiotemporalFNO."
        )
    if run.task == "rollout":
        return lambda u, known, wanted: run(u, len(wanted))

    def first_frames(u: Tensor, known: Sequence[float], wanted: Sequence[float]) -> Tensor:
        if len(wanted) > run.n_out:
            raise ValueError(
                f"The run predicts {run.n_out} frames; {len(wanted)} are wanted. Ask for fewer "
                f"with --frames, or train a model of the task 'rollout'."
            )
        return run(u)[:, : len(wanted)]

    return first_frames


def require_trajectories(run: Any) -> None:
    """Raise a ValueError unless the run predicts frames from frames."""
    if getattr(run, "n_in", None) is None or run.n_out is None:
        name = getattr(run, "folder", "this run")
        raise ValueError(
            f"A residual in time is that of a trajectory, and {name} predicts none. Train on data "
            f"with frames in time, as with the task 'rollout'."
        )


def _step_of(run: Any) -> float | None:
    """Time between two frames in the training of a run; None if its file states no times."""
    if run.spec is None or len(run.spec.times) < 2:
        return None
    stride = (run.recipe.data.window or Window()).stride
    return stride * (run.spec.times[1] - run.spec.times[0])


def windows_of(dataset: FieldDataset, run: Any, frames: int | None) -> FieldDataset:
    """The first window of each trajectory: the run's input frames, then `frames` target frames (by
    default all later ones).

    Raises:
        ValueError: the file has no trajectories or other channels, or the horizon lies beyond it.
    """
    require_trajectories(run)
    if dataset.window is None:
        raise ValueError(
            f"A residual in time needs trajectories, fields with the role 'state' and the axis "
            f"time; {dataset} has none. Convert the file with --state."
        )
    check_channels(dataset, run.in_channels)
    if dataset.in_channels != dataset.out_channels:
        raise ValueError(
            f"The residual is that of an equation with numbers as parameters; {dataset} also "
            f"has the fields {', '.join(dataset.inputs[dataset.out_channels :])}, which are "
            f"constant in time. Leave them out when converting the file."
        )
    stride = (run.recipe.data.window or Window()).stride
    longest = Window.whole(len(dataset.times), run.n_in, stride)
    number = longest.n_out if frames is None else frames
    if number > longest.n_out:
        raise ValueError(
            f"{frames} frames are wanted after {run.n_in} given one(s), {stride} apart; the "
            f"trajectories of {dataset.path} have {longest.n_out}, so that the horizon lies beyond "
            f"the data. Ask for at most {longest.n_out}."
        )
    window = Window(run.n_in, number, stride)
    whole = dataset.windowed(window)
    return whole.subset(range(0, len(whole), window.num_starts(len(dataset.times))))


def times_of(dataset: FieldDataset) -> tuple[float, ...]:
    """The times of the frames of the windows from `windows_of`.

    Raises:
        ValueError: the frames are not equally spaced.
    """
    assert dataset.window is not None
    window = dataset.window
    times = dataset.times[: window.span : window.stride]
    steps = [b - a for a, b in pairwise(times)]
    if max(steps) - min(steps) > 1e-4 * max(steps):
        raise ValueError(
            f"The frames of {dataset.path} are not equally spaced: steps from {min(steps):.6g} to "
            f"{max(steps):.6g}. Interpolate them to equal spacing, or choose --frames within an "
            f"equally spaced part."
        )
    return times
