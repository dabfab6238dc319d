"""Predictions of runs as data files of the project."""
# Axes: b batch, t time, c channel, *space nodes.

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..batch import Batch
from ..datasets import FieldDataset
from ..datasets.layouts import hdf5
from ..datasets.spec import DatasetSpec, Field


def refuse_existing(out: str | Path) -> None:
    """Raise a ValueError if there is something where the file should go."""
    hdf5.refuse_existing(Path(out))


def write(
    run: Any, dataset: FieldDataset, pairs: Iterable[tuple[Batch, Tensor]], out: str | Path
) -> dict[str, Any]:
    """Write inputs and predictions, batch by batch in the order of the data set; a summary.

    Fields without time are written under the names of the file's inputs and targets. Of
    trajectories, the windows that begin at the first frame are written as states with the axis
    time: the frames that were given, and the predicted ones after them.
    """
    write_pairs = _write_fields if dataset.window is None else _write_trajectories
    num_samples, shape = write_pairs(run, dataset, pairs, Path(out))
    return {"out": str(out), "samples": num_samples, **shape, "grid": list(dataset.domain.shape)}


def _write_fields(
    run: Any, dataset: FieldDataset, pairs: Iterable[tuple[Batch, Tensor]], out: Path
) -> tuple[int, dict[str, Any]]:
    x, y = (torch.cat(u) for u in zip(*((b.input, y) for b, y in pairs), strict=True))
    roles = [(n, "input") for n in dataset.inputs] + [(n, "target") for n in dataset.targets]
    foreign = [Field(hdf5.free_name(n, role), role, n) for n, role in roles]
    spec = _spec(run, dataset, foreign, len(x))
    fields = (*spec.inputs, *spec.targets)
    parts = torch.cat([x, y], 1).split([len(f.channels) for f in fields], 1)
    channels = {f.name: u if f.times else u[:, 0] for f, u in zip(fields, parts, strict=True)}
    hdf5.write(out, spec, channels)
    return len(x), {}


def _write_trajectories(
    run: Any, dataset: FieldDataset, pairs: Iterable[tuple[Batch, Tensor]], out: Path
) -> tuple[int, dict[str, Any]]:
    trajectories: list[Tensor] = []
    times: Tensor | None = None
    for batch, y in pairs:
        times = batch.times[0] if times is None else times
        first = batch.times[:, 0] == times[0]
        trajectories.append(torch.cat([batch.input, y], 1)[first])
    assert times is not None
    u = torch.cat(trajectories)
    known = np.array(dataset.times)  # a batch has them in the precision of the fields
    exact = tuple(known[abs(known - t).argmin()].item() for t in times.tolist())
    foreign = [Field(hdf5.free_name(n, "state"), "state", n) for n in dataset.targets]
    spec: Any = _spec(run, dataset, foreign, len(u), times=exact)
    hdf5.write(out, spec, spec.by_field("state", u))
    return len(u), {"frames": u.shape[1]}


def _spec(
    run: Any, dataset: FieldDataset, foreign: list[Field], num_samples: int, **further: Any
) -> DatasetSpec:
    """That of the input file with another source, or one for a file that states none."""
    source = f"predicted by {run.recipe.model.name}, run {run.folder.name}"
    if dataset.spec:
        return replace(dataset.spec, source=source, num_samples=num_samples, **further)
    return DatasetSpec(
        name="prediction",
        kind=run.recipe.name,
        equation="not stated in the input file",
        fields=tuple(foreign),
        domain=dataset.domain,
        parameters={},
        seed=None,
        num_samples=num_samples,
        source=source,
        licence="that of the input file",
        **further,
    )
