"""Comparison of finished runs: the study, the figures and report.md."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import torch

from ..datasets import Problem, problem_of
from ..domain import Grid
from ..domain.transfer import Transfer
from ..runs.search_cost import search_seconds
from ..tasks.supervised import Run
from .candidates import (
    Candidate,
    ClassicalCandidate,
    FittedCandidate,
    Inputs,
    OperatorCandidate,
)
from .comparison import Comparison
from .duel import Row
from .error_time import reference_factor, solve_reference, study
from .field_plots import SHOWN, Samples
from .fitted import Fits, fits_or_note
from .linear_methods import NOT_MEASURED
from .methods import ClassicalMethod, methods_for
from .plots import read_metrics
from .projected import projection
from .report import write_report
from .seeds import groups_of
from .shifted import SHIFTED
from .shifts import Shift, Shifted, shifted_rows
from .tables import grid_name, seconds_text
from .timing import time_calls

log = logging.getLogger("pdeops")

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
    fits: Fits | None = None,
    further: Sequence[ClassicalMethod] = (),
    shifts: Sequence[Shift] = (),
    title: str | None = None,
    introduction: str = "",
    evaluations: Sequence[Mapping[str, object]] = (),
    data: Mapping[str, str | Path] | None = None,
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
        fits: surrogates without a network; by default those of `fits_or_note`.
        further: classical methods in addition to those of `methods_for`.
        shifts: other distributions of the inputs on which errors are computed (`shifts_of`).
        title, introduction, evaluations, data: arguments of `write_report`.

    Raises:
        ValueError: a run's data name no equation, or the runs differ in problem or grid.
    """
    problem, grid, spec = common(runs)
    assert spec is not None
    seed = spec.seed + UNSEEN if seed is None else seed
    spent: dict[str, float | None] = {name: training_time(run) for name, run in runs.items()}
    costs, notes = data_cost(
        runs,
        lambda i: problem.solve(problem.sample_input(grid, spec.seed, i), grid, 1e-10),
        known=data_seconds,
        repeats=TIMED,
        warm_up=1,
        remark="one after the other",
    )
    if fits is None:
        galerkin = projection(problem, grid)
        fits = fits_or_note(runs, [galerkin] if galerkin else [])
    comparison = study(
        runs,
        problem,
        grid,
        seed=seed,
        num_samples=num_samples,
        training_seconds=spent | dict(training_seconds or {}),
        data_seconds=costs,
        fits=fits,
        classical=[*methods_for(problem), *further],
        progress=progress,
        **options,
    )
    annotate(comparison, runs, notes if further else [*notes, NOT_MEASURED])
    if shifts:
        prepare = partial(_shifted, runs, fits, further, comparison, grid)
        comparison = replace(comparison, shifted=shifted_rows(comparison, shifts, prepare))
    log.info("writing %s", Path(folder) / "report.md")
    write_report(
        folder,
        title=title or f"{', '.join(once(runs))} for {problem.name} at {grid_name(grid.shape)}",
        introduction=introduction,
        evaluations=evaluations,
        samples=_samples(once(runs), problem, grid, seed, min(SHOWN, num_samples)),
        curves=curves_of(runs),
        runs=once(runs),
        data=data,
        comparison=comparison,
    )
    return comparison


def _shifted(
    runs: Mapping[str, Run],
    fits: Fits,
    further: Sequence[ClassicalMethod],
    comparison: Comparison,
    grid: Grid,
    shift: Shift,
) -> Shifted:
    """The methods of a study on the samples of a shift."""
    inputs = Inputs(shift.problem, comparison.seed)
    classical = {method.name: method for method in (*methods_for(shift.problem), *further)}
    fitted = {f.name: f for f in fits.fitted}

    def candidate(row: Row) -> Candidate:
        there = grid.with_shape(row.grid)
        shared: dict[str, Any] = {"transfer": Transfer(there, grid), "inputs": inputs}
        place = (row.method, there, row.threads)
        if row.kind == "operator":
            return OperatorCandidate(*place, **shared, operator=runs[row.method])
        if row.kind == "reduced":
            return FittedCandidate(*place, **shared, fitted=fitted[row.method])
        solver = classical[row.method]
        return ClassicalCandidate(*place, 1, row.tolerance, **shared, solver=solver)

    fine = grid.refined(reference_factor(grid))
    truth = solve_reference(
        shift.problem, grid, fine, comparison.seed, min(comparison.num_samples, SHIFTED)
    )
    return Shifted(candidate, truth, grid)


