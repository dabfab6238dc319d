"""Error and seconds of classical time stepping at many (n, dt), against a given finer solution.

A run is one stepper on one grid with one dt. It starts from the truncated Fourier series of the
initial field, and its frames are interpolated to the nodes of the test grid by their Fourier
series; both belong to its time. On a sphere spherical harmonics take the place of Fourier series.
"""
# Axes: b batch, t time, c channel, *space nodes.

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

from jaxtyping import Float
from torch import Tensor

from ..calculus.fourier import resample
from ..domain import Boundary, Grid, Sphere
from ..metrics import METRICS
from ..solvers.evolution.etdrk4 import ETDRK4
from ..solvers.evolution.evolution import Evolution
from ..solvers.evolution.evolve import evolve
from ..solvers.evolution.stepper import Stepper
from ..solvers.evolution.trajectory import Trajectory
from .spherical_stepping import SphericalTimeStepping
from .tables import grid_name
from .timing import Clock, time_calls

SATURATED = 0.1  # difference of two dt over the error below which the error of the grid is left


class TimeStepping:
    """Initial fields on `start` -> trajectories at the nodes of `test`, by one stepper.

    Args:
        equation: the equation on the grid of the method, built once for all calls.
        dt: the largest step; steps are equal between two times.
        times: times of the frames, increasing, from the initial field at time 0.
        start: the grid of the initial fields.
        test: the grid of the frames returned.
        stepper: the method of time stepping.

    Raises:
        ValueError: a grid is not periodic, or the nodes of `test` are neither nodes of a finer grid
            nor those of a coarser or equal one.
    """

    def __init__(
        self,
        equation: Evolution,
        dt: float,
        times: Sequence[float],
        *,
        start: Grid,
        test: Grid,
        stepper: type[Stepper] = ETDRK4,
    ) -> None:
        grid = equation.grid
        for g in (grid, start, test):
            if not isinstance(g, Grid) or set(g.boundary) != {Boundary.PERIODIC}:
                raise ValueError(
                    f"Fourier interpolation in time stepping needs periodic boxes; got {g}."
                )
        if any(n > m and n % m for n, m in zip(grid.shape, test.shape, strict=True)):
            raise ValueError(
                f"A grid finer than the test grid {grid_name(test.shape)} needs a multiple of its "
                f"nodes per axis; got {grid_name(grid.shape)}."
            )
        self.equation, self.dt, self.times = equation, dt, tuple(times)
        self.start, self.test, self.stepper = start, test, stepper

    def __call__(self, u0: Float[Tensor, "b c *space"]) -> Trajectory:
        """The trajectory from u0 on `start`; `completed` is False where the method is unstable."""
        grid: Grid = self.equation.grid
        first = resample(u0, self.start, grid.shape)
        result = evolve(self.equation, first, self.times, dt=self.dt, stepper=self.stepper)
        return replace(result, u=at_nodes(result.u, grid, self.test))


