"""Inspection of a data file: layout, shapes, ranges, times, grid, spec and a training recipe."""

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .containers import CONTAINERS, container_of
from .containers.store import AmbiguousError, Store
from .dataset import FieldDataset
from .layouts import LAYOUTS, layout_of
from .layouts.array_source import ArraySource
from .layouts.used import used_arrays
from .point_source import PointSource


class _Range:
    """Streaming minimum, maximum and mean of finite values, and the number of other values."""

    def __init__(self) -> None:
        self.low, self.high, self.mean = math.inf, -math.inf, 0.0
        self.count = self.not_finite = 0

    def add(self, u: np.ndarray) -> None:
        """Update the statistics with these values."""
        good = u[np.isfinite(u)]
        self.not_finite += u.size - good.size
        if good.size:
            self.low = min(self.low, float(good.min()))
            self.high = max(self.high, float(good.max()))
            self.count += good.size
            mean = good.mean(dtype=np.float64)
            self.mean += (float(mean) - self.mean) * good.size / self.count

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers; None for the range if no value is finite."""
        numbers = (self.low, self.high, self.mean) if self.count else (None,) * 3
        return {
            **dict(zip(("min", "max", "mean"), numbers, strict=True)),
            "not_finite": self.not_finite,
        }


def inspect(path: str | Path) -> dict[str, Any]:
    """Describe a data file in plain numbers and strings; all values are read once.

    The entry of each channel has role, stored shape, axes, dtype and layout, then minimum, maximum
    and mean over the finite values, and the number of NaN or infinite values. "times" describes the
    times of the frames, if any. "train" holds the lines of a recipe that trains on the file, or
    states why none can. If the file does not state which arrays are fields, every array has an
    entry, and "train" explains how to convert the file. "other_arrays" lists the arrays that are
    not used as fields, coordinates, times or parameters, "not_read" those that cannot be read.

    Raises:
        FileNotFoundError, ValueError: the errors of `open_dataset`, except for ambiguous fields.
    """
    path = Path(path)
    container = container_of(path)
    store = CONTAINERS[container].store(path)
    layout = layout_of(store)
    files = [path] if path.is_file() else [f for f in path.rglob("*") if f.is_file()]
    report = {
        "file": str(path),
        "format": layout,
        "container": container,
        "bytes": sum(f.stat().st_size for f in files),
    }
    try:
        dataset = LAYOUTS[layout].open(store, None, torch.float64)
    except AmbiguousError as error:
        return report | _arrays(store) | {"train": str(error)}
    rest = {} if layout == "pdeops" else _rest(store, dataset)
    return report | _fields(dataset) | rest


def _fields(dataset: FieldDataset) -> dict[str, Any]:
    """The entries for fields, times, domain and spec."""
    source, spec = dataset.source, dataset.spec
    role_of = {name: role for role, names in source.names.items() for name in names}
    ranges = {name: _Range() for name in role_of}
    num_samples = 0
    for numbers, channels in dataset.values():
        num_samples += len(numbers)
        for name, u in channels.items():
            ranges[name].add(u.numpy())
    bad = {name: r.not_finite for name, r in ranges.items() if r.not_finite}
    described = source.describe()
    residuals = source.residuals()
    # Converted and predicted files have NaN residuals, because they are not known.
    known = np.zeros(0) if residuals is None else residuals[np.isfinite(residuals)]
    return {
        "samples": num_samples,
        "fields": {
            name: {"role": role, **described[name], **ranges[name].to_dict()}
            for name, role in role_of.items()
        },
        "times": _times(dataset),
        "parameters": _parameters(dataset),
        "grid": dataset.domain.to_dict(),
        "grid_type": _grid_type(dataset),
        "problem": spec and spec.name,
        "kind": spec and spec.kind,
        "seed": spec and spec.seed,
        "largest_residual": float(known.max()) if len(known) else None,
        "spec": spec and spec.to_dict(),
        "notes": list(dataset.notes),
        "train": _train(dataset, num_samples, bad),
    }


def _train(dataset: FieldDataset, num_samples: int, not_finite: dict[str, int]) -> str:
    """The lines of a recipe that trains on the file, or the reason why none can."""
    if not_finite or dataset.unsolved() or isinstance(dataset.source, PointSource):
        try:
            dataset.check()
        except ValueError as error:
            return f"not as it is: {error}"
    if num_samples < 2:
        return "not by itself: one sample cannot be split into training and validation"
    validation = max(round(0.1 * num_samples), 1)
    return f"[data]\ntrain = {_toml(str(dataset.path))}\nvalidation = {validation}"


def _toml(text: str) -> str:
    """A string of TOML; JSON's are a part of them."""
    return json.dumps(text)


