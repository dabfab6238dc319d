"""The report of a refinement: residual, true error and seconds, compared with plain time stepping.

It also states the most accurate run of ETDRK4 within the same seconds, the cheapest run with at
most the same error, and the same refinement without a model (from the last given frame, repeated).
"""
# Axes: b batch, n given frames, t predicted frames, c channel, *space nodes.

import logging
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..datasets.problems.shallow_water import gauss_grid
from ..domain import Grid, Sphere
from ..estimators import Differences
from ..estimators.evolution_residual import ResidualOfFrames, residual_on
from ..estimators.waves import SphericalWaves
from ..metrics import METRICS
from ..solvers.evolution.evolution import Evolution
from ..tasks.refinement import (
    Predict,
    RefinedTrajectory,
    from_persistence,
    refine_trajectory,
)
from ..training.refine import GaussNewton
from ..training.search import Method
from .tables import grid_name, markdown_table, metric_name, percent, seconds_text
from .time_stepping import SteppedRow, cheapest, most_accurate, sweep

log = logging.getLogger("pdeops")

SCALES = (0.25, 0.5, 0.75, 1.0)  # nodes per axis of the solver's grids, relative to the data's
STEPS = (1.0, 0.5, 0.25)  # steps of the solver, relative to the time between two frames
MIN_NODES = 8

_RESIDUAL = "the residual in H⁻¹"
_INDICATOR = (
    "an indicator without a known bound of the error, the residual in the norm of the linearised "
    "energy of order -1"
)


@dataclass(frozen=True)
class Trial:
    """One trajectory, before or after a refinement.

    Attributes:
        eta: η of the given and the predicted frames.
        error: error over all predicted frames, by the metric of the study.
        last_error: error of the last frame.
        seconds: seconds of the prediction, with its refinement.
        cpu_seconds: processor time of both; NaN without a refinement.
    """

    eta: float
    error: float
    last_error: float
    seconds: float
    cpu_seconds: float = math.nan


