"""Predicted trajectories with the norm of their residual, and how far it is from the error."""
# Axes: b sample, t frame, c channel, *space nodes.

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..batch import Batch
from ..calculus.norms import Sobolev
from ..datasets import open_dataset
from ..datasets.layouts.variables import Measure
from ..domain import Grid
from ..estimators import EvolutionDefect
from ..estimators.time_derivative import trapezoidal_weights
from ..tasks import prediction
from ..tasks.refinement import predictor, require_trajectories, times_of, windows_of
from ..tasks.refinement_problem import problem_for


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


@dataclass(frozen=True)
class TrajectoryReport:
    """The residuals of predicted trajectories, and their errors against those of the file.

    Attributes:
        residuals: η ν^(-1/2) / ‖u‖_X of each prediction u, η in L²(H⁻¹) with the given frames.
        floors: the same with the residual η of the file's own trajectories.
        errors: ‖e‖_X / ‖u‖_X of each prediction.
    """

    out: str
    residuals: list[float]
    floors: list[float]
    errors: list[float]

    @property
    def effectivities(self) -> list[float]:
        """η ν^(-1/2) / ‖e‖_X of each sample; infinite without an error."""
        pairs = zip(self.residuals, self.errors, strict=True)
        return [r / e if e > 0 else math.inf for r, e in pairs]

    def to_dict(self) -> dict[str, Any]:
        """The figures, as means over the samples."""
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
        )


@torch.no_grad()
def predict_trajectories(
    run: Any,
    data: str | Path,
    out: str | Path,
    *,
    problem: str | None = None,
    kind: str | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> TrajectoryReport:
    """Write predicted trajectories of a run with `relative_residual`, one number per sample.

    η is that of the steps of ETDRK4 from each frame to the next (`EvolutionDefect`), as long as
    those that made the data: the estimate costs as much as the solver's run on the grid of the
    file, whose products are not truncated. It counts the given frames, so an error of the first
    predicted frame counts too.

    Args:
        problem, kind, parameters: the equation of a file that states none, or not all of it.

    Raises:
        ValueError: the file exists, has no trajectories on a periodic box or states no equation
            with a viscosity, or a prediction is not finite.
    """
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
    eta = EvolutionDefect(
        solved.equation_on(grid), seconds, steps=_steps(seconds, solved.inputs.dt)
    )
    norm = ParabolicNorm(grid, nu, trapezoidal_weights(seconds))
    predict = predictor(run, times[1] - times[0])
    residuals: list[float] = []
    floors: list[float] = []
    errors: list[float] = []

    def pairs() -> Iterator[tuple[Batch, Tensor]]:
        for batch in windows.batches(8):
            y = predict(batch.input, times[: run.n_in], times[run.n_in :])
            u, truth = (torch.cat([batch.input, v], 1).double() for v in (y, batch.target))
            size = norm(u)
            residuals.extend((eta(u) / (math.sqrt(nu) * size)).tolist())
            floors.extend((eta(truth) / (math.sqrt(nu) * size)).tolist())
            errors.extend((norm(u - truth) / size).tolist())
            yield batch, y

    def measures() -> Sequence[Measure]:
        meaning = "norm of the residual in L2(H^-1), over sqrt(nu) and the norm of the trajectory"
        return [Measure("relative_residual", meaning, torch.tensor(residuals, dtype=torch.float64))]

    prediction.write(run, windows, pairs(), out, measures=measures)
    return TrajectoryReport(str(out), residuals, floors, errors)


def _steps(times: Sequence[float], dt: float) -> int:
    """Solver steps of at most dt per frame."""
    return max(1, math.ceil((times[1] - times[0]) / dt - 1e-9))
