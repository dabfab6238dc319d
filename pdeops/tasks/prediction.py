"""Write the predictions of runs to data files."""
# Axes: b batch, t time, c channel, *space nodes.

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..batch import Batch
from ..datasets import FieldDataset, Problem, problem_of
from ..datasets.layouts import native_file
from ..datasets.layouts.variables import Measure
from ..datasets.point_source import PointSource
from ..datasets.spec import DatasetSpec, Field
from . import point_prediction


@dataclass(frozen=True)
class Correction:
    """How predictions were corrected by an equation.

    Attributes:
        source: the method and its options, as text.
        equation, parameters: as in `DatasetSpec`.
    """

    source: str
    equation: str
    parameters: dict[str, Any]


def prepare(out: str | Path) -> None:
    """Raise an error if `out` exists or cannot be written, before anything is computed."""
    native_file.prepare(Path(out))


def write(
    run: Any,
    dataset: FieldDataset,
    pairs: Iterable[tuple[Batch, Tensor]],
    out: str | Path,
    *,
    correction: Correction | None = None,
    measures: Callable[[], Sequence[Measure]] | None = None,
    dtype: str = "float32",
) -> dict[str, Any]:
    """Write inputs and predictions in the order of the data set; returns a summary.

    They get the names of the file's inputs and targets. For trajectories, the windows that begin at
    the first frame are written as states with the axis time: the given frames, then the predicted
    ones.

    Args:
        correction: how the predictions were corrected after the model, for the spec of the file.
        measures: called after the last pair; gives further numbers of each sample. Not on points.
        dtype: of the stored fields. Not on points.
    """
    if isinstance(dataset.source, PointSource):
        spec = _spec(run, dataset, len(dataset), dataset.times)
        return point_prediction.write(spec, dataset, pairs, out)
    roles = _roles if dataset.window is None else _states
    channels, times = roles(dataset, pairs)
    (num_samples,) = {len(u) for u in channels.values()}
    spec = _spec(run, dataset, num_samples, times)
    if correction is not None:
        spec = replace(
            spec,
            source=f"{spec.source}; {correction.source}",
            equation=correction.equation,
            parameters={**spec.parameters, **correction.parameters},
        )
    fields: dict[str, Tensor] = {}
    for role, u in channels.items():
        fields |= spec.by_field(role, u)
    fields |= {f.name: torch.from_numpy(dataset.parameter(f.name)) for f in spec.per_sample}
    native_file.write(
        out,
        spec,
        fields,
        dtype,
        residuals=_residuals(dataset, channels),
        measures=measures() if measures else (),
    )
    frames = {"frames": len(times)} if times else {}
    grid = list(dataset.domain.shape)
    return {"out": str(out), "samples": num_samples, **frames, "grid": grid}


def _residuals(dataset: FieldDataset, channels: dict[str, Tensor]) -> Tensor | None:
    """Relative residual |b - A u| / |b| of each prediction, where the file names the problem."""
    problem = problem_of(dataset.spec) if dataset.spec else None
    if not isinstance(problem, Problem):
        return None
    domain: Any = dataset.domain
    return problem.residual(channels["input"], channels["target"], domain)


def _roles(
    dataset: FieldDataset, pairs: Iterable[tuple[Batch, Tensor]]
) -> tuple[dict[str, Tensor], tuple[float, ...]]:
    """Inputs and predicted targets, and the times of the file."""
    x, y = (torch.cat(u) for u in zip(*((b.input, y) for b, y in pairs), strict=True))
    return {"input": x, "target": y}, dataset.times


def _states(
    dataset: FieldDataset, pairs: Iterable[tuple[Batch, Tensor]]
) -> tuple[dict[str, Tensor], tuple[float, ...]]:
    """Given and predicted frames, inputs without an axis of time, and the times of the window."""
    trajectories, fixed = [], []
    times: tuple[float, ...] = ()
    for batch, y in pairs:
        times = times or tuple(batch.times[0].tolist())
        first = batch.times[:, 0] == batch.times[:, 0].new_tensor(times[0])
        given = batch.input[first]
        trajectories.append(torch.cat([given[:, :, : dataset.out_channels], y[first]], 1))
        fixed.append(given[:, 0, dataset.out_channels :])
    channels = {"state": torch.cat(trajectories)}
    if dataset.in_channels > dataset.out_channels:
        channels["input"] = torch.cat(fixed)
    known = np.array(dataset.times)  # a batch holds them in the dtype of the fields
    return channels, tuple(known[abs(known - t).argmin()].item() for t in times)


def _spec(
    run: Any, dataset: FieldDataset, num_samples: int, times: tuple[float, ...]
) -> DatasetSpec:
    """The spec of the input file with a new source, or a new spec if the file has none."""
    source = f"predicted by {run.recipe.model.name}, run {run.folder.name}"
    changed: dict[str, Any] = {"source": source, "num_samples": num_samples, "times": times}
    changed["tolerance"] = math.inf  # a prediction meets none
    if dataset.spec:
        fields = (*dataset.spec.fields, *_missing_targets(run, dataset))
        return replace(dataset.spec, fields=fields, **changed)
    return DatasetSpec(
        name="prediction",
        kind=run.recipe.name,
        equation="not stated in the input file",
        fields=(*_fields(dataset), *_missing_targets(run, dataset)),
        domain=dataset.domain,
        parameters={},
        seed=None,
        licence="that of the input file",
        **changed,
    )


def _missing_targets(run: Any, dataset: FieldDataset) -> tuple[Field, ...]:
    """The predicted fields of a file of inputs alone: the targets of the training file."""
    if dataset.targets:
        return ()
    if run.spec is None or not run.spec.targets:
        raise ValueError(
            f"{dataset.path} has no targets, and the training file of {run.folder} does not state "
            f"what they are. Add targets to the file; their values are not used."
        )
    return tuple(run.spec.targets)


def _fields(dataset: FieldDataset) -> Iterator[Field]:
    """One scalar field per channel, for a file without a spec."""
    evolving = {"input": dataset.n_in is not None, "target": dataset.n_out is not None}
    names = {"input": dataset.inputs, "target": dataset.targets}
    ragged = isinstance(dataset.source, PointSource)
    if isinstance(dataset.source, PointSource) and not dataset.source.of_role("input"):
        del names["input"]  # the coordinates
    if dataset.window:
        fixed = dataset.inputs[dataset.out_channels :]
        names, evolving = {"state": dataset.targets, "input": fixed}, {}
    for role, channels in names.items():
        for name in channels:
            free = native_file.free_name(name, role, ragged=ragged)
            yield Field(free, role, name, evolves=evolving.get(role, False))
