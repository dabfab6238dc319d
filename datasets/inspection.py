"""What is in a data file: layout, shapes, range, damage, grid and spec."""

from pathlib import Path
from typing import Any

import torch

from .readers import READERS, format_of


def inspect(path: str | Path) -> dict[str, Any]:
    """Everything a reader can say of a file, as plain numbers and strings; reads all fields once.

    Per field: role, stored shape, dtype and layout, then minimum, maximum and mean over all finite
    values, and the number of NaN or infinite ones.

    Raises:
        FileNotFoundError, ValueError: as `open_dataset`.
    """
    path = Path(path)
    name = format_of(path)
    dataset = READERS[name].open(path, None, torch.float64)
    described = dataset.source.describe()
    channels = [
        (key, role, c, field)
        for key, role, names in (("x", "input", dataset.inputs), ("y", "target", dataset.targets))
        for c, field in enumerate(names)
    ]
    fields: dict[str, dict[str, Any]] = {
        field: {
            "role": role,
            **described[field if field in described else key],
            "min": float("inf"),
            "max": float("-inf"),
            "mean": 0.0,
            "not_finite": 0,
        }
        for key, role, _, field in channels
    }
    count = dict.fromkeys(fields, 0)
    for batch in dataset.batches(64):
        for key, _, c, field in channels:
            u = batch[key][:, c]
            good = u[u.isfinite()]
            entry = fields[field]
            entry["not_finite"] += u.numel() - good.numel()
            if len(good):
                entry["min"] = min(entry["min"], good.min().item())
                entry["max"] = max(entry["max"], good.max().item())
                count[field] += len(good)
                entry["mean"] += (good.mean().item() - entry["mean"]) * len(good) / count[field]
    for field, entry in fields.items():
        if not count[field]:
            entry.update(min=None, max=None, mean=None)
    spec = dataset.spec
    residuals = dataset.source.residuals()
    return {
        "file": str(path),
        "format": name,
        "bytes": path.stat().st_size,
        "samples": len(dataset),
        "fields": fields,
        "grid": dataset.grid.to_dict(),
        "problem": spec and spec.name,
        "kind": spec and spec.kind,
        "seed": spec and spec.seed,
        "largest_residual": None if residuals is None else float(residuals.max()),
        "spec": spec and spec.to_dict(),
        "notes": list(dataset.notes),
    }
