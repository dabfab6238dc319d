"""Predicted trajectories with the norm of their residual, and how far it is from the error; or
refined until this norm is small."""
# Axes: b sample, t frame, c channel, *space nodes.

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..batch import Batch
from ..calculus.norms import Sobolev
from ..compare.tables import markdown_table
from ..datasets import EvolutionProblem, open_dataset
from ..datasets.layouts.variables import Measure
from ..domain import Grid
from ..estimators import EvolutionDefect
from ..estimators.time_derivative import trapezoidal_weights
from ..tasks import prediction
from ..tasks.refinement import block_of, predictor, require_trajectories, times_of, windows_of
from ..tasks.refinement_problem import correction, problem_for
from .refined import RefinedToTolerance, accuracy_for, both_refined
from .report import GAIN, decades


class ParabolicNorm:
    """Trajectories u ↦ ‖u‖_X, (b, t, c, *space) ↦ (b,): ‖u‖²_X = sup_t ‖u‖² + ν ∫ ‖∇u‖² dt.

    The error of a parabolic equation is bounded in X by its residual in L²(H⁻¹).
    """

    def __init__(self, grid: Grid, viscosity: float, weights: Float[Tensor, " t"]) -> None:
        self.value, self.slope = Sobolev(0.0, grid), Sobolev(1.0, grid, 0.0)
        self.viscosity, self.weights = viscosity, weights

    def __call__(self, u: Float[Tensor, "b t c *space"]) -> Float[Tensor, " b"]:
        shape = u.shape[:2]
        u = u.double().flatten(0, 1)
        value, slope = (n(u).square().view(shape) for n in (self.value, self.slope))
        return (value.amax(1) + self.viscosity * slope @ self.weights).sqrt()


class RelativeResidual:
    """Trajectories u ↦ η ν^(-1/2) / ‖u‖_X, (b, t, c, *space) ↦ (b,), η in L²(H⁻¹) by the steps of
    ETDRK4 from each frame to the next (`EvolutionDefect`), as long as those that made the data."""

    def __init__(self, problem: EvolutionProblem, grid: Grid, times: Sequence[float]) -> None:
        steps = max(1, math.ceil((times[1] - times[0]) / problem.inputs.dt - 1e-9))
        self.eta = EvolutionDefect(problem.equation_on(grid), times, steps=steps)
        self.viscosity = problem.parameters["viscosity"]
        self.norm = ParabolicNorm(grid, self.viscosity, trapezoidal_weights(times))

    def __call__(
        self, u: Float[Tensor, "b t c *space"], size: Float[Tensor, " b"] | None = None
    ) -> Float[Tensor, " b"]:
        """The relative residual; relative to `size` if that is given."""
        size = self.norm(u) if size is None else size
        return self.eta(u) / (math.sqrt(self.viscosity) * size)


