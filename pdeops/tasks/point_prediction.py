"""Write the predictions of runs on points to data files."""
# Axes: b batch, t time, c channel, n points.

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..batch import Batch
from ..datasets import FieldDataset
from ..datasets.layouts.points_file import PointSample, write_points
from ..datasets.point_source import PointSource
from ..datasets.spec import DatasetSpec


def write(
    spec: DatasetSpec,
    dataset: FieldDataset,
    pairs: Iterable[tuple[Batch, Tensor]],
    out: str | Path,
) -> dict[str, Any]:
    """Write inputs and predictions on the points of the samples, in the order of the data set, with
    the weights and cells of its file; returns a summary.

    Args:
        spec: of the new file.
        pairs: batches of the data set and the predictions for them.
    """
    source = dataset.source
    assert isinstance(source, PointSource)
    samples = dataset.indices
    write_points(out, spec, _samples(spec, dataset, pairs), sizes=source.sizes(samples))
    return {"out": str(out), "samples": len(samples), "points": source.summary(samples)}


def _samples(
    spec: DatasetSpec, dataset: FieldDataset, pairs: Iterable[tuple[Batch, Tensor]]
) -> Iterator[PointSample]:
    k = 0
    for batch, predicted in pairs:
        for x, y in zip(batch.input, predicted, strict=True):
            points = dataset.points(k)
            n = points.num_nodes
            fields = spec.by_field("target", y[..., :n])
            if spec.inputs:  # otherwise the coordinates are the input
                fields |= spec.by_field("input", x[..., :n])
            for f in spec.per_sample:
                value = np.asarray(dataset.parameter(f.name))[k]
                fields[f.name] = torch.tensor(float(value), dtype=torch.float64)
            yield PointSample(fields, points.nodes(), weights=points.weights, cells=points.cells)
            k += 1
