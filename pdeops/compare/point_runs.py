"""Comparison of finished runs on points with finite elements: the study and report.md."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ..datasets.problems.elasticity import Elasticity
from .candidates import Candidate, place_of
from .duel import Cost
from .error_time import costs_of
from .field_plots import SHOWN, Samples
from .fitted import Fits, fits_or_note
from .machine import describe_machine
from .measure import measure
from .point_candidates import (
    Cells,
    ElementsCandidate,
    FittedPointCandidate,
    PointCandidate,
    PointOperator,
    PointOperatorCandidate,
    PointTruth,
    run_on_points,
    solve_point_truth,
)
from .point_comparison import PointComparison
from .report import write_report
from .runs import UNSEEN, annotate, common, curves_of, data_cost, once, training_time
from .shifted import SHIFTED
from .shifts import Shift, Shifted, shifted_rows
from .tables import grid_name
from .timing import Clock

log = logging.getLogger("pdeops")

REFERENCE_FACTOR = 4  # refinement of the reference relative to the mesh of the points
TIMED = 2  # samples generated to estimate the cost of the training data
ELEMENTS = {"linear elements": 1, "quadratic elements": 2}


def compare_points(
    runs: Mapping[str, Any],
    *,
    folder: str | Path,
    num_samples: int = 16,
    seed: int | None = None,
    reference_factor: int = REFERENCE_FACTOR,
    data_seconds: float | None = None,
    fits: Fits | None = None,
    shifts: Sequence[Shift] = (),
    title: str | None = None,
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> PointComparison:
    """Compare finished runs on points with finite elements on coarser meshes; write report.md.

    Args:
        runs: name -> run, all trained on the same problem.
        folder: where report.md, compare.csv and plots/ are written.
        num_samples, seed, reference_factor, progress, **options: arguments of `point_study`; the
            default seed differs from that of the training data.
        data_seconds: seconds to generate the training data; by default estimated from two samples.
        fits: surrogates without a network; by default those of `fits_or_note`.
        shifts: other distributions of the voids on which errors are computed (`shifts_of`).
        title: first heading of the report.

    Raises:
        ValueError: a run's data name no problem on points, or the runs differ in problem.
    """
    problem, domain, spec = common(runs)
    if not isinstance(problem, Elasticity):
        raise ValueError(
            f"Runs on points are compared with finite elements for the problem elasticity; the "
            f"data are {problem.name} on {domain}. Use `pdeops evaluate`."
        )
    costs, notes = data_cost(
        runs,
        lambda i: problem.solved_sample(spec, i),
        known=data_seconds,
        repeats=TIMED,
        warm_up=1,
        remark="one after the other",
    )
    operators = {name: run_on_points(run) for name, run in runs.items()}
    seed = spec.seed + UNSEEN if seed is None else seed
    truth = _truth(problem, reference_factor, seed, num_samples)
    fits = fits_or_note(runs) if fits is None else fits
    comparison = point_study(
        operators,
        problem,
        seed=seed,
        num_samples=num_samples,
        truth=truth,
        costs=costs_of(runs, fits, {n: training_time(run) for n, run in runs.items()}, costs),
        fits=fits,
        devices={name: place_of(run)[0] for name, run in runs.items()},
        progress=progress,
        **options,
    )
    annotate(comparison, runs, notes)
    if shifts:
        prepare = partial(_shifted, operators, fits, comparison, reference_factor)
        comparison = replace(comparison, shifted=shifted_rows(comparison, shifts, prepare))
    write_report(
        folder,
        title=title or f"{', '.join(once(runs))} for {problem.name}",
        comparison=comparison,
        samples=_samples(operators, problem, truth),
        curves=curves_of(runs),
        runs=once(runs),
    )
    return comparison


def point_study(
    operators: Mapping[str, PointOperator],
    problem: Elasticity,
    *,
    seed: int,
    num_samples: int = 16,
    costs: Mapping[str, Cost] | None = None,
    scales: Sequence[float] = (1 / 8, 1 / 4, 3 / 8, 1 / 2, 3 / 4, 1.0),
    reference_factor: int = REFERENCE_FACTOR,
    batch_sizes: Sequence[int] = (1, 8),
    fits: Fits | None = None,
    devices: Mapping[str, str] | None = None,
    repeats: int = 5,
    truth: PointTruth | None = None,
    clock: Clock | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> PointComparison:
    """Compare the errors and seconds per solve of operators and of finite elements.

    The test problems are samples 0 .. num_samples - 1 of `seed`. The reference is computed by
    quadratic elements on a mesh 4 times as fine as that of the points. Linear and quadratic
    elements solve on coarser meshes of the same curves; the seconds of a solve include the mesh,
    assembly, factorisation and the recovery of the stress at the points. Errors are relative L2
    errors with the weights of the points. Calls are timed as in `error_time.study`.

    Args:
        operators: name -> operator, which maps the points of samples (`Batch`) to the stress.
        costs: name -> seconds spent before the first prediction.
        scales: cells along each direction, relative to the mesh of the points; in (0, 1].
        reference_factor: refinement of the reference relative to the mesh of the points.
        batch_sizes: problems per call of an operator.
        fits: surrogates without a network, fitted to the operators' training samples.
        devices: name of an operator -> type of its device; by default cpu.
        repeats: minimum number of timed calls per row.
        truth: the reference of these samples, by default solved here.
        clock: source of the time; by default the clocks of this machine.
        progress: called with (calls done, total calls).

    Raises:
        ValueError: an argument is out of range.
    """
    in_range = scales and all(0 < scale <= 1 for scale in scales)
    if num_samples < 1 or repeats < 1 or min(batch_sizes, default=0) < 1 or not in_range:
        raise ValueError(
            f"A comparison needs at least one sample, one repeat and one batch size, each >= 1, "
            f"and scales in (0, 1]; got num_samples={num_samples}, repeats={repeats}, batch_sizes="
            f"{tuple(batch_sizes)}, scales={tuple(scales)}."
        )
    around, across = problem.inputs.around, problem.inputs.across
    truth = truth or _truth(problem, reference_factor, seed, num_samples)
    points = truth.fields.shape[-1]
    threads = torch.get_num_threads()
    fits, devices = fits or Fits(), devices or {}
    candidates: list[PointCandidate] = [
        PointOperatorCandidate(
            *(name, Cells((points,)), threads, batch),
            truth=truth,
            operator=operator,
            device=devices.get(name, "cpu"),
        )
        for name, operator in operators.items()
        for batch in batch_sizes
    ]
    candidates += [
        FittedPointCandidate(f.name, Cells((points,)), threads, batch, truth=truth, fitted=f)
        for f in fits.fitted
        for batch in batch_sizes
    ]
    shapes = dict.fromkeys(_scaled(around, across, scale) for scale in sorted(scales))
    candidates += [
        ElementsCandidate(name, Cells(shape), 1, truth=truth, problem=problem, order=order)
        for name, order in ELEMENTS.items()
        for shape in shapes
    ]
    log.info("measuring %d rows of operators and finite elements", len(candidates))
    domain: Any = truth.domain
    load = measure(
        candidates, domain, truth.fields, repeats=repeats, clock=clock, progress=progress
    )
    return PointComparison(
        rows=[c.row() for c in candidates],
        costs=dict(costs or {}),
        problem=problem.name,
        grid=(points,),
        reference=truth.reference,
        num_samples=num_samples,
        seed=seed,
        context=describe_machine()
        | {"threads": f"up to {threads} for operators, 1 for finite elements"},
        notes=[*_method_notes(truth, num_samples, seed, repeats), *fits.notes],
        load=load,
        data_error=truth.data_error,
    )


def _shifted(
    operators: Mapping[str, PointOperator],
    fits: Fits,
    comparison: PointComparison,
    reference_factor: int,
    shift: Shift,
) -> Shifted:
    """The methods of a study on the samples of a shift."""
    count = min(comparison.num_samples, SHIFTED)
    truth = _truth(shift.problem, reference_factor, comparison.seed, count)
    fitted = {f.name: f for f in fits.fitted}

    def candidate(row: Any) -> Candidate:
        place = (row.method, Cells(row.grid), row.threads)
        if row.kind == "operator":
            return PointOperatorCandidate(*place, truth=truth, operator=operators[row.method])
        if row.kind == "reduced":
            return FittedPointCandidate(*place, truth=truth, fitted=fitted[row.method])
        order = ELEMENTS[row.method]
        return ElementsCandidate(*place, truth=truth, problem=shift.problem, order=order)

    return Shifted(candidate, truth.fields, truth.domain)


def _truth(problem: Elasticity, factor: int, seed: int, num_samples: int) -> PointTruth:
    fine = (factor * problem.inputs.around, factor * problem.inputs.across)
    log.info("solving %d references on %s cells", num_samples, grid_name(fine))
    return solve_point_truth(problem, fine, seed=seed, num_samples=num_samples)


def _samples(
    operators: Mapping[str, PointOperator], problem: Elasticity, truth: PointTruth
) -> Samples:
    """The first test problems with their reference solutions and predictions."""
    first = range(min(SHOWN, len(truth.curves)))
    batch = truth.samples[list(first)]
    predicted = {name: list(operator(batch)[:, 0]) for name, operator in operators.items()}
    domains = [problem.points(truth.curves[i]) for i in first]
    truths = [truth.fields[i, 0] for i in first]
    names = ("points", problem.fields[0].name)
    return Samples([None for _ in first], truths, predicted, domains, names)


def _scaled(around: int, across: int, scale: float) -> tuple[int, int]:
    """The cells of a coarser mesh: a multiple of 4 around, at least 2 across."""
    return max(8, 4 * round(scale * around / 4)), max(2, round(scale * across))


def _method_notes(truth: PointTruth, num_samples: int, seed: int, repeats: int) -> list[str]:
    return [
        f"Errors: relative L2 at the points with their weights, mean over {num_samples} samples "
        f"(seed {seed}) outside of the training data, for all methods against quadratic elements "
        f"on {grid_name(truth.reference)} cells. Both clamped corners, where the stress is "
        f"infinite, have weight 0.",
        "Input: an operator gets the coordinates of the points, finite elements the radius of the "
        "void as a function of the angle; neither is counted.",
        f"Time: wall-clock per sample, median of at least {repeats} calls, the methods' calls "
        "interleaved, after one call that is not counted. For an operator the time of a batch / "
        "its size. For finite elements mesh, assembly, sparse LU, and the recovery of the stress "
        "at all points; the sparsity pattern of a mesh size is computed once and not counted.",
        "Threads: one or all for an operator, whichever was faster; one for finite elements.",
    ]