@dataclass(frozen=True)
class TrajectoryReport:
    """The residuals of predicted trajectories, and their errors against those of the file.

    Attributes:
        residuals: η ν^(-1/2) / ‖u‖_X of each prediction u, η in L²(H⁻¹) with the given frames.
        floors: the same with the residual η of the file's own trajectories.
        errors: ‖e‖_X / ‖u‖_X of each prediction.
        tol: tolerance of `residuals`, which the stored trajectories meet; None without one.
        refinements: with a tolerance, per sample the refinement of the prediction, and that of the
            last given frame, repeated.
    """

    out: str
    residuals: list[float]
    floors: list[float]
    errors: list[float]
    tol: float | None = None
    refinements: list[tuple[RefinedToTolerance, RefinedToTolerance]] = field(default_factory=list)

    @property
    def effectivities(self) -> list[float]:
        """η ν^(-1/2) / ‖e‖_X of each sample; infinite without an error."""
        pairs = zip(self.residuals, self.errors, strict=True)
        return [r / e if e > 0 else math.inf for r, e in pairs]

    def evaluations(self) -> list[tuple[float, float, float]]:
        """Per tolerance, mean evaluations of the residual from the prediction and from the last
        given frame; infinite if a sample does not reach it."""
        if self.tol is None:
            return []
        return [
            (
                tol,
                _mean([mine.needed(tol) for mine, _ in self.refinements]),
                _mean([other.needed(tol) for _, other in self.refinements]),
            )
            for tol in decades(self.tol)
        ]

    def to_dict(self) -> dict[str, Any]:
        """The figures, as means over the samples."""
        entries: dict[str, Any] = {}
        if self.tol is not None:
            entries["tolerance"] = self.tol
            entries["evaluations"] = [
                {
                    "tolerance": tol,
                    "from_prediction": mine,
                    "from_last_frame": None if math.isinf(other) else other,
                }
                for tol, mine, other in self.evaluations()
            ]
        return {
            "out": self.out,
            "samples": len(self.residuals),
            "relative_residual": statistics.fmean(self.residuals),
            "largest_relative_residual": max(self.residuals),
            "relative_residual_of_the_file": statistics.fmean(self.floors),
            "relative_error": statistics.fmean(self.errors),
            "effectivity": statistics.median(self.effectivities),
            "smallest_effectivity": min(self.effectivities),
            "largest_effectivity": max(self.effectivities),
            **entries,
        }

    def to_markdown(self) -> str:
        """The same as text."""
        f = self.to_dict()
        return (
            f"{self.out}: {f['samples']} trajectories.\n\n"
            f"Estimate, no bound: the residual in L²(H⁻¹), over ν^½ and the norm of the "
            f"prediction, is {f['relative_residual']:.2e} in the mean and at most "
            f"{f['largest_relative_residual']:.2e}. The error in sup L² + ν^½ L²(H¹) is the "
            f"residual over a factor, the effectivity, that depends on the flow.\n\n"
            f"On this file the error is {f['relative_error']:.2e} in the mean and the effectivity "
            f"{f['effectivity']:.3g} in the median ({f['smallest_effectivity']:.3g} to "
            f"{f['largest_effectivity']:.3g}). The frames of the file have a residual of "
            f"{f['relative_residual_of_the_file']:.2e}: a residual of that size shows no error."
            + self._about_refinements()
        )

    def _about_refinements(self) -> str:
        if self.tol is None:
            return ""
        table = self.evaluations()
        names = ["tolerance", "from the prediction", "from the last given frame"]
        rows = [[f"{t:g}", *(f"{v:.1f}" for v in values)] for t, *values in table]
        before = statistics.fmean(mine.residuals[0] for mine, _ in self.refinements)
        lines = [
            f"The predictions had a relative residual of {before:.2e} and are refined to at most "
            f"{self.tol:g}. Evaluations of the residual or its Jacobian until then:",
            "",
            markdown_table(names, rows),
            "",
        ]
        saved = table[-1][2] - table[-1][1]
        if math.isinf(saved):
            lines.append("From the last given frame, repeated, the refinement does not reach it.")
        elif saved >= GAIN:
            lines.append(f"The prediction saved {saved:.1f} evaluations at {self.tol:g}.")
        useless = [f"{t:g}" for t, mine, other in table if other - mine < GAIN]
        if useless:
            lines.append(f"At {', '.join(useless)} the last given frame, repeated, was as good.")
        lines.append(
            "A step of the solver has no linear system to be iterated: its implicit part is "
            "diagonal in Fourier space and exact, so that a prediction saves nothing in it. The "
            "estimate alone takes the solver's steps over all frames, as the solver's run from the "
            "given frame does; `pdeops refine` measures the seconds of that run and of refinements."
        )
        return "\n\n" + "\n".join(lines)


