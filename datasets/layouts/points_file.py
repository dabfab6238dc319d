"""Data files of samples with points of their own, and their writer.

Samples may have different numbers of points, so the rows of all samples follow each other along one
axis: netCDF's contiguous ragged array (CF conventions 9.3.3). All else is as in `native_file`.

    /positions   (point, coordinate)       coordinates in float64; sample i has the rows
                                           starts[i] to starts[i + 1] of every variable of points
    /num_points  (sample)                  starts = 0, num_points[0], num_points[0:2].sum(), ...
    /stress      (point)                   a field
    /velocity    (point, time, channel)    a trajectory of a vector field
    /weights     (point)                   quadrature weights, where they are known
    /cells       (cell, corner)            meshes, where they are known: the nodes of each cell, as
                                           numbers of the points of the same sample from 0
    /num_cells   (sample)                  their number in each sample
    /viscosity   (sample)                  a parameter of the equation or the geometry
    /residual    (sample)                  as in `native_file`

The domain in the spec is `Points(d, box=...)` without positions; the box holds the points of all
samples. If no field has the role "input", the coordinates of the points are the input of a model.

    spec = DatasetSpec(..., fields=(Field("stress", "target", "von Mises stress"),),
                       domain=Points(2, box=[[0, 0], [1, 1]]), num_samples=2, ...)
    samples = [PointSample({"stress": u}, positions, weights=w, cells=t) for ...]
    write_points("cells.h5", spec, samples)
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..point_checks import check_sample
from ..ragged import RaggedSizes
from ..spec import DatasetSpec
from . import native_file


@dataclass(frozen=True)
class PointSample:
    """One sample on n points.

    Attributes:
        fields: fields by name, ([t,] [c,] n); a parameter is one number, of shape ().
        positions: coordinates of the points.
        weights: quadrature weights, ∫u ≈ Σ w u; None if they are not known.
        cells: the nodes of each cell of a mesh, numbers 0..n-1; None without a mesh.
        residual: of the solution, as in `native_file`; NaN if it is not known.
    """

    fields: Mapping[str, Tensor]
    positions: Float[Tensor, "d n"]
    weights: Float[Tensor, " n"] | None = None
    cells: Int[Tensor, "num_cells corners"] | None = None
    residual: float = float("nan")

    def rows(self, spec: DatasetSpec, index: int) -> dict[str, Tensor]:
        """The values of the variables of the file for sample `index`, points first: fields
        (n, [t,] [c]), positions (n, d); what `Solved.fields` of a generated problem holds.

        Raises:
            ValueError: the sample does not fit the spec, or holds values that are not finite,
                points outside the box, or damaged cells (`point_checks`).
        """
        check_sample(self, spec, index)
        rows = {name: u.movedim(-1, 0) if u.ndim else u for name, u in self.fields.items()}
        rows["positions"] = self.positions.mT
        others = {"weights": self.weights, "cells": self.cells}
        return rows | {name: u for name, u in others.items() if u is not None}


def sizes_of(samples: Sequence[PointSample]) -> RaggedSizes:
    """The sizes of these samples.

    Raises:
        ValueError: some have weights or a mesh and others have none, or cells differ in the number
            of corners.
    """
    kinds = {
        (s.weights is not None, 0 if s.cells is None else int(s.cells.shape[1])) for s in samples
    }
    if len(kinds) != 1:
        raise ValueError(
            f"All samples of a file have weights or none has, and their cells have the same number "
            f"of corners; got (weights, corners) {sorted(kinds)}. Write separate files."
        )
    ((weights, corners),) = kinds
    cells = [len(s.cells) for s in samples if s.cells is not None]
    points = [s.positions.shape[-1] for s in samples]
    return RaggedSizes(points, cells or None, corners, weights)


def write_points(
    path: str | Path,
    spec: DatasetSpec,
    samples: Iterable[PointSample],
    dtype: str = "float32",
    *,
    sizes: RaggedSizes | None = None,
    numbers: Sequence[int] | None = None,
) -> Path:
    """Write samples on points of their own, one after another; the file appears only when it is
    complete.

    Args:
        spec: its domain is `Points` without positions.
        samples: as many as the spec states; a sequence, unless `sizes` are given.
        sizes: of all samples, so that they can be drawn one by one.
        numbers: numbers of the samples in messages; by default 0, 1, ...

    Raises:
        ValueError: the file exists; a sample does not fit the spec or the sizes, or holds values
            that are not finite, points outside the box, or damaged cells (`point_checks`). No file
            is left behind.
        OSError: the disk is full; no file is left behind.
    """
    path = Path(path)
    if not spec.ragged:
        raise ValueError(
            f"Samples with points of their own have the domain Points(d) without positions; got "
            f"{spec.domain}. Use native_file.write for fields on one set of nodes."
        )
    native_file.prepare(path)
    if sizes is None:
        samples = list(samples)
        if len(samples) != spec.num_samples:
            raise ValueError(f"The spec has {spec.num_samples} samples; got {len(samples)}.")
        sizes = sizes_of(samples)
    part = native_file.part_of(path)
    native_file.create(part, spec, dtype, sizes)
    descriptor = os.open(part, os.O_RDWR)
    try:
        places = native_file.variables(part)
        count = 0
        for i, sample in enumerate(samples):
            number = i if numbers is None else numbers[i]
            _write_one(places, descriptor, spec, i, sample, number)
            count += 1
        if count != spec.num_samples:
            raise ValueError(f"The spec has {spec.num_samples} samples; got {count}.")
        os.fsync(descriptor)
        os.rename(part, path)
    except OSError as error:
        size = os.fstat(descriptor).st_size
        raise native_file.no_room(error, path, size) from None
    finally:
        os.close(descriptor)
        part.unlink(missing_ok=True)
    return path


def _write_one(
    places: Mapping[str, Any],
    descriptor: int,
    spec: DatasetSpec,
    i: int,
    sample: PointSample,
    number: int,
) -> None:
    """Check one sample and write it."""
    rows = sample.rows(spec, number)
    rows["residual"] = torch.tensor(sample.residual, dtype=torch.float64)
    missing = {*places, *rows} - (places.keys() & rows.keys()) - {"num_points", "num_cells"}
    if missing:
        raise ValueError(
            f"Sample {number} and the spec have different variables: "
            f"{', '.join(sorted(missing))}. Give the fields of the spec, and weights and cells for "
            f"all samples or for none."
        )
    for name, values in rows.items():
        places[name].write(descriptor, i, np.asarray(values.detach().cpu().numpy()))
