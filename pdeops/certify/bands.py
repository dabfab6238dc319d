"""Conformal bands of runs, from samples that served neither training nor selection."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..datasets import FieldDataset, open_dataset, problem_of
from ..datasets.layouts.variables import Measure
from ..datasets.spec import DatasetSpec
from ..domain import Grid
from ..domain.transfer import Transfer
from ..estimators.conformal import pointwise_band, simultaneous_band
from ..tasks.data import check_channels, check_frames
from ..tasks.supervised import Run


@dataclass(frozen=True)
class Band:
    """A band around predictions from the errors of calibration samples.

    Attributes:
        width: half width (c, *space) on `grid`, in the units of the targets.
        calibration: the data set of the errors.
        level: probability that the target of a sample like those of the calibration is inside;
            everywhere, or at each point if not `simultaneous`.
    """

    width: Tensor
    calibration: FieldDataset
    level: float
    simultaneous: bool

    @property
    def grid(self) -> Any:
        """The grid of the calibration."""
        return self.calibration.domain

    def on(self, grid: Any) -> Tensor:
        """The half width on another grid of the same box."""
        return self.width if grid == self.grid else Transfer(self.grid, grid)(self.width).clamp(0)


@torch.no_grad()
def conformal_band(
    run: Run, calibration: str | Path, *, level: float = 0.9, simultaneous: bool = True
) -> Band:
    """The split-conformal band of a run (`estimators/conformal.py`).

    It holds for samples of the distribution and the grid of the calibration file, none of which
    may have been used for training or selection.

    Raises:
        ValueError: the level is not in (0, 1); the file has too few samples for it, no targets or
            others than the run predicts, samples that the run was trained on, or another equation.
    """
    dataset = steady_fields(run, calibration)
    _require_unseen(run, dataset)
    require_same_equation(dataset, run.spec, f"the training data of {run.folder}")
    predicted = run.operator.output_normalizer.mean.numel()
    if dataset.out_channels != predicted:
        raise ValueError(
            f"A band is from the errors of {predicted} predicted field(s); {calibration} has "
            f"{dataset.out_channels} target(s). Calibrate on solved samples of the same problem."
        )
    dataset.check(("target",))
    errors = torch.cat([b.target - run(b.input) for b in dataset.batches(32)]).double()
    width = (simultaneous_band if simultaneous else pointwise_band)(errors, level)
    if not width.isfinite().all():
        needed = math.ceil(level / (1 - level)) * (2 if simultaneous else 1)
        raise ValueError(
            f"A band of level {level:g} needs at least {needed} samples for calibration, and "
            f"finite predictions; {calibration} has {len(errors)} samples. Give more, or a lower "
            f"level."
        )
    return Band(width, dataset, level, simultaneous)


def variables_of(band: Band, width: Tensor) -> list[Measure]:
    """The variables of a band: one for each channel of the targets."""
    kind = "everywhere" if band.simultaneous else "at each single point"
    axes = band.grid.axes
    meaning = (
        f"half width of the band that contains the target {kind} with probability {band.level:g}"
    )
    return [
        Measure(f"{name}_band", meaning, w, axes)
        for name, w in zip(band.calibration.targets, width, strict=True)
    ]


def _require_unseen(run: Run, dataset: FieldDataset) -> None:
    """Raise a ValueError if the samples served training or selection."""
    table = run.recipe.data
    files = [f for f in (table.train, table.validation) if isinstance(f, str)]
    if same_samples(dataset, run.spec, files):
        raise ValueError(
            f"{dataset.path} holds samples that {run.folder} was trained or selected on: their "
            f"errors are smaller than those of new samples, so the band would be too narrow. "
            f"Generate a file with another --seed."
        )


def same_samples(
    dataset: FieldDataset, spec: DatasetSpec | None, files: Sequence[str | Path | None]
) -> bool:
    """Whether a data set is one of these files, or has the seed and the problem of the spec: then
    sample i is the same in both."""
    if dataset.path is not None:
        path = dataset.path.resolve()
        if any(path == Path(f).expanduser().resolve() for f in files if f is not None):
            return True
    mine = dataset.spec
    if mine is None or spec is None or mine.seed is None:
        return False
    origin = ("name", "kind", "parameters", "seed")
    return all(getattr(mine, key) == getattr(spec, key) for key in origin)


def require_same_equation(dataset: FieldDataset, spec: DatasetSpec | None, other: str) -> None:
    """Raise a ValueError if pdeops knows the equations of a data set and of another one, and they
    differ: the errors of a run on one equation say nothing of those on another."""
    specs = [s for s in (dataset.spec, spec) if s is not None and problem_of(s) is not None]
    if len(specs) == 2 and specs[0].equation != specs[1].equation:
        raise ValueError(
            f"A band holds for samples of one equation. That of {dataset.path} is "
            f"{specs[0].equation}; that of {other} is {specs[1].equation}. Give a file of the same "
            f"equation."
        )


def require_operator(run: Any) -> Run:
    """The run itself, if it is an operator for steady fields on a grid.

    Raises:
        ValueError: it is another kind of run.
    """
    if not isinstance(run, Run) or run.operator.has_time or not isinstance(run.domain, Grid):
        raise ValueError(
            f"Error bars and expectations need an operator that predicts steady fields on a grid; "
            f"got {repr(run).splitlines()[0]}. Choose a run on Darcy flow or Poisson's equation."
        )
    return run


def steady_fields(run: Run, data: str | Path) -> FieldDataset:
    """A data set of steady fields on a grid, with the inputs of a run."""
    require_operator(run)
    dataset = open_dataset(data)
    check_channels(dataset, run.in_channels)
    check_frames(dataset, run.n_in, run.n_out)
    dataset.check(("input",))
    return dataset
