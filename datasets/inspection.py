"""What is in a data file: layout, shapes, range, damage, grid, spec, and how to train on it."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..domain import Grid, Sphere
from .containers.stores import Store
from .dataset import FieldDataset
from .layouts import READERS, format_of
from .layouts.selection import SPACE, AmbiguousError


class _Range:
    """Minimum, maximum and mean of all finite values, and the number of the others, in a stream."""

    def __init__(self) -> None:
        self.low, self.high, self.mean = math.inf, -math.inf, 0.0
        self.count = self.not_finite = 0

    def add(self, u: np.ndarray) -> None:
        """Count these values in."""
        good = u[np.isfinite(u)]
        self.not_finite += u.size - good.size
        if good.size:
            self.low = min(self.low, float(good.min()))
            self.high = max(self.high, float(good.max()))
            self.count += good.size
            mean = good.mean(dtype=np.float64)
            self.mean += (float(mean) - self.mean) * good.size / self.count

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers; no range where nothing is finite."""
        numbers = (self.low, self.high, self.mean) if self.count else (None,) * 3
        return {
            **dict(zip(("min", "max", "mean"), numbers, strict=True)),
            "not_finite": self.not_finite,
        }


def inspect(path: str | Path) -> dict[str, Any]:
    """Everything a reader can say of a file, as plain numbers and strings; reads all values once.

    Per field: role, stored shape, what its axes are, dtype and layout, then minimum, maximum and
    mean over all finite values, and the number of NaN or infinite ones. "train" has the lines of a
    recipe that trains on the file. Where the file does not say which of its arrays are fields,
    there is a row for each array, and "train" says how to convert it.

    Raises:
        FileNotFoundError, ValueError: as `open_dataset`, but for that case.
    """
    path = Path(path)
    name = format_of(path)
    files = [path] if path.is_file() else [f for f in path.rglob("*") if f.is_file()]
    report = {"file": str(path), "format": name, "bytes": sum(f.stat().st_size for f in files)}
    reader = READERS[name]
    try:
        dataset = reader.open(path, None, torch.float64)
    except AmbiguousError as error:
        return report | _arrays(reader.store(path)) | {"train": str(error)}
    return report | _fields(dataset) | {"train": f'[data]\ntrain = "{path}"\nvalidation = 0.1'}


def _fields(dataset: FieldDataset) -> dict[str, Any]:
    """What the fields are, their grid and their spec."""
    names_of = {"input": dataset.inputs, "target": dataset.targets}
    ranges = {field: _Range() for names in names_of.values() for field in names}
    for batch in dataset.batches(64):
        for role, names in names_of.items():
            for c, field in enumerate(names):
                ranges[field].add(batch.get(role)[:, c].numpy())
    described = dataset.source.describe()
    spec = dataset.spec
    residuals = dataset.source.residuals()
    # In a file that was converted or predicted they are all NaN: nothing is known of them.
    known = np.zeros(0) if residuals is None else residuals[np.isfinite(residuals)]
    return {
        "samples": len(dataset),
        "fields": {
            field: {"role": role, **described[field], **ranges[field].to_dict()}
            for role, names in names_of.items()
            for field in names
        },
        "grid": dataset.domain.to_dict(),
        "grid_type": _grid_type(dataset.domain),
        "problem": spec and spec.name,
        "kind": spec and spec.kind,
        "seed": spec and spec.seed,
        "largest_residual": float(known.max()) if len(known) else None,
        "spec": spec and spec.to_dict(),
        "notes": list(dataset.notes),
    }


def _arrays(store: Store) -> dict[str, Any]:
    """What the arrays are, where it is not known which of them are fields."""
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


def _grid_type(grid: Grid | Sphere) -> str:
    """'x: 64 nodes, left, periodic; y: ...'."""
    if isinstance(grid, Sphere):
        return (
            f"latitude: {grid.shape[0]} nodes, {grid.latitudes.value}; longitude: {grid.shape[1]} "
            f"nodes; sphere of radius {grid.radius:g}"
        )
    return "; ".join(
        f"{letter}: {n} nodes, {p.value}, {b.value}"
        for letter, n, p, b in zip(SPACE, grid.shape, grid.placement, grid.boundary, strict=False)
    )
