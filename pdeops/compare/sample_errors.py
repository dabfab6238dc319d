"""Errors of single samples: of every run on every data set, with intervals of their means.

The arrays have the dimensions model, dataset, resolution, seed, sample, time. A file of them holds
every number that a report states about accuracy.
"""
# Axes: b batch, t time, c channel, *space nodes; in an array of errors (sample, time).

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..datasets import FieldDataset
from ..metrics import definitions, metrics_of
from .tables import grid_name, write_csv

DIMENSIONS = ("model", "dataset", "resolution", "seed", "sample", "time")
LEVEL = 0.95  # of the intervals
DRAWS = 2000  # resamples of a bootstrap


@dataclass(frozen=True)
class SampleErrors:
    """The errors of one run on one data set.

    Attributes:
        model, dataset: names.
        resolution: nodes per axis as text, or "points".
        seed: that of the training.
        times: of the predicted frames, counted from the last given one; (0.0,) without frames.
        metrics: name -> values (sample, time).
    """

    model: str
    dataset: str
    resolution: str
    seed: int
    times: tuple[float, ...]
    metrics: Mapping[str, np.ndarray]

    @property
    def num_samples(self) -> int:
        """Number of samples."""
        return len(next(iter(self.metrics.values())))

    def of_samples(self, metric: str) -> np.ndarray:
        """The mean of a metric over the times, for each sample."""
        return self.metrics[metric].mean(axis=1)

    def line(self, metric: str) -> dict[str, object]:
        """The line of a table: the mean of a metric, its interval, median and largest value."""
        values = self.of_samples(metric)
        low, high = mean_interval(values)
        return {
            "model": self.model,
            "data set": self.dataset,
            "nodes": self.resolution,
            "metric": metric,
            "mean": float(values.mean()),
            "95 % interval of the mean": f"{low:.3g} to {high:.3g}",
            "median": float(np.median(values)),
            "largest (sample)": f"{values.max():.3g} ({int(values.argmax())})",
            "samples": len(values),
        }


@torch.no_grad()
def sample_errors(
    model: str,
    run: Any,
    name: str,
    dataset: FieldDataset,
    predict: Callable[[int], Tensor],
    *,
    further: Callable[[Tensor, Tensor], None] = lambda prediction, target: None,
) -> SampleErrors:
    """The errors of a run on a data set, in every metric that exists on its domain.

    Args:
        name: of the data set.
        dataset, predict: as `Task.examples` returns them.
        further: called with the prediction and the target of each sample.
    """
    found: dict[str, list[list[float]]] = {}
    for index in range(len(dataset)):
        batch, prediction = dataset.read([index]), predict(index)
        further(prediction, batch.target[0])
        domain: Any = dataset.domain.at(batch)
        pairs = _frames(prediction[None], dataset), _frames(batch.target, dataset)
        for metric, measure in metrics_of(domain).items():
            values = [measure(p, t, domain).item() for p, t in zip(*pairs, strict=True)]
            found.setdefault(metric, []).append(values)
    return SampleErrors(
        *(model, name, resolution_of(dataset.domain), run.recipe.seed, times_of(dataset)),
        metrics={metric: np.array(values) for metric, values in found.items()},
    )


def _frames(u: Tensor, dataset: FieldDataset) -> Sequence[Tensor]:
    """The frames (1, c, *space) of a prediction or of a target."""
    return [u] if dataset.n_out is None else list(u.unbind(1))


def resolution_of(domain: Any) -> str:
    """Nodes per axis as text; "points" where samples have nodes of their own."""
    return "points" if domain.num_nodes < 0 else grid_name(domain.shape, "x")


def times_of(dataset: FieldDataset) -> tuple[float, ...]:
    """The times of the predicted frames, counted from the last given one."""
    if dataset.n_out is None:
        return (0.0,)
    times = dataset.read([0]).times[0].double()
    given = len(times) - dataset.n_out
    start = times[given - 1] if given else times.new_zeros(())
    return tuple((times[given:] - start).tolist())


def mean_interval(values: np.ndarray) -> tuple[float, float]:
    """The percentile bootstrap interval, of level 95 %, of the mean over independent samples
    (Efron and Tibshirani 1993, ch. 13); from -∞ to ∞ for one sample."""
    n = len(values)
    if n < 2:
        return -np.inf, np.inf
    chosen = np.random.default_rng(0).integers(n, size=(DRAWS, n))
    low, high = np.quantile(values[chosen].mean(axis=1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def to_netcdf(errors: Sequence[SampleErrors], path: str | Path) -> Path:
    """Write the errors as one variable for each metric, (model, dataset, resolution, seed, sample,
    time), NaN where a run was not measured; h5py, xarray and tools for netCDF read it."""
    import xarray

    times = sorted({t for e in errors for t in e.times})
    coordinates: dict[str, list[Any]] = {
        "model": list(dict.fromkeys(e.model for e in errors)),
        "dataset": list(dict.fromkeys(e.dataset for e in errors)),
        "resolution": list(dict.fromkeys(e.resolution for e in errors)),
        "seed": sorted({e.seed for e in errors}),
        "sample": list(range(max(e.num_samples for e in errors))),
        "time": times,
    }
    shape = [len(coordinates[d]) for d in DIMENSIONS]
    known = definitions()
    variables = {}
    for metric in dict.fromkeys(m for e in errors for m in e.metrics):
        values = np.full(shape, np.nan)
        for e in errors:
            if metric in e.metrics:
                place = tuple(coordinates[d].index(getattr(e, d)) for d in DIMENSIONS[:4])
                at = [times.index(t) for t in e.times]
                values[place][: e.num_samples, at] = e.metrics[metric]
        meaning = {"long_name": known.get(metric, metric)}
        variables[metric] = (DIMENSIONS, values, meaning)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    title = "errors of single samples; p is the prediction, t the target"
    xarray.Dataset(variables, coordinates, {"title": title}).to_netcdf(path, engine="h5netcdf")
    return path


def to_csv(errors: Sequence[SampleErrors], path: str | Path) -> Path:
    """Write one line for each model, data set and metric: what the table of a report states."""
    return write_csv(path, [e.line(metric) for e in errors for metric in e.metrics])
