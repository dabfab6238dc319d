"""Error-time study of learned rollouts and classical time stepping against a finer reference."""
# Axes: n samples, t time, c channel, *space nodes.

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch

from ..datasets.problems.evolution import EvolutionProblem
from ..metrics import METRICS
from ..solvers.evolution.etdrk4 import ETDRK4
from ..solvers.evolution.evolution import Evolution
from ..solvers.evolution.evolve import evolve
from ..solvers.evolution.rk4cn import RK4CN
from ..solvers.evolution.stepper import Stepper
from ..solvers.evolution.trajectory import Trajectory
from ..tasks.operators import metric_for
from .error_time import costs_of
from .fitted import Fits
from .machine import describe_machine
from .measure import measure
from .rollout_candidates import (
    THRESHOLD,
    FittedRollout,
    LearnedRollout,
    Rollout,
    RolloutCandidate,
    SteppedRollout,
    Truth,
)
from .rollout_comparison import RolloutComparison
from .stepping_grids import FINER, GRIDS
from .tables import grid_name, metric_name, percent, seconds_text
from .time_stepping import STEPPING, Saturation, descending
from .timing import Clock, Stopwatch

SLOW = 0.25  # seconds of a trajectory from which a classical run has batch 1 only
SCALES = (1 / 4, 3 / 8, 1 / 2, 3 / 4, 1.0)  # of the grids of steppers
STEPPERS: dict[str, type[Stepper]] = {"ETDRK4": ETDRK4, "RK4CN": RK4CN}