@torch.no_grad()
def predict_trajectories(
    run: Any,
    data: str | Path,
    out: str | Path,
    *,
    problem: str | None = None,
    kind: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    tol: float | None = None,
) -> TrajectoryReport:
    """Write predicted trajectories of a run with `relative_residual`, one number per sample.

    The estimate (`RelativeResidual`) costs as much as the solver's run on the grid of the file,
    whose products are not truncated. It counts the given frames, so an error of the first predicted
    frame counts too.

    Args:
        problem, kind, parameters: the equation of a file that states none, or not all of it.
        tol: refine each prediction until its relative residual is at most this
            (`refined_to_tolerance`); fields are stored in float64.

    Raises:
        ValueError: the file exists, has no trajectories on a periodic box or states no equation
            with a viscosity, or a prediction is not finite; tol is not in (0, 1), there are fewer
            than five frames, or the refinement does not reach tol.
    """
    if tol is not None and not 0 < tol < 1:
        raise ValueError(f"The tolerance must be positive and below 1; got {tol:g}.")
    prediction.prepare(out)
    require_trajectories(run)
    dataset = open_dataset(data)
    windows = windows_of(dataset, run, None if run.task == "rollout" else run.n_out)
    solved = problem_for(windows, problem, kind, parameters)
    grid, times = windows.domain, times_of(windows)
    nu = solved.parameters.get("viscosity", 0.0)
    if not (isinstance(grid, Grid) and nu > 0):
        raise ValueError(
            f"The residual bounds the error of a parabolic equation on a periodic box; {data} "
            f"holds {solved.name} on {grid}. Predict without --certify, or see `pdeops refine`."
        )
    windows.check()
    seconds = [t * solved.time_units[1] for t in times]
    estimate = RelativeResidual(solved, grid, seconds)
    norm = estimate.norm
    predict = predictor(run, times[1] - times[0])
    residuals: list[float] = []
    floors: list[float] = []
    errors: list[float] = []
    refinements: list[tuple[RefinedToTolerance, RefinedToTolerance]] = []
    equation, how, dtype = solved.equation_on(grid), None, "float32"
    if tol is not None:
        how, dtype = _how(solved, len(times), run.n_in, tol), "float64"

    def pairs() -> Iterator[tuple[Batch, Tensor]]:
        for batch in windows.batches(8):
            y = predict(batch.input, times[: run.n_in], times[run.n_in :])
            if tol is not None:
                samples = zip(*(v.split(1) for v in (batch.input, y, batch.target)), strict=True)
                found = [
                    both_refined(estimate, equation, grid, given, frames, true, seconds, tol)
                    for given, frames, true in samples
                ]
                refinements.extend(found)
                y = torch.cat([mine.frames for mine, _ in found])
            u, truth = (torch.cat([batch.input, v], 1).double() for v in (y, batch.target))
            size = norm(u)
            residuals.extend(estimate(u, size).tolist())
            floors.extend(estimate(truth, size).tolist())
            errors.extend((norm(u - truth) / size).tolist())
            yield batch, y

    def measures() -> Sequence[Measure]:
        meaning = "norm of the residual in L2(H^-1), over sqrt(nu) and the norm of the trajectory"
        return [Measure("relative_residual", meaning, torch.tensor(residuals, dtype=torch.float64))]

    prediction.write(run, windows, pairs(), out, correction=how, measures=measures, dtype=dtype)
    return TrajectoryReport(str(out), residuals, floors, errors, tol, refinements)


def _how(
    problem: EvolutionProblem, num_frames: int, num_given: int, tol: float
) -> prediction.Correction:
    """The statement of the refinement in the file."""
    accuracy = accuracy_for(num_frames)
    block = block_of(num_given, num_frames - num_given, None, accuracy)
    method = f"sweeps of gauss-newton to a relative residual of {tol:g}"
    return correction(problem, method, 1, block=block, accuracy=accuracy)


def _mean(values: Sequence[int | None]) -> float:
    """The mean; infinite if a value is None."""
    return statistics.fmean(math.inf if v is None else v for v in values)
