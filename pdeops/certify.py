"""Predictions with guaranteed error bounds, improved until a bound is met if that is asked for."""

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .batch import Batch
from .datasets import FieldDataset, Problem, open_dataset, problem_of
from .datasets.layouts.native_file import Measure
from .domain import Grid
from .estimators import Bounds, EnergyBounds
from .polish import Polished, polished
from .tasks import prediction
from .tasks.data import check_channels
from .tasks.supervised import Run

_ERROR = (
    "of |grad(u - v)|_a / |grad u|_a, u the exact solution and v the stored target; coefficient and "
    "source are constant in the cell around each node"
)
_DECADES = 12


@dataclass(frozen=True)
class Certified:
    """What is proven of one sample.

    Attributes:
        bounds: of the error of the stored field.
        solved, from_zero: iterations to the tolerance, from the prediction and from zero; None
            without a tolerance.
    """

    bounds: Bounds
    solved: Polished | None = None
    from_zero: Polished | None = None


@torch.no_grad()
def predict(run: Run, data: str | Path, out: str | Path, *, tol: float | None = None) -> "Report":
    """Write the predictions of a run with bounds of the error of each (`EnergyBounds`).

    The file has the variables energy_error_lower and energy_error_upper, one number per sample:
    bounds of the relative error in the energy norm against the exact solution of the equation.

    With a tolerance each prediction is the first iterate of conjugate gradients with multigrid,
    which stop as soon as the relative error against the discrete solution is guaranteed to be at
    most tol, in the norm of A (`polish.polished`). The result is stored in float64.

    Raises:
        ValueError: the file exists, the equation of the data is not known or not of the form
            -div(a grad u) = f, a prediction is not finite, or tol is not positive or below
            round-off.
    """
    prediction.prepare(out)
    dataset = open_dataset(data)
    problem = _problem(dataset)
    check_channels(dataset, run.in_channels)
    dataset.check(("input",))
    samples: list[Certified] = []

    def pairs() -> Iterator[tuple[Batch, Tensor]]:
        for batch in dataset.batches(32):
            fields = []
            for x, u in zip(batch.input, run(batch.input), strict=True):
                certified, stored = _certified(problem, dataset, x, u[0], tol)
                samples.append(certified)
                fields.append(stored[None])
            yield batch, torch.stack(fields)

    def measures() -> Sequence[Measure]:
        relative = {
            "lower": [s.bounds.relative_lower for s in samples],
            "upper": [s.bounds.relative_upper for s in samples],
        }
        return [
            Measure(
                f"energy_error_{side}",
                f"{side} bound {_ERROR}",
                torch.tensor(values, dtype=torch.float64),
            )
            for side, values in relative.items()
        ]

    correction = None
    if tol is not None:
        source = f"improved by conjugate gradients to {tol:g} of the discrete solution"
        spec = dataset.spec
        assert spec is not None
        correction = prediction.Correction(source, spec.equation, {})
    prediction.write(
        run,
        dataset,
        pairs(),
        out,
        correction=correction,
        measures=measures,
        dtype="float32" if tol is None else "float64",
    )
    domain: Any = dataset.domain
    return Report(str(out), domain, samples, tol)


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
    problem: Problem, dataset: FieldDataset, x: Tensor, u: Tensor, tol: float | None
) -> tuple[Certified, Tensor]:
    """The bounds of one prediction, and the field to be stored."""
    grid: Any = dataset.domain
    bounds = EnergyBounds(*problem.diffusion(x.double(), grid), grid)
    if tol is None:
        return Certified(bounds(u)), u
    if not u.isfinite().all():
        raise ValueError(
            "A prediction holds NaN or infinity, so it cannot be the first iterate. Check the run."
        )
    solved = polished(bounds, u, tol)
    return Certified(bounds(solved.u), solved, polished(bounds, None, tol)), solved.u


@dataclass(frozen=True)
class Report:
    """The bounds of all samples of a file, in words and numbers."""

    out: str
    grid: Grid
    samples: list[Certified]
    tol: float | None

    def to_dict(self) -> dict[str, Any]:
        """The figures: relative errors in the energy norm, and iterations."""
        upper = [s.bounds.relative_upper for s in self.samples]
        entries: dict[str, Any] = {
            "out": self.out,
            "samples": len(self.samples),
            "energy_error_lower": statistics.fmean(s.bounds.relative_lower for s in self.samples),
            "energy_error_upper": statistics.fmean(upper),
            "largest_energy_error_upper": max(upper),
        }
        if self.tol is not None:
            entries["tolerance"] = self.tol
            entries["iterations"] = [
                {"tolerance": tol, "from_prediction": mine, "from_zero": zero}
                for tol, mine, zero in self.iterations()
            ]
        return entries

    def iterations(self) -> list[tuple[float, float, float]]:
        """Per tolerance, mean iterations from the prediction and from zero."""
        if self.tol is None:
            return []
        decades = [10.0**-k for k in range(1, _DECADES + 1)]
        return [
            (
                tol,
                statistics.fmean(s.solved.needed(tol) for s in self.samples if s.solved),
                statistics.fmean(s.from_zero.needed(tol) for s in self.samples if s.from_zero),
            )
            for tol in [*(d for d in decades if d > 1.0001 * self.tol), self.tol]
        ]

    def to_markdown(self) -> str:
        """The same as text."""
        figures = self.to_dict()
        lines = [
            f"{self.out}: {len(self.samples)} samples. Guaranteed: the relative error in the energy "
            f"norm, against the exact solution of the equation, is between "
            f"{figures['energy_error_lower']:.2e} and {figures['energy_error_upper']:.2e} in the "
            f"mean, and at most {figures['largest_energy_error_upper']:.2e}. Coefficient and source "
            f"are constant in the cell around each node."
        ]
        if self.tol is not None:
            lines += ["", *self._about_iterations(self.tol)]
        return "\n".join(lines)

    def _about_iterations(self, tol: float) -> list[str]:
        table = self.iterations()
        lines = [
            f"Against the discrete solution it is at most {tol:g}, by conjugate gradients with "
            f"multigrid:",
            "",
            "| tolerance | iterations from the prediction | from zero |",
            "|---|---|---|",
            *(f"| {t:g} | {mine:.1f} | {zero:.1f} |" for t, mine, zero in table),
            "",
        ]
        saved = table[-1][2] - table[-1][1]
        useless = [t for t, mine, zero in table if zero - mine < 0.5]
        if saved >= 0.5:
            lines.append(f"The prediction saved {saved:.1f} iterations at {tol:g}.")
        if useless:
            lines.append(
                f"At {', '.join(f'{t:g}' for t in useless)} zero was as good a first iterate."
            )
        upper = max(s.bounds.relative_upper for s in self.samples)
        if upper > tol:
            factor = upper / tol
            cells = " x ".join(f"{math.ceil(m * factor):,}" for m in self.grid.cells)
            lines.append(
                f"The grid does not resolve the equation to {tol:g}: the bound against the exact "
                f"solution is {upper:.2e}. It falls in proportion to h where a and u are smooth, "
                f"which needs {cells} cells for {tol:g}."
            )
        return lines