@dataclass(frozen=True)
class RefinementStudy:
    """The refinement of one or several trajectories, measured.

    Attributes:
        trials: name of the prediction -> one trial per sample: `model`, `model, refined`,
            `persistence`, `persistence, refined`.
        floor: η of the true frames per sample. It is the error of the time differences and of the
            waves that the grid does not resolve; residuals below it say nothing about the error.
        stepping: runs of the solver, with seconds per trajectory.
        reasons: why the refinement of the model's prediction stopped, per sample.
        frames: the refined trajectories of the model.
        grid: nodes per axis of the data.
        metric: the metric of all errors, a key of `METRICS`.
        measure: what η is.
        name: name of the model in the report.
    """

    trials: dict[str, list[Trial]]
    floor: list[float]
    stepping: list[SteppedRow]
    reasons: list[str]
    frames: list[RefinedTrajectory]
    grid: tuple[int, ...]
    metric: str = "relative_l2"
    measure: str = _RESIDUAL
    name: str = "model"

    def median(self, name: str, figure: str) -> float:
        """The median of a figure of a trial over the samples."""
        return statistics.median(getattr(t, figure) for t in self.trials[name])

    @property
    def same_seconds(self) -> SteppedRow | None:
        """The most accurate run of the solver within the seconds of prediction and refinement."""
        return most_accurate(self.stepping, self.median("model, refined", "seconds"))

    @property
    def same_error(self) -> SteppedRow | None:
        """The cheapest run of the solver with at most the error of the refined last frame."""
        return cheapest(self.stepping, self.median("model, refined", "last_error"))

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain data."""
        figures = ("eta", "error", "last_error", "seconds")
        return {
            "samples": len(self.floor),
            "grid": list(self.grid),
            "metric": self.metric,
            "model": self.name,
            "predictions": {
                name: {f: [getattr(t, f) for t in trials] for f in figures}
                for name, trials in self.trials.items()
            },
            "eta_of_truth": self.floor,
            "reasons": self.reasons,
            "solver_of_equal_seconds": _row(self.same_seconds),
            "solver_of_equal_error": _row(self.same_error),
            "solver": [_row(r) for r in self.stepping],
            "verdict": self.verdict(),
        }

    def to_markdown(self) -> str:
        """Table of the predictions, table of the solver's runs, and the verdict."""
        first, count = self.frames[0], len(self.floor)
        predicted = first.refined.shape[1]
        horizon = first.times[-1] - first.times[-1 - predicted]
        lines = [
            f"{count} trajector{'y' if count == 1 else 'ies'} on {grid_name(self.grid)}, "
            f"{predicted} frames up to {horizon:.4g} after the last given one; median (range). η "
            f"is {self.measure}; errors are {metric_name(self.metric)} against the frames of the "
            f"file.",
            "",
            markdown_table(
                ["prediction", "η", "error, all frames", "error, last frame", "seconds"],
                [
                    *(self._line(name) for name in self.trials),
                    ["truth", _spread(self.floor, "{:.3g}".format), None, None, None],
                ],
            ),
            "",
            markdown_table(
                ["plain time stepping", "error, last frame", "seconds"],
                [
                    _stepping_line("in the same seconds", self.same_seconds),
                    _stepping_line("with at most the same error", self.same_error),
                ],
            ),
            "",
            self.verdict(),
            "",
            "The refinement ended because: " + "; ".join(dict.fromkeys(self.reasons)) + ".",
        ]
        return "\n".join(lines)

    def verdict(self) -> str:
        """What the refinement gained, and whether plain time stepping does better."""
        before, after = "model", "model, refined"
        eta = self.median(before, "eta") / max(self.median(after, "eta"), 1e-300)
        error = self.median(before, "error") / max(self.median(after, "error"), 1e-300)
        text = f"The refinement lowers the residual {eta:.3g} times"
        if error >= 1.05:
            text += f" and the error {error:.3g} times."
        else:
            text += (
                f", but not the error (it is multiplied by {1 / error:.3g}): the residual that is "
                f"left is below what the grid resolves, or the horizon is too long."
            )
        return f"{text} {self._against_the_solver()}"

    def _against_the_solver(self) -> str:
        seconds = self.median("model, refined", "seconds")
        row = self.same_error
        if row is None:
            return "No run of the solver that was tried reaches its error."
        ratio = seconds / row.seconds
        if ratio > 1:
            return (
                f"Plain time stepping is {ratio:.3g} times faster at the same error ({row.label}, "
                f"{seconds_text(row.seconds)})."
            )
        return (
            f"It is {1 / ratio:.3g} times faster than plain time stepping at the same error "
            f"({row.label}, {seconds_text(row.seconds)})."
        )

    def _line(self, name: str) -> list[str]:
        trials = self.trials[name]
        formats = {"eta": "{:.3g}".format, "error": percent, "last_error": percent}
        cells = [
            _spread([getattr(t, f) for t in trials], show)
            for f, show in {**formats, "seconds": seconds_text}.items()
        ]
        return [name.replace("model", self.name), *cells]


