"""Format and writer of the project's data files: HDF5 that h5py, xarray (`engine="h5netcdf"`) and
netCDF tools can open.

    /permeability  (sample, x, y)            one variable per field, contiguous, with units,
    /velocity      (sample, channel, x, y)   long_name and role; `DatasetSpec.dims` names its axes
    /vorticity     (sample, time, x, y)      a state: a trajectory, its first frame included
    /viscosity     (sample)                  a parameter of the equation, if samples differ in it
    /residual      (sample)                  |b - A u| / |b| of each solution in float64, or what
                                             `DatasetSpec.measure` says; NaN: not yet solved
    /positions     (point, coordinate)       scattered points that all samples share, with /weights
                                             (point) and /cells (cell, corner) where they are known
    /sample /time /channel /x /y             coordinates, attached as HDF5 dimension scales;
                                             latitude and longitude in degrees on a sphere
    attributes     format, format_version, title, equation, spec (JSON), seed, code_version,
                   solver_tolerance, licence, source; device, the name of the GPU that solved the
                   samples, if one did

h5py writes the structure once and allocates all space; values are then written at their offsets.
A process killed between two samples leaves a valid file in which missing samples have NaN
residuals.
"""

import json
import os
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ..ragged import RaggedSizes
from ..spec import DatasetSpec
from .variables import (
    NO_COORDINATE,
    Measure,
    Variable,
    coordinates,
    dimensions,
    free_name,
    reserved,
    shares_points,
    starts_in,
    table_of,
    without_shared_points,
)

FORMAT = "pdeops"
FORMAT_VERSION = 2
DTYPES = ("float32", "float64")


def attributes(spec: DatasetSpec, device: str | None = None) -> dict[str, Any]:
    """The root attributes of a file with this spec, solved by CPUs or by a device."""
    seed = {} if spec.seed is None else {"seed": spec.seed}
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "title": f"{spec.name}, {spec.kind}",
        "equation": spec.equation,
        "spec": json.dumps(without_shared_points(spec)),
        **seed,
        "code_version": _code_version(),
        "solver_tolerance": spec.tolerance,
        "licence": spec.licence,
        "source": spec.source,
        **({} if device is None else {"device": device}),
    }


def create(
    path: Path,
    spec: DatasetSpec,
    dtype: str = "float32",
    sizes: RaggedSizes | None = None,
    measures: Sequence[Measure] = (),
    *,
    device: str | None = None,
) -> None:
    """Write the file's structure with room for all samples; fields hold zeros, residuals NaN.

    Args:
        sizes: of samples with points of their own (`points_file`).
        measures: further variables of the file.
        device: the name of the device that solves the samples; None: CPUs.

    Raises:
        ValueError: unknown dtype, or a field has a reserved name.
        OSError: the disk has no room for the whole file; the file is removed.
    """
    import h5py

    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}; got {dtype!r}.")
    on_points = spec.ragged or shares_points(spec)
    for field in spec.fields:
        if field.name in reserved(ragged=on_points):
            raise ValueError(
                f"A field cannot be called {field.name!r}: that is a variable of every file. Call "
                f"it {free_name(field.name, field.role, ragged=on_points)!r}."
            )
    table = table_of(spec, dtype, sizes, measures)
    scales = coordinates(spec)
    lengths = dimensions(spec, sizes)
    size = sum(v.num_bytes for v in table.values())
    # Coordinates, structure.
    size += 16 * (spec.num_samples + sum(len(values) for values, *_ in scales.values())) + 65536
    allocated = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    allocated.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    allocated.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    try:
        _reserve(path, size)
        with h5py.File(path, "w", locking=False) as file:
            file.attrs.update(attributes(spec, device))
            for name, (values, units, meaning) in scales.items():
                file[name] = values
                file[name].attrs.update(units=units, long_name=meaning)
                file[name].make_scale(name)
            for name, length in lengths.items():  # axes without coordinates take no space
                file.create_dataset(name, (length,), ">f4")
                file[name].make_scale(f"{NO_COORDINATE}{length:10d}")
            for i, name in enumerate((*scales, *lengths)):
                file[name].attrs["_Netcdf4Dimid"] = np.int32(i)
            for name, v in table.items():
                stored = v.dtype.newbyteorder("<")
                file.create_dataset(name, v.shape, stored, dcpl=allocated).attrs.update(
                    v.attributes
                )
                if v.values is not None:
                    file[name][:] = v.values
                for i, dim in enumerate(v.dims):
                    file[name].dims[i].attach_scale(file[dim])
        _reserve(path, path.stat().st_size)
    except (OSError, RuntimeError) as error:  # h5py reports a failed close as RuntimeError
        path.unlink(missing_ok=True)
        raise no_room(error, path, size) from None


