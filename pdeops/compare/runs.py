"""Comparison of finished runs: the study, the figures and report.md."""

from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import torch

from ..datasets import Problem, problem_of
from ..domain import Grid
from ..tasks.supervised import Run
from .comparison import Comparison
from .error_time import REFERENCE_FACTOR, solve_reference, study
from .plots import read_metrics
from .report import Samples, write_report
from .tables import grid_name, seconds_text
from .timing import time_calls

SHOWN = 3  # samples in the figure
UNSEEN = 1_000_003  # added to the seed of the training data to obtain unseen test problems
TIMED = 4  # samples generated to estimate the cost of the training data


def compare_runs(
    runs: Mapping[str, Run],
    *,
    folder: str | Path,
    num_samples: int = 16,
    seed: int | None = None,
    training_seconds: Mapping[str, float | None] | None = None,
    data_seconds: float | None = None,
    title: str | None = None,
    introduction: str = "",
    evaluations: Sequence[Mapping[str, object]] = (),
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> Comparison:
    """Compare finished runs on one training grid with classical solvers, and write report.md.

    Args:
        runs: name -> run, all trained on the same problem and grid.
        folder: where report.md, compare.csv and plots/ are written.
        num_samples, seed, progress, **options: arguments of `study`; the default seed differs from
            that of the training data.
        training_seconds: seconds for each run; by default those in its metrics.csv.
        data_seconds: seconds to generate the training data; by default estimated from a few
            samples.
        title, introduction, evaluations: arguments of `write_report`.

    Raises:
        ValueError: a run's data name no equation, or the runs differ in problem or grid.
    """
    problem, grid, spec = common(runs)
    assert spec is not None
    seed = spec.seed + UNSEEN if seed is None else seed
    spent: dict[str, float | None] = {name: training_time(run) for name, run in runs.items()}
    used = {name: num_used(run) for name, run in runs.items()}
    per_sample = _seconds_per_sample(problem, grid, spec.seed) if data_seconds is None else None
    comparison = study(
        runs,
        problem,
        grid,
        seed=seed,
        num_samples=num_samples,
        training_seconds=spent | dict(training_seconds or {}),
        data_seconds=data_seconds
        if per_sample is None
        else {name: n * per_sample for name, n in used.items()},
        progress=progress,
        **options,
    )
    for name, run in runs.items():
        comparison.context[f"device of {name}"] = next(run.operator.parameters()).device.type
    if per_sample is not None:
        counts = ", ".join(f"{name} {n}" for name, n in used.items())
        comparison.notes.append(
            f"Cost of the data: estimated as the samples used for training and validation "
            f"({counts}) at {seconds_text(per_sample)} each, the median of generating {TIMED} "
            f"of them again, one after the other."
        )
    write_report(
        folder,
        title=title or f"{', '.join(runs)} for {problem.name} at {grid_name(grid.shape)}",
        introduction=introduction,
        evaluations=evaluations,
        samples=_samples(runs, problem, grid, seed) if grid.ndim == 2 else None,
        curves={n: f for n, r in runs.items() if (f := r.folder / "metrics.csv").is_file()},
        comparison=comparison,
    )
    return comparison


def common(runs: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """The common problem, training grid and spec of all runs."""
    if not runs:
        raise ValueError("A comparison needs at least one run; got none.")
    first_name, first = next(iter(runs.items()))
    for name, run in runs.items():
        if run.spec is None or problem_of(run.spec) is None:
            raise ValueError(
                f"Run {name!r} cannot be compared with classical solvers: its training data "
                "name no equation, so no finer reference can be computed. Train on data made "
                "by `pdeops data generate`."
            )
        if run.domain != first.domain:
            raise ValueError(
                f"Runs are compared on one training grid; {first_name!r} has "
                f"{grid_name(first.domain.shape)}, {name!r} {grid_name(run.domain.shape)}. Compare "
                "them one by one."
            )
        assert first.spec is not None
        here, there = ((s.name, s.kind, s.parameters) for s in (first.spec, run.spec))
        if here != there:
            raise ValueError(
                f"Runs are compared on one problem; {first_name!r} was trained on {here}, {name!r} "
                f"on {there}. Compare them one by one."
            )
    assert first.spec is not None
    return problem_of(first.spec), first.domain, first.spec


def training_time(run: Any) -> float | None:
    """The training time in the run's metrics.csv; None if it is missing."""
    file = run.folder / "metrics.csv"
    if not file.is_file():
        return None
    seconds = read_metrics(file).get("seconds")
    return None if seconds is None else float(seconds[-1])


def num_used(run: Any) -> int:
    """Number of samples of the training file that the run used for training and validation."""
    assert run.spec is not None
    return min(run.recipe.data.samples or run.spec.num_samples, run.spec.num_samples)


def _seconds_per_sample(problem: Problem, grid: Grid, seed: int) -> float:
    """Median seconds to generate one sample: drawing the input and solving."""
    indices = cycle(range(TIMED))

    def generate() -> None:
        problem.solve(problem.sample_input(grid, seed, next(indices)), grid, 1e-10)

    return time_calls({"sample": generate}, repeats=TIMED)["sample"].wall.median


def _samples(runs: Mapping[str, Run], problem: Problem, grid: Grid, seed: int) -> Samples:
    """The first test problems with their reference solutions and predictions."""
    x = torch.stack([problem.sample_input(grid, seed, i) for i in range(SHOWN)])
    truth = solve_reference(problem, grid, grid.refined(REFERENCE_FACTOR), seed, SHOWN)
    guesses = {name: run(x.float()).double()[:, 0] for name, run in runs.items()}
    names = [next(f.name for f in problem.fields if f.role == role) for role in ("input", "target")]
    return Samples(*(x[:, 0], truth[:, 0], guesses), names=(names[0], names[1]), extent=grid.extent)