def study_refinement(
    predict: Predict,
    equation_on: Callable[[Any], Evolution],
    grid: Grid | Sphere,
    times: Sequence[float],
    given: Float[Tensor, "b n c *space"],
    truth: Float[Tensor, "b t c *space"],
    method: Method | None = None,
    *,
    block: int | None = None,
    accuracy: int = 4,
    scales: Sequence[float | int] = SCALES,
    metric: str = "relative_l2",
    name: str = "model",
    repeats: int = 3,
    progress: Callable[[int], None] | None = None,
) -> RefinementStudy:
    """Refine the predictions for each sample by itself, and time the solver on the same problem.

    The solver starts from the last given frame, like the prediction from persistence, and its
    samples are stepped together, which favours it.

    Args:
        predict: (given frames, their times, wanted times) -> wanted frames.
        equation_on: grid -> the solver's equation on it.
        grid: the grid of the data.
        times: times of the given frames and of the true ones.
        truth: the frames of a finer solver after the given ones.
        block, accuracy: as in `refine_trajectory`.
        scales: nodes per axis of the solver's grids relative to those of the data; at most a half
            of the scale of the truth's own grid, on which its error would be zero. On a sphere,
            degrees relative to the largest that the nodes determine.
        metric: of the errors, a key of `METRICS`; one that does not pool fields in different units.
        name: name of the model in the report.
        repeats: timed calls of each run of the solver.
        progress: called after each sample.

    Raises:
        ValueError: as `refine_trajectory`.
    """
    method = method or GaussNewton()
    equation, truth, n = equation_on(grid), truth.double(), given.shape[1]
    estimator = residual_on(grid, equation, times, derivative=Differences(accuracy))
    measure = _INDICATOR if isinstance(grid, Sphere) else _RESIDUAL
    study = RefinementStudy({}, [], [], [], [], tuple(grid.shape), metric, measure, name)

    def run(start: Predict, i: int, how: Method) -> RefinedTrajectory:
        options: dict[str, Any] = {"block": block, "accuracy": accuracy, "grid": grid}
        return refine_trajectory(start, equation, given[i : i + 1], times, how, **options)

    def eta(i: int, frames: Tensor) -> float:
        return estimator(torch.cat([given[i : i + 1].double(), frames], 1)).item()

    log.info("first calls, which are not timed: one step from the prediction of %s", name)
    run(predict, 0, replace(method, steps=1))  # type: ignore[type-var]
    for i in range(len(given)):
        for source, start in (("model", predict), ("persistence", from_persistence)):
            log.info(
                "trajectory %d of %d, from %s", i + 1, len(given), source.replace("model", name)
            )
            found, true = run(start, i, method), truth[i : i + 1]
            whole = found.predict_seconds + found.refine_seconds
            for label, frames, seconds, cpu in (
                (source, found.prediction, found.predict_seconds, math.nan),
                (f"{source}, refined", found.refined, whole, found.cpu_seconds),
            ):
                trial = Trial(
                    eta=eta(i, frames),
                    error=METRICS[metric](frames, true, grid).item(),
                    last_error=METRICS[metric](frames[:, -1], true[:, -1], grid).item(),
                    seconds=seconds,
                    cpu_seconds=cpu,
                )
                study.trials.setdefault(label, []).append(trial)
            if source == "model":
                study.reasons.extend(found.reasons)
                study.frames.append(found)
        study.floor.append(eta(i, truth[i : i + 1]))
        if progress is not None:
            progress(i + 1)
    log.info("plain time stepping on grids of several sizes")
    wanted = [t - times[n - 1] for t in times[n:]]
    rows = sweep(
        equation_on,
        solvable(equation, given[:, -1].double(), grid),
        wanted,
        truth,
        start=grid,
        test=grid,
        grids=_grids(grid, scales, estimator),
        dts=[s * (times[-1] - times[-2]) for s in STEPS],
        metric=metric,
        repeats=repeats,
    )
    return replace(study, stepping=rows)


def solvable(
    equation: Evolution, u0: Float[Tensor, "b c *space"], grid: Grid | Sphere
) -> Float[Tensor, "b c *space"]:
    """u0 without its mean where the equation demands a zero mean, as that of a vorticity: nodes of
    a coarse grid give the mean of a fine field up to aliases and round-off only. On a sphere the
    equation drops these means itself."""
    if isinstance(grid, Sphere):
        return u0
    try:
        equation.check(u0)
    except ValueError:
        u0 = u0 - u0.mean(tuple(range(2, u0.ndim)), keepdim=True)
        equation.check(u0)
    return u0


def _grids(
    grid: Grid | Sphere, scales: Sequence[float | int], estimator: ResidualOfFrames
) -> list[Any]:
    """The solver's grids, from coarse to fine; of a sphere the Gauss grids of its degrees."""
    if isinstance(grid, Sphere):
        assert isinstance(estimator.space, SphericalWaves)
        largest = estimator.space.transform.degree
        degrees = sorted({max(2, round(s * largest)) for s in scales})
        return [gauss_grid(degree) for degree in degrees]
    shapes = dict.fromkeys(tuple(round(s * n / 2) * 2 for n in grid.shape) for s in scales)
    return [grid.with_shape(shape) for shape in shapes if min(shape) >= MIN_NODES]


def _row(row: SteppedRow | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {
        "solver": row.label,
        "grid": list(row.grid),
        "dt": row.dt,
        "last_error": row.error,
        "error": row.pooled,
        "seconds": row.seconds,
        "completed": row.completed,
    }


def _stepping_line(title: str, row: SteppedRow | None) -> list[str | None]:
    if row is None:
        return [title, "none of the runs", None]
    return [f"{title}: {row.label}", percent(row.error), seconds_text(row.seconds)]


def _spread(values: Sequence[float], show: Callable[[float], str]) -> str:
    """ "median (smallest to largest)"."""
    if len(values) == 1:
        return show(values[0])
    low, high = show(min(values)), show(max(values))
    return f"{show(statistics.median(values))} ({low} to {high})"