def _times(dataset: FieldDataset) -> str | None:
    """'51 from 0 to 50 s'; None without frames."""
    times = dataset.source.times
    if not times:
        return None
    units = dataset.spec.time_units if dataset.spec else "1"
    unit = "" if units in ("1", "unknown") else f" {units}"
    return f"{len(times)} from {times[0]:g} to {times[-1]:g}{unit}"


def _parameters(dataset: FieldDataset) -> dict[str, Any]:
    """The parameters of the equation: numbers, or '0.001 to 0.1, one for each sample'. Those of
    each sample that are numbered, radius_0, radius_1, ..., have one entry."""
    described: dict[str, Any] = {}
    groups: dict[str, dict[str, np.ndarray]] = {}
    for name, p in dataset.parameters.items():
        if isinstance(p, np.ndarray):
            groups.setdefault(re.sub(r"_\d+$", "_", name), {})[name] = p
        else:
            described[name] = p
    for columns in groups.values():
        names = sorted(columns, key=lambda name: (len(name), name))
        values = np.stack(list(columns.values()))
        many = len(names) > 1
        key, count = (f"{names[0]} .. {names[-1]}", len(names)) if many else (names[0], "one")
        described[key] = f"{values.min():g} to {values.max():g}, {count} for each sample"
    return described


def _arrays(store: Store) -> dict[str, Any]:
    """The entries for the arrays of a file whose fields are not known."""
    rows: dict[str, Any] = {}
    refused = dict(store.refused)
    for name, array in store.arrays.items():
        try:
            store.check(name)
        except AmbiguousError as error:
            refused[name] = str(error)
            continue
        values = _Range()
        for block in array.blocks():
            values.add(store.read(name, block))
        rows[name] = {
            "role": None,
            "shape": list(array.shape),
            "axes": ",".join(array.dims) if array.dims else None,
            "dtype": str(array.dtype),
            "layout": array.layout,
            **values.to_dict(),
        }
    return {"fields": rows, "not_read": refused}


def _rest(store: Store, dataset: FieldDataset) -> dict[str, Any]:
    """The arrays that the data set does not use, and those that cannot be read with the reason."""
    source = dataset.source
    used = set[str]()
    if isinstance(source, ArraySource):
        used = used_arrays(source.store, source.selection)
    elif isinstance(source, PointSource):
        used = source.used()
    others = [str(array) for name, array in store.arrays.items() if name not in used]
    return {"other_arrays": others, "not_read": dict(store.refused)}


def _grid_type(dataset: FieldDataset) -> str:
    """'x: 64 nodes, left, periodic; y: ...' for a box; for other domains the axes and the text of
    the domain: 'latitude: ...; sphere, equiangular, radius 1'; the numbers of points, if samples
    have points of their own."""
    domain, source = dataset.domain, dataset.source
    if isinstance(source, PointSource):
        return f"{domain}; {source.summary(np.arange(len(source)))}"
    plain = domain.to_dict()
    per_axis = [plain[key] for key in ("placement", "boundary") if key in plain]
    axes = [
        ", ".join((f"{name}: {n} nodes", *(values[i] for values in per_axis)))
        for i, (name, n) in enumerate(zip(domain.axes, domain.shape, strict=True))
    ]
    return "; ".join(axes) if domain.kind == "box" else "; ".join((*axes, str(domain)))
