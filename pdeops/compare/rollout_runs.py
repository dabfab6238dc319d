"""Comparison of finished runs on trajectories: the study, the figures and report.md."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ..datasets.problems.evolution import EvolutionProblem
from ..datasets.spec import DatasetSpec
from ..datasets.windows import Window
from .candidates import Candidate, place_of
from .fitted import Fits, fits_or_note
from .report import write_report
from .rollout_candidates import FittedRollout, LearnedRollout, Rollout, SteppedRollout, Truth
from .rollout_comparison import RolloutComparison
from .rollout_plots import error_seconds
from .rollout_study import SCALES, STEPPERS, rollout_study, solve_truth
from .runs import UNSEEN, annotate, common, curves_of, data_cost, once, training_time
from .shifted import SHIFTED
from .shifts import Shift, Shifted, shifted_rows
from .stepping_grids import GRIDS
from .tables import grid_name
from .time_stepping import STEPPING
from .trajectory_plots import film

TIMED = 2  # samples generated to estimate the cost of the training data


@dataclass(frozen=True)
class FrameTimes:
    """What runs on trajectories predict: the times of the given frames and of those to predict."""

    n_in: int
    times: tuple[float, ...]


def compare_rollouts(
    runs: Mapping[str, Any],
    *,
    folder: str | Path,
    num_samples: int = 16,
    seed: int | None = None,
    data_seconds: float | None = None,
    fits: Fits | None = None,
    shifts: Sequence[Shift] = (),
    title: str | None = None,
    introduction: str = "",
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> RolloutComparison:
    """Compare finished runs on trajectories with classical time stepping, and write report.md.

    One-step models are rolled out to the last time of their training file; models of many frames
    predict those of their window.

    Args:
        runs: name -> `RolloutRun`, or `Run` with windows of trajectories; all trained on the same
            problem, grid and frames.
        folder: where report.md, compare.csv and plots/ are written.
        num_samples, seed, progress, **options: arguments of `rollout_study`; the default seed
            differs from that of the training data.
        data_seconds: seconds to generate the training data; by default estimated from two samples.
        fits: surrogates without a network; by default those of `fits_or_note`.
        shifts: other distributions and horizons on which errors are computed (`shifts_of`).
        title, introduction: arguments of `write_report`.

    Raises:
        ValueError: a run's data name no equation in time on a periodic box or a sphere, or the runs
            differ in problem, grid or frames.
    """
    problem, grid, spec = common(runs)
    if not isinstance(problem, EvolutionProblem) or type(grid) not in GRIDS:
        raise ValueError(
            f"Trajectories are compared with time stepping on periodic boxes and spheres; the data "
            f"are {problem.name} on {grid}. Use `pdeops evaluate`."
        )
    frames = _common_times(runs, spec)
    seed = spec.seed + UNSEEN if seed is None else seed
    costs, notes = data_cost(
        runs,
        lambda i: problem.solved_sample(spec, i),
        known=data_seconds,
        repeats=TIMED,
        warm_up=0,
        remark="with the check of each solution by one of twice its step",
    )
    truth = solve_truth(
        problem, grid, frames.times, n_in=frames.n_in, seed=seed, num_samples=num_samples
    )
    fits = fits_or_note(runs) if fits is None else fits
    comparison = rollout_study(
        {name: _rollout(run) for name, run in runs.items()},
        problem,
        grid,
        frames.times,
        n_in=frames.n_in,
        seed=seed,
        num_samples=num_samples,
        training_seconds={name: training_time(run) for name, run in runs.items()},
        data_seconds=costs,
        truth=truth,
        fits=fits,
        devices={name: place_of(run)[0] for name, run in runs.items()},
        progress=progress,
        **options,
    )
    annotate(comparison, runs, notes)
    if shifts:
        grids = GRIDS[type(grid)].coarse(problem, grid, options.get("scales", SCALES))
        prepare = partial(_shifted, runs, fits, comparison, frames, grid, grids)
        comparison = replace(comparison, shifted=shifted_rows(comparison, shifts, prepare))
    write_report(
        folder,
        title=title or f"{', '.join(once(runs))} for {problem.name} at {grid_name(grid.shape)}",
        introduction=introduction,
        comparison=comparison,
        draw=error_seconds,
        metric=truth.metric,
        films=_films(once(runs), truth, Path(folder)),
        curves=curves_of(runs),
        runs=once(runs),
    )
    return comparison


def _shifted(
    runs: Mapping[str, Any],
    fits: Fits,
    comparison: RolloutComparison,
    frames: FrameTimes,
    grid: Any,
    grids: Sequence[Any],
    shift: Shift,
) -> Shifted:
    """The methods of a study on the samples of a shift; on a longer horizon the frames go on at the
    same distance."""
    step = frames.times[1] - frames.times[0]
    number = len(frames.times)
    if shift.name == "horizon":
        number = frames.n_in + 2 * (number - frames.n_in)
    times = tuple(step * i for i in range(number))
    count = min(comparison.num_samples, SHIFTED)
    truth = solve_truth(
        shift.problem, grid, times, n_in=frames.n_in, seed=comparison.seed, num_samples=count
    )
    fitted = {f.name: f for f in fits.fitted}

    def candidate(row: Any) -> Candidate:
        shared: dict[str, Any] = {"truth": truth, "threads": row.threads}
        if row.kind == "operator":
            return LearnedRollout(row.method, grid, rollout=_rollout(runs[row.method]), **shared)
        if row.kind == "reduced":
            return FittedRollout(row.method, grid, fitted=fitted[row.method], **shared)
        there = next(g for g in grids if g.shape == row.grid)
        stepping = STEPPING[type(there)](
            shift.problem.equation_on(there),
            row.dt * truth.unit,
            [t * truth.unit for t in truth.times],
            start=there,
            test=grid,
            stepper=STEPPERS[row.method],
        )
        return SteppedRollout(row.method, there, dt=row.dt, stepping=stepping, **shared)

    return Shifted(candidate, truth.frames, grid, truth.times[-1])


def _rollout(run: Any) -> Rollout:
    """The run as (given frames, number of frames) -> later frames."""
    if run.task == "rollout":
        return lambda frames, num_frames: run(frames, num_frames, batch_size=len(frames))
    return lambda frames, num_frames: run(frames, batch_size=len(frames))[:, :num_frames]


def _common_times(runs: Mapping[str, Any], spec: DatasetSpec) -> FrameTimes:
    """The frames that all runs predict.

    Raises:
        ValueError: the runs differ.
    """
    all_frames = {name: _times(run, spec) for name, run in runs.items()}
    first = next(iter(all_frames.values()))
    for name, frames in all_frames.items():
        if frames != first:
            raise ValueError(
                f"Runs are compared on the same frames; {next(iter(all_frames))!r} predicts "
                f"{len(first.times) - first.n_in} frames from {first.n_in}, {name!r} "
                f"{len(frames.times) - frames.n_in} from {frames.n_in}. Compare them one by one."
            )
    return first


def _times(run: Any, spec: DatasetSpec) -> FrameTimes:
    if run.n_in is None:
        raise ValueError(
            "A comparison of trajectories needs frames as input; the run maps a field without an "
            "axis of time to frames. Use `pdeops evaluate`."
        )
    window = run.recipe.data.window or Window()
    times = spec.times[:: window.stride]
    if run.task != "rollout":
        times = times[: run.n_in + run.n_out]
    return FrameTimes(run.n_in, tuple(t - times[0] for t in times))


def _films(runs: Mapping[str, Any], truth: Truth, folder: Path) -> dict[str, Path]:
    """The film of the first test trajectory, for each run."""
    if truth.test.ndim > 2:
        return {}
    drawn = {}
    for i, (name, run) in enumerate(runs.items()):
        prediction = _rollout(run)(truth.given[:1].float(), len(truth.times))
        drawn[f"First trajectory, {name}"] = film(
            folder / "plots" / f"film_{i}.png",
            truth.times,
            truth.frames[0, :, 0],
            prediction[0, :, 0],
            name=name,
            domain=truth.test,
        )
    return drawn