def at_nodes(u: Float[Tensor, "*batch_space"], grid: Grid, test: Grid) -> Tensor:
    """u at the nodes of `test`: values of its Fourier series, copied where `grid` has the nodes."""
    finer = [max(n, m) for n, m in zip(grid.shape, test.shape, strict=True)]
    u = resample(u, grid, finer) if u.numel() else u.new_zeros(*u.shape[: -grid.ndim], *finer)
    shared: Any = (
        ...,
        *(slice(None, None, n // m) for n, m in zip(finer, test.shape, strict=True)),
    )
    return u[shared]


# The time stepping on each type of domain.
STEPPING: dict[type, Callable[..., Any]] = {Grid: TimeStepping, Sphere: SphericalTimeStepping}


@dataclass(frozen=True)
class SteppedRow:
    """The error and the seconds of one stepper with one dt on one grid.

    Attributes:
        method: name of the stepper.
        grid: nodes per axis.
        dt: the largest step.
        num_steps: steps taken.
        errors: error at each time by the metric of the sweep, mean over the samples; () if not
            completed.
        pooled: error over all times at once, mean over the samples; NaN if not completed.
        seconds: seconds per trajectory, all frames at the test nodes: median over the calls of
            (time of a call / number of samples); NaN if not completed.
        completed: False if the method is unstable at this (n, dt).
        reason: why the run stopped.
    """

    method: str
    grid: tuple[int, ...]
    dt: float
    num_steps: int
    errors: tuple[float, ...]
    pooled: float
    seconds: float
    completed: bool
    reason: str

    @property
    def error(self) -> float:
        """The error at the last time; NaN if not completed."""
        return self.errors[-1] if self.errors else math.nan

    @property
    def label(self) -> str:
        """For example "ETDRK4 on 32×32, dt 0.05"."""
        return f"{self.method} on {grid_name(self.grid)}, dt {self.dt:.3g}"


def sweep(
    equation_on: Callable[[Any], Evolution],
    u0: Float[Tensor, "b c *start"],
    times: Sequence[float],
    truth: Float[Tensor, "b t c *space"],
    *,
    start: Grid | Sphere,
    test: Grid | Sphere,
    grids: Sequence[Grid | Sphere],
    dts: Sequence[float],
    metric: str = "relative_l2",
    steppers: Mapping[str, type[Stepper]] | None = None,
    repeats: int = 3,
    clock: Clock | None = None,
) -> list[SteppedRow]:
    """Measure steppers at many (n, dt), all samples in one call.

    For each stepper and grid, dt decreases from the largest: an unstable dt is a row that is not
    completed; once halving dt changes the solution by less than a tenth of its error, smaller
    steps are left out, because the error of the grid remains (`Saturation`). Then the completed
    runs are timed, by turns.

    Args:
        equation_on: grid -> the equation on it.
        u0: the initial fields on the grid `start`; their dtype is that of the arithmetic.
        times: times of the frames; u0 is at time 0.
        truth: the frames of a reference at the nodes of `test`.
        grids: the grids of the methods; one finer than `test` needs a multiple of its nodes.
        dts: the largest steps, in any order.
        metric: of the errors, a key of `METRICS`.
        steppers: name -> class; by default ETDRK4.
        repeats: timed calls of each run, after one call that is not timed.
        clock: source of the time; by default the clocks of this machine.

    Raises:
        ValueError: a grid is not periodic, or the truth has other times or nodes.
    """
    if tuple(truth.shape[1:2] + truth.shape[3:]) != (len(times), *test.shape):
        raise ValueError(
            f"The truth is of shape (b, {len(times)}, c, {', '.join(map(str, test.shape))}), a "
            f"frame for each time at the test nodes; got {tuple(truth.shape)}."
        )
    runs: dict[str, Callable[[], Trajectory]] = {}
    rows: list[SteppedRow] = []
    for name, stepper in (steppers or {"ETDRK4": ETDRK4}).items():
        for grid in grids:
            equation, saturated = equation_on(grid), Saturation(truth, test, metric)
            for dt in descending(dts, times):
                run = STEPPING[type(start)](
                    equation, dt, times, start=start, test=test, stepper=stepper
                )
                result = run(u0)
                rows.append(_row(name, run, result, truth, metric))
                if result.completed:
                    runs[rows[-1].label] = partial(run, u0)
                if saturated.after(result):
                    break
    timings = time_calls(runs, repeats=repeats, warm_up=0, clock=clock)
    seconds = {label: timing.wall.median / len(u0) for label, timing in timings.items()}
    return [replace(r, seconds=seconds.get(r.label, math.nan)) for r in rows]


def descending(dts: Sequence[float], times: Sequence[float]) -> list[float]:
    """The different dt from the largest on; a step is never longer than a time between frames."""
    longest = max(b - a for a, b in pairwise([0.0, *times]))
    return sorted({min(dt, longest) for dt in dts}, reverse=True)


class Saturation:
    """Whether a smaller dt on the same grid would no longer reduce the error, for decreasing dt.

    So it is if the solutions with this dt and with the previous one differ by less than a tenth of
    the error of the better one: the error that remains is that of the grid. The errors alone could
    agree by chance, e.g. where both solutions are far from the truth.
    """

    def __init__(
        self,
        truth: Float[Tensor, "b t c *space"],
        test: Grid | Sphere,
        metric: str = "relative_l2",
    ) -> None:
        self.truth, self.test, self.metric = truth, test, METRICS[metric]
        self.before: Tensor | None = None

    def after(self, result: Trajectory) -> bool:
        """Whether smaller steps than those of this run are left out."""
        if not result.completed:
            return False
        before, self.before = self.before, result.u
        if before is None:
            return False
        u, truth = result.u.to(self.truth), self.truth
        error = self.metric(u, truth, self.test)
        change = self.metric(truth + (u - before.to(truth)), truth, self.test)  # same denominator
        return bool(change.mean() < SATURATED * error.mean())


def cheapest(rows: Sequence[SteppedRow], error: float) -> SteppedRow | None:
    """The completed row of least seconds with at most this error at the last time; None if there
    is none."""
    able = [r for r in rows if r.completed and r.error <= error]
    return min(able, key=lambda r: (r.seconds, r.error), default=None)


def most_accurate(rows: Sequence[SteppedRow], seconds: float) -> SteppedRow | None:
    """The completed row of least error at the last time within these seconds; None if there is
    none."""
    able = [r for r in rows if r.completed and r.seconds <= seconds]
    return min(able, key=lambda r: (r.error, r.seconds), default=None)


def _row(
    name: str,
    run: TimeStepping | SphericalTimeStepping,
    result: Trajectory,
    truth: Float[Tensor, "b t c *space"],
    metric: str,
) -> SteppedRow:
    """The errors of a run; its seconds are not measured yet."""
    errors, pooled = (), math.nan
    if result.completed:
        u = result.u.to(truth)
        each = METRICS[metric](u.flatten(0, 1), truth.flatten(0, 1), run.test)
        errors = tuple(each.unflatten(0, u.shape[:2]).mean(0).tolist())
        pooled = METRICS[metric](u, truth, run.test).mean().item()
    return SteppedRow(
        method=name,
        grid=run.equation.grid.shape,
        dt=run.dt,
        num_steps=result.num_steps,
        errors=errors,
        pooled=pooled,
        seconds=math.nan,
        completed=result.completed,
        reason=result.reason,
    )
