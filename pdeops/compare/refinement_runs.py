"""Refinement of the predictions of a finished run for the trajectories of a file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch

from ..batch import Batch
from ..datasets import EvolutionProblem, FieldDataset, open_dataset
from ..domain import Grid, Sphere
from ..tasks import prediction
from ..tasks.operators import monitor
from ..tasks.refinement import (
    block_of,
    check_differences,
    predictor,
    times_of,
    windows_of,
)
from ..tasks.refinement_problem import correction, problem_for
from ..training.refine import method_named
from .refinement import SCALES, RefinementStudy, study_refinement


@dataclass(frozen=True)
class RefinementJob:
    """The predictions of a run for the first trajectories of a file, their equation, and how they
    are refined; made and checked by `refinement_job`.

    Attributes:
        run: predicts frames from frames.
        windows: the given frames and all later ones, one window per trajectory.
        batch: their frames, on the device of the run.
        problem: states the equation.
        method, steps: name of the method, and its number of steps, None for its default.
        block, accuracy: as in `tasks.refinement.refine_trajectory`.
    """

    run: Any
    windows: FieldDataset
    batch: Batch
    problem: EvolutionProblem
    method: str
    steps: int | None
    block: int
    accuracy: int

    def study(self, progress: Callable[[int], None] | None = None) -> RefinementStudy:
        """The refinement, measured, and plain time stepping.

        The file states times in its unit; the equation has times in a unit of its own. If the
        frames are those of a grid at least four times as fine, the solver is also tried on a grid
        twice as fine as that of the file.
        """
        unit, grid = self.problem.time_units[1], cast("Grid | Sphere", self.windows.domain)
        finer = [2.0] if getattr(self.problem.inputs, "refinement", 1) >= 4 else []
        times = times_of(self.windows)
        predict = predictor(self.run, times[1] - times[0])
        return study_refinement(
            lambda u, known, wanted: predict(
                u, [t / unit for t in known], [t / unit for t in wanted]
            ),
            self.problem.equation_on,
            grid,
            [t * unit for t in times],
            self.batch.input,
            self.batch.target,
            method_named(self.method, self.steps),
            block=self.block,
            accuracy=self.accuracy,
            scales=[*SCALES, *finer],
            metric=monitor(self.windows),
            name=self.run.recipe.model.name,
            progress=progress,
        )

    def write(self, study: RefinementStudy, out: str | Path) -> dict[str, Any]:
        """Write the refined trajectories to a data file; returns a summary."""
        batch = self.batch
        refined = torch.cat([f.refined for f in study.frames]).to(batch.input)
        steps = method_named(self.method, self.steps).steps
        how = correction(self.problem, self.method, steps, block=self.block, accuracy=self.accuracy)
        return prediction.write(self.run, self.windows, [(batch, refined)], out, correction=how)


def refinement_job(
    run: Any,
    data: str | Path,
    *,
    samples: int = 1,
    frames: int | None = None,
    method: str = "gauss-newton",
    steps: int | None = None,
    block: int | None = None,
    accuracy: int = 4,
    problem: str | None = None,
    kind: str | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> RefinementJob:
    """Predictions of a run for a file's first trajectories, to be refined.

    Args:
        data: a file with trajectories, on any grid of the domain.
        samples: number of trajectories, from the first.
        frames: number of predicted frames; by default all frames after the given ones.
        block: None is the default of `tasks.refinement.block_of`.
        problem, kind, parameters: the equation of a file that states none, or not all of it.

    Raises:
        ValueError: the run, the file and the options do not fit; nothing has been computed.
    """
    check_differences(accuracy)
    method_named(method, steps)
    dataset = open_dataset(data)
    windows = windows_of(dataset, run, frames)
    if not 1 <= samples <= len(windows):
        raise ValueError(f"{data} holds {len(windows)} trajectories; got --samples {samples}.")
    windows = windows.subset(range(samples))
    solved = problem_for(windows, problem, kind, parameters)
    times = times_of(windows)
    block = block_of(run.n_in, len(times) - run.n_in, block, accuracy)
    predictor(run, times[1] - times[0])
    windows.check()
    return RefinementJob(
        run=run,
        windows=windows,
        batch=windows.read(range(samples)).to(next(run.operator.parameters()).device),
        problem=solved,
        method=method,
        steps=steps,
        block=block,
        accuracy=accuracy,
    )