def common(runs: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """The common problem, training grid and spec of all runs."""
    if not runs:
        raise ValueError("A comparison needs at least one run; got none.")
    first_name, first = next(iter(runs.items()))
    for name, run in runs.items():
        if run.spec is None or problem_of(run.spec) is None:
            raise ValueError(
                f"The run {run.folder} ({name}) cannot be compared with classical solvers: its "
                "training data name no equation, so no finer reference can be computed. Train on "
                "data made by `pdeops data generate`."
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


def annotate(comparison: Comparison, runs: Mapping[str, Any], notes: Sequence[str]) -> None:
    """Add the device of each run, the runs that differ by the seed only and the notes to a
    comparison, and what differs between the training samples of the runs."""
    comparison.seeds.update(groups_of(runs))
    samples = {n: f"{_num_used(r)} of seed {r.spec.seed}" for n, r in runs.items() if r.spec}
    comparison.trained_on.update(samples)
    if len(set(samples.values())) > 1:
        each = ", ".join(f"{name} {text}" for name, text in samples.items())
        comparison.notes.append(f"The runs were trained on different samples: {each}.")
    for name, run in runs.items():
        comparison.context[f"device of {name}"] = next(run.operator.parameters()).device.type
    comparison.notes.extend(notes)


def once(runs: Mapping[str, Any]) -> dict[str, Any]:
    """The runs without those of a folder that an earlier one has: a run on another device, or
    compiled, has the same recipe, training and errors."""
    names = {run.folder: name for name, run in reversed(list(runs.items()))}
    return {name: run for name, run in runs.items() if names[run.folder] == name}


def curves_of(runs: Mapping[str, Any]) -> dict[str, Path]:
    """The metrics.csv of the runs that have one, by name; of each folder once."""
    files = {name: run.folder / "metrics.csv" for name, run in once(runs).items()}
    return {name: file for name, file in files.items() if file.is_file()}


def training_time(run: Any) -> float | None:
    """The training time in the run's metrics.csv, with that of the trials of the search that found
    its settings; None if it is missing."""
    file = run.folder / "metrics.csv"
    if not file.is_file():
        return None
    seconds = read_metrics(file).get("seconds")
    return None if seconds is None else float(seconds[-1]) + search_seconds(run.folder)


def data_cost(
    runs: Mapping[str, Any],
    generate: Callable[[int], object],
    *,
    known: float | None,
    repeats: int,
    warm_up: int,
    remark: str,
) -> tuple[dict[str, float], list[str]]:
    """Seconds to generate the data of each run, and a note if they are estimated.

    Args:
        generate: index of a sample -> the sample, drawn and solved.
        known: the seconds; None to estimate them from a few samples.
        repeats: number of samples that are generated and timed.
        warm_up: number of samples that are generated before.
        remark: how they are generated, for the note.
    """
    if known is not None:
        return dict.fromkeys(runs, known), []
    log.info("estimating the cost of the training data")
    indices = cycle(range(repeats))
    calls = {"sample": lambda: generate(next(indices))}
    each = time_calls(calls, repeats=repeats, warm_up=warm_up)["sample"].wall.median
    used = {name: _num_used(run) for name, run in runs.items()}
    counts = ", ".join(f"{name} {n}" for name, n in used.items())
    note = (
        f"Cost of the data: estimated as the samples used for training and validation ({counts}) "
        f"at {seconds_text(each)} each, the median of generating {repeats} of them again, {remark}."
    )
    return {name: n * each for name, n in used.items()}, [note]


def _num_used(run: Any) -> int:
    """Number of samples of the training file that the run used for training and validation."""
    assert run.spec is not None
    return min(run.recipe.data.samples or run.spec.num_samples, run.spec.num_samples)


def _samples(
    runs: Mapping[str, Run], problem: Problem, grid: Grid, seed: int, count: int
) -> Samples:
    """The first test problems with their reference solutions and predictions."""
    x = torch.stack([problem.sample_input(grid, seed, i) for i in range(count)])
    truth = solve_reference(problem, grid, grid.refined(reference_factor(grid)), seed, count)
    predicted = {name: run(x.float()).double()[:, 0] for name, run in runs.items()}
    names = [next(f.name for f in problem.fields if f.role == role) for role in ("input", "target")]
    fields = list(x[:, 0]), list(truth[:, 0]), {name: list(u) for name, u in predicted.items()}
    return Samples(*fields, [grid] * count, (names[0], names[1]))