def rollout_study(
    rollouts: Mapping[str, Rollout],
    problem: EvolutionProblem,
    grid: Any,
    times: Sequence[float],
    *,
    n_in: int = 1,
    seed: int,
    num_samples: int = 16,
    training_seconds: Mapping[str, float | None] | None = None,
    data_seconds: Mapping[str, float | None] | None = None,
    scales: Sequence[float] = SCALES,
    steppers: Mapping[str, type[Stepper]] | None = None,
    batch_sizes: Sequence[int] = (1, 8, 32),
    fits: Fits | None = None,
    devices: Mapping[str, str] | None = None,
    repeats: int = 3,
    truth: Truth | None = None,
    clock: Clock | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> RolloutComparison:
    """Compare learned rollouts with steppers at many (n, dt).

    The test trajectories start from samples 0 .. num_samples - 1 of `seed`. The reference is solved
    by ETDRK4 on a grid 4 times as fine as the test grid, with Courant number at most 0.5 and 8
    steps or more between two frames; methods have steps at least 4 times as long. An operator
    receives the first n_in frames at the nodes of `grid`; a stepper starts from the last of them,
    truncated to its grid. Both return all later frames at the nodes of `grid`. dt is halved from
    the time between frames on, as long as this changes the solutions by a tenth of their error or
    more (`time_stepping.Saturation`). Calls are timed as in `error_time.study`.

    Args:
        rollouts: name -> operator.
        times: times of the given frames and of those to predict, in the problem's units, from 0 on.
        training_seconds, data_seconds: seconds spent before the first prediction, by name.
        scales: nodes per axis of the steppers' grids relative to `grid`; at most 1.
        steppers: name -> class; by default ETDRK4 and RK4CN, or ETDRK4 alone where the linear part
            of the equation couples the channels.
        batch_sizes: trajectories per call; steppers have batch 1 only where a trajectory takes
            0.25 s or more.
        fits: surrogates without a network, fitted to the operators' training samples on `grid`.
        devices: name of an operator -> type of its device; by default cpu.
        repeats: minimum number of timed calls per row.
        truth: the reference of these samples, by default solved here (`solve_truth`).
        clock: source of the time; by default the clocks of this machine.
        progress: called with (calls done, total calls).

    Raises:
        ValueError: an argument is out of range, the reference does not reach the last time, or no
            stepper is stable with any dt.
    """
    if num_samples < 1 or repeats < 1 or min(batch_sizes, default=0) < 1:
        raise ValueError(
            f"A comparison needs at least one sample, one repeat and one batch size, each >= 1; "
            f"got num_samples={num_samples}, repeats={repeats}, batch_sizes={tuple(batch_sizes)}."
        )
    if not 1 <= n_in < len(times) or times[0] != 0 or max(scales) > 1:
        raise ValueError(
            f"A study of trajectories needs times from 0 on, more of them than given frames, and "
            f"scales up to 1; got times {tuple(times)}, {n_in} given frames, scales "
            f"{tuple(scales)}."
        )
    if truth is None:
        truth = solve_truth(problem, grid, times, n_in=n_in, seed=seed, num_samples=num_samples)
    notes = [_reference_note(problem, truth, times, n_in, seed)]
    threads = torch.get_num_threads()
    fits, devices = fits or Fits(), devices or {}
    candidates: list[RolloutCandidate] = [
        LearnedRollout(
            *(name, grid, threads, batch),
            truth=truth,
            rollout=rollout,
            device=devices.get(name, "cpu"),
        )
        for name, rollout in rollouts.items()
        for batch in batch_sizes
    ]
    candidates += [
        FittedRollout(f.name, grid, threads, batch, truth=truth, fitted=f)
        for f in fits.fitted
        for batch in batch_sizes
    ]
    if steppers is None:
        coupled = problem.equation_on(truth.fine).coupled
        steppers = {"ETDRK4": ETDRK4} if coupled else STEPPERS
    for name, stepper in steppers.items():
        for coarse in GRIDS[type(grid)].coarse(problem, grid, scales):
            candidates += _stepped(name, stepper, problem, coarse, truth, batch_sizes, notes)
    if not any(isinstance(c, SteppedRollout) for c in candidates):
        raise ValueError(
            f"No classical run is left to compare with: {' '.join(notes[1:])} Compare on data with "
            f"a longer time between frames, or on a finer grid."
        )
    load = measure(candidates, grid, truth.frames, repeats=repeats, clock=clock, progress=progress)
    return RolloutComparison(
        rows=[c.row() for c in candidates],
        costs=costs_of(rollouts, fits, training_seconds or {}, data_seconds or {}),
        problem=f"{problem.name} {problem.kind}",
        grid=grid.shape,
        reference=truth.fine.shape,
        num_samples=num_samples,
        seed=seed,
        context=describe_machine()
        | {"threads": f"up to {threads} for operators, 1 for classical solvers"},
        notes=[*_method_notes(truth, num_samples, seed, repeats), *fits.notes, *notes],
        load=load,
        times=truth.times,
        metric=truth.metric,
        finest=GRIDS[type(grid)].coarse(problem, grid, (1.0,))[0].shape,
    )


def solve_truth(
    problem: EvolutionProblem,
    grid: Any,
    times: Sequence[float],
    *,
    n_in: int,
    seed: int,
    num_samples: int,
) -> Truth:
    """The reference trajectories of samples 0 .. num_samples - 1, on the finer grid of
    `SteppingGrids.reference`.

    They begin at the problem's `t_start`, after its warm-up, which is solved on the same grid.

    Raises:
        ValueError: a trajectory does not reach the last time.
    """
    grids = GRIDS[type(grid)]
    fine, unit = grids.reference(problem, grid), problem.time_units[1]
    equation = problem.equation_on(fine)
    given, frames, start, steps = [], [], [], 0
    for index in range(num_samples):
        result = _evolved(problem, equation, times, seed, index, coarser=1)
        if not result.completed:
            raise ValueError(
                f"The reference of sample {index} on {grid_name(fine.shape)} did not reach "
                f"t = {times[-1]:g}: {result.reason}. Compare on a shorter horizon or an easier "
                "problem."
            )
        u = grids.at_nodes(result.u, fine, grid)
        given.append(u[:, :n_in])
        frames.append(u[:, n_in:])
        start.append(result.u[:, n_in - 1])
        steps = max(steps, result.num_steps)
    return Truth(
        given=torch.cat(given),
        frames=torch.cat(frames),
        start=torch.cat(start),
        times=tuple(t - times[n_in - 1] for t in times[n_in:]),
        test=grid,
        fine=fine,
        unit=unit,
        steps=(times[-1] - times[0]) * unit / steps,
        metric=metric_for({unit for _, _, unit in problem.fields}),
    )


def _evolved(
    problem: EvolutionProblem,
    equation: Evolution,
    times: Sequence[float],
    seed: int,
    index: int,
    *,
    coarser: int,
) -> Trajectory:
    """The reference of a sample, with steps `coarser` times as long as needed after the warm-up.

    Its steps are short enough that methods may take one step and two steps between two frames.
    """
    unit, dt = problem.time_units[1], problem.inputs.dt
    u0 = problem.sample_input(equation.grid, seed, index)[None]
    if problem.t_start > 0:
        warm = evolve(equation, u0, [problem.t_start * unit], dt=dt, courant=0.5)
        if not warm.completed:
            return warm
        u0 = warm.u[:, 0]
    spacing = min(b - a for a, b in pairwise(times)) * unit
    dt = coarser * min(dt, spacing / (2 * FINER))
    return evolve(equation, u0, [t * unit for t in times], dt=dt, courant=0.5 * coarser)


def _stepped(
    name: str,
    stepper: type[Stepper],
    problem: EvolutionProblem,
    grid: Any,
    truth: Truth,
    batch_sizes: Sequence[int],
    notes: list[str],
) -> Iterator[SteppedRollout]:
    """The runs of a stepper on a grid that are stable for every sample, dt decreasing."""
    num_samples = len(truth.frames)
    times = [t * truth.unit for t in truth.times]
    longest, shortest = times[0], FINER * truth.steps
    equation, saturated = (
        problem.equation_on(grid),
        Saturation(truth.frames, truth.test, truth.metric),
    )
    unstable = ""
    for dt in descending([longest / 2**j for j in range(30)], times):
        if dt < shortest * (1 - 1e-9):
            notes.append(
                f"Left out: {name} on {grid_name(grid.shape)} with dt < {shortest / truth.unit:.2g}"
                f", less than {FINER} times the steps of the reference."
            )
            break
        stepping = STEPPING[type(grid)](
            equation, dt, times, start=grid, test=truth.test, stepper=stepper
        )
        run = SteppedRollout(*(name, grid, 1), truth=truth, dt=dt / truth.unit, stepping=stepping)
        watch = Stopwatch(Clock(rest=0.0))
        result = watch(run.run, run.prepare(range(num_samples)))
        if not result.completed:
            unstable = f"dt = {dt / truth.unit:.3g} and longer ({result.reason.split(';')[0]})"
            continue
        if saturated.after(result):
            break
        quick = watch.timing().wall.median / num_samples < SLOW
        for batch in batch_sizes if quick else (1,):
            yield replace(
                run, batch=batch, errors={}, seconds=[], iterations=[], correlation_times={}
            )
    if unstable:
        notes.append(f"Unstable: {name} on {grid_name(grid.shape)} with {unstable}.")


def _reference_note(
    problem: EvolutionProblem, truth: Truth, times: Sequence[float], n_in: int, seed: int
) -> str:
    """The change of the first reference when its steps are twice as long."""
    equation = problem.equation_on(truth.fine)
    result = _evolved(problem, equation, times, seed, 0, coarser=2)
    if not result.completed:
        return f"The reference of sample 0 with steps twice as long: {result.reason}."
    last = GRIDS[type(truth.test)].at_nodes(result.u[:, -1], truth.fine, truth.test)
    change = METRICS[truth.metric](last, truth.frames[:1, -1], truth.test).item()
    return (
        f"The reference of sample 0 changes by {percent(change)} at the last time when its steps "
        f"are twice as long."
    )


def _method_notes(truth: Truth, num_samples: int, seed: int, repeats: int) -> list[str]:
    test, fine = grid_name(truth.test.shape), grid_name(truth.fine.shape)
    given = truth.given.shape[1]
    series = GRIDS[type(truth.test)].series
    return [
        f"Errors: {metric_name(truth.metric)} at the nodes of the {test} grid of the training "
        f"data, {truth.times[-1]:.4g} after the last given frame, mean over {num_samples} "
        f"trajectories (seed {seed}) outside of the training data, against ETDRK4 on {fine} with "
        f"steps of {truth.steps / truth.unit:.2g} on average.",
        f"Correlation time: until the correlation with the reference falls below {THRESHOLD:g}, "
        f"linear between frames; trajectories that stay above count with {truth.times[-1]:.4g}.",
        f"Input: an operator has the first {given} frame(s) at the nodes; a stepper has the last "
        f"of them as a {series} truncated to its grid. The time includes the interpolation "
        f"of all {len(truth.times)} frames to the {test} nodes; the equation on a grid is built "
        f"once and not counted, like the loading of a network.",
        f"Time: wall-clock per trajectory, the time of a batch / its size, median of at least "
        f"{repeats} calls, the methods' calls interleaved, after one call that is not counted.",
        "An operator is compared with steppers of the same or a smaller batch. Steppers have batch "
        f"1 only where a trajectory takes {seconds_text(SLOW)} or more.",
        "dt is halved as long as this changes the solutions by a tenth of their errors or more.",
        "All methods work in float32 with one thread, or all threads for an operator if faster.",
    ]