def variables(path: Path) -> dict[str, Variable]:
    """Positions of the fields and of `residual` in the file."""
    import h5py

    with h5py.File(path, "r", locking=False) as file:
        return {
            n: Variable(n, d.id.get_offset(), d.dtype, d.shape[1:], starts_in(file, d))
            for n, d in file.items()
            if not d.is_scale
        }


def write(
    path: str | Path,
    spec: DatasetSpec,
    fields: Mapping[str, Tensor],
    dtype: str = "float32",
    *,
    residuals: Tensor | None = None,
    measures: Sequence[Measure] = (),
) -> Path:
    """Write complete fields by name, such as predictions. Each field has the axes `spec.dims`:
    (num_samples, [time,] [channel,] *space). The file appears only when it is complete.

    Args:
        residuals: (num_samples,) of the fields, where they are known; NaN is stored otherwise.
        measures: further variables of the file.

    Raises:
        ValueError: the file exists, or the fields are not those of the spec.
        OSError: the disk is full; no file is left behind.
    """
    path = Path(path)
    prepare(path)
    expected = {f.name: spec.shape(f) for f in spec.fields}
    got = {name: tuple(u.shape) for name, u in fields.items()}
    if got != expected:
        raise ValueError(f"The fields must be {expected} as in the spec; got {got}.")
    if taken := [m.name for m in measures if m.name in expected]:
        raise ValueError(f"The file has a field {taken[0]!r}, so a measure cannot be called that.")
    part = part_of(path)
    create(part, spec, dtype, measures=measures)
    places = variables(part)
    descriptor = os.open(part, os.O_RDWR)
    try:
        known = {m.name: m.values.double() for m in measures}
        if residuals is not None:
            known["residual"] = residuals.double()
        for name, u in {**fields, **known}.items():
            for i, values in enumerate(u.detach().cpu().numpy()):
                places[name].write(descriptor, i, np.asarray(values))
        os.fsync(descriptor)
        os.rename(part, path)
    except OSError as error:
        size = os.fstat(descriptor).st_size
        part.unlink(missing_ok=True)
        raise no_room(error, path, size) from None
    finally:
        os.close(descriptor)
    return path


def part_of(path: Path) -> Path:
    """Path of the partial file, next to the target."""
    return path.with_name(path.name + ".part")


def refuse_existing(path: Path) -> None:
    """Raise a ValueError if there is a file or folder at this path."""
    if path.exists():
        raise ValueError(
            f"{path} exists already; nothing was written. Choose another name or move it away."
        )


def prepare(path: Path) -> None:
    """Make the folder of a new file, and check that it can be written there.

    Raises:
        ValueError: there is a file or folder at this path.
        OSError: the folder cannot be made or written to.
    """
    refuse_existing(path)
    part = part_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        before = part.exists()
        os.close(os.open(part, os.O_RDWR | os.O_CREAT, 0o644))
        if not before:
            part.unlink()
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        if isinstance(error, FileExistsError | NotADirectoryError):
            reason = f"{path.parent} is no folder"
        raise OSError(
            error.errno, f"Cannot write {path}: {reason}. Choose another folder or name"
        ) from None


def no_room(error: Exception, path: Path, size: int) -> OSError:
    """An OSError with the same errno whose message names the file and a remedy."""
    number = getattr(error, "errno", None)
    reason = os.strerror(number) if number else str(error)
    return OSError(
        number,
        f"Cannot write {path} ({size / 1e6:.1f} MB): {reason}. Free some space, raise the limit, "
        f"or write to another folder",
    )


def _reserve(path: Path, size: int) -> None:
    """Allocate the disk space, so that a full disk is detected before hours of solving."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, size)
    finally:
        os.close(descriptor)


def _code_version() -> str:
    try:
        return f"pdeops {metadata.version('pdeops')}"
    except metadata.PackageNotFoundError:  # a checkout that was not installed
        return "pdeops, not installed"
