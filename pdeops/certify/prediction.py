"""Predictions with error bars, written to a file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..batch import Batch
from ..datasets import FieldDataset, Problem, problem_of
from ..datasets.layouts.variables import Measure
from ..domain import Grid
from ..estimators import EnergyBounds
from ..estimators.conformal import coverage
from ..polish import polished
from ..tasks import prediction
from ..tasks.supervised import Run
from .bands import Band, require_same_equation, same_samples, steady_fields, variables_of
from .report import CELLS, Certified, Report


@torch.no_grad()
def predict(
    run: Run,
    data: str | Path,
    out: str | Path,
    *,
    bounds: bool = True,
    tol: float | None = None,
    band: Band | None = None,
) -> Report:
    """Write the predictions of a run with error bars.

    bounds: the file gets energy_error_lower and energy_error_upper, one number per sample: bounds
    of the relative error in the energy norm against the exact solution (`EnergyBounds`).

    tol: each prediction is the first iterate of conjugate gradients with multigrid, which stop as
    soon as the relative error against the discrete solution is guaranteed to be at most tol, in the
    norm of A (`polish.polished`). Fields are stored in float64. It implies `bounds`.

    band: the file gets the half width of the band of each target, as TARGET_band. With a tolerance
    there is no band, because it is that of the uncorrected predictions.

    Raises:
        ValueError: the file exists, a prediction is not finite, tol is not in (0, 1) or below
            round-off, there are a tolerance and a band, or a band of these samples or of another
            equation; or bounds are wanted and the equation of the data is unknown or not of the
            form -div(a grad u) = f.
    """
    if tol is not None and band is not None:
        raise ValueError(
            "A band is that of the operator's predictions, and a tolerance changes them. Give one "
            "of the two."
        )
    prediction.prepare(out)
    dataset = steady_fields(run, data)
    problem = _problem(dataset) if bounds or tol is not None else None
    domain: Any = dataset.domain
    if band and same_samples(dataset, band.calibration.spec, [band.calibration.path]):
        raise ValueError(
            f"{data} holds the samples of the calibration: the band is not independent of them. "
            f"Predict other samples, or calibrate on others."
        )
    if band:
        calibration = band.calibration
        require_same_equation(dataset, calibration.spec, f"the calibration {calibration.path}")
    width = band.on(domain) if band else torch.empty(0)
    samples: list[Certified] = []
    covered: list[float] = []

    def pairs() -> Iterator[tuple[Batch, Tensor]]:
        for batch in dataset.batches(32):
            y = run(batch.input)
            if problem is not None:
                found = [
                    _certified(problem, domain, x, u[0], tol)
                    for x, u in zip(batch.input, y, strict=True)
                ]
                samples.extend(certified for certified, _ in found)
                y = torch.stack([stored[None] for _, stored in found])
            if band is not None and "target" in batch:
                errors = batch.target - y
                covered.extend(
                    coverage(e[None], width, simultaneous=band.simultaneous) for e in errors
                )
            yield batch, y

    def measures() -> list[Measure]:
        return [*_of_bounds(samples), *(variables_of(band, width) if band else [])]

    correction = None
    if tol is not None:
        assert dataset.spec is not None
        source = f"improved by conjugate gradients to {tol:g} of the discrete solution"
        correction = prediction.Correction(source, dataset.spec.equation, {})
    dtype = "float32" if tol is None else "float64"
    prediction.write(
        run, dataset, pairs(), out, correction=correction, measures=measures, dtype=dtype
    )
    return Report(str(out), domain, len(dataset), samples, tol, band, covered)


def _of_bounds(samples: list[Certified]) -> list[Measure]:
    """The variables of bounds."""
    sides = {
        "lower": [s.bounds.relative_lower for s in samples],
        "upper": [s.bounds.relative_upper for s in samples],
    }
    return [
        Measure(
            f"energy_error_{side}",
            f"{side} bound of |grad(u - v)|_a / |grad u|_a, u the exact solution, v the stored "
            f"target with zero at Dirichlet ends; {CELLS}",
            torch.tensor(values, dtype=torch.float64),
        )
        for side, values in sides.items()
        if values
    ]


def _problem(dataset: FieldDataset) -> Problem:
    """The problem of the data, if its solutions can have bounds."""
    problem = problem_of(dataset.spec) if dataset.spec else None
    if not isinstance(problem, Problem) or not isinstance(dataset.domain, Grid):
        equation = dataset.spec.equation if dataset.spec else "not stated"
        raise ValueError(
            f"Guaranteed error bounds need an equation -div(a grad u) = f on a grid, such as Darcy "
            f"flow or Poisson's equation; the equation of {dataset.path} is: {equation}. Predict "
            f"without bounds."
        )
    return problem


def _certified(
    problem: Problem, grid: Grid, x: Tensor, u: Tensor, tol: float | None
) -> tuple[Certified, Tensor]:
    """The bounds of one prediction, and the field to be stored."""
    bounds = EnergyBounds(*problem.diffusion(x.double(), grid), grid)
    if tol is None:
        return Certified(bounds(u)), u
    solved = polished(bounds, u, tol)
    return Certified(bounds(solved.u), solved, polished(bounds, None, tol)), solved.u
