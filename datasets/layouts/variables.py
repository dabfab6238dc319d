"""The variables of the project's data files: names, shapes, axes, and their places in the file."""

import dataclasses
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from ...domain import Points
from ..ragged import RaggedSizes, starts_of
from ..spec import DatasetSpec

# Reserved names: coordinates and the file's own variables.
_TAKEN = ("sample", "time", "channel", "residual", "x", "y", "z", "latitude", "longitude", "point")

# Names of the variables of points (`points_file`).
RAGGED = (
    "positions",
    "weights",
    "cells",
    "num_points",
    "num_cells",
    "cell",
    "coordinate",
    "corner",
)
SHARED = ("positions", "weights", "cells")  # the arrays of points that all samples share
# Axis of rows -> variable with the number of rows of each sample.
_COUNTS = {"point": "num_points", "cell": "num_cells"}

# Axis name -> units in the file, and conversion from the domain's coordinates. Other axes store
# the domain's coordinates without units.
_COORDINATES: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "latitude": ("degrees_north", lambda colatitude: 90 - np.degrees(colatitude)),
    "longitude": ("degrees_east", np.degrees),
}

# Mark of netCDF for a dimension without coordinates; its length follows.
NO_COORDINATE = "This is a netCDF dimension but not a netCDF variable."


@dataclass(frozen=True)
class Variable:
    """Position of one variable in the file: row i is at offset + i * row_bytes, and is sample i, or
    one point or cell of a sample if samples differ in size.

    Attributes:
        row_shape: shape of a row.
        starts: first row of each sample, and the number of all rows; None if sample i is row i.
    """

    name: str
    offset: int
    dtype: np.dtype
    row_shape: tuple[int, ...]
    starts: np.ndarray | None = None

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return int(np.prod(self.row_shape, dtype=np.int64)) * self.dtype.itemsize

    def write(self, descriptor: int, index: int, values: np.ndarray) -> None:
        """Write one sample, (*row_shape), or (rows, *row_shape) if samples differ in size.

        Raises:
            ValueError: the sample has another number of points or cells than the file has room for.
            OSError: the disk is full, or the file may not grow.
        """
        first = index
        if self.starts is not None:
            first, last = (int(row) for row in self.starts[index : index + 2])
            if values.shape != (last - first, *self.row_shape):
                raise ValueError(
                    f"{self.name} of sample {index} must have shape "
                    f"{(last - first, *self.row_shape)}; got {values.shape}. The file was made for "
                    f"these numbers of points and cells: give others to make another file."
                )
        else:
            assert values.shape == self.row_shape
        data = memoryview(np.ascontiguousarray(values, self.dtype).view(np.uint8).data).cast("B")
        position = self.offset + first * self.row_bytes
        while data:  # a nearly full disk accepts a part first, then fails
            written = os.pwrite(descriptor, data, position)
            data, position = data[written:], position + written


@dataclass(frozen=True)
class Entry:
    """A variable that a new file gets: its shape, type, axes and attributes, and values that are
    known in advance."""

    shape: tuple[int, ...]
    dtype: np.dtype
    dims: tuple[str, ...]
    attributes: dict[str, str] = dataclasses.field(default_factory=dict)
    values: np.ndarray | None = None

    @property
    def num_bytes(self) -> int:
        """Bytes of all its values."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


@dataclass(frozen=True)
class Measure:
    """What is known of the fields of a file besides their residuals, such as error bounds.

    Attributes:
        values: one number for each sample, or a field with the axes `dims`.
        meaning: description.
    """

    name: str
    meaning: str
    values: Tensor
    dims: tuple[str, ...] = ("sample",)
    units: str = "1"


def table_of(
    spec: DatasetSpec,
    dtype: str,
    sizes: RaggedSizes | None,
    measures: Sequence[Measure] = (),
) -> dict[str, Entry]:
    """All variables of a file but its coordinates."""
    table: dict[str, Entry] = {}
    for f in spec.fields:
        # Parameters keep the precision in which they were stated.
        shape = tuple(n if n >= 0 or sizes is None else sizes.num_points for n in spec.shape(f))
        stored = np.dtype(dtype if f.has_space else "float64")
        described = {"units": f.units, "long_name": f.description, "role": f.role}
        table[f.name] = Entry(shape, stored, spec.dims(f), described)
    unsolved = np.full(spec.num_samples, np.nan)
    described = {"units": "1", "long_name": f"{spec.measure} of the solution in float64"}
    table["residual"] = Entry(
        unsolved.shape, unsolved.dtype, ("sample",), described, values=unsolved
    )
    for m in measures:
        described = {"units": m.units, "long_name": m.meaning}
        table[m.name] = Entry(tuple(m.values.shape), np.dtype("float64"), m.dims, described)
    if shares_points(spec):
        table |= _of_shared_points(spec)
    return table if sizes is None else {**table, **_of_points(spec, sizes)}


def shares_points(spec: DatasetSpec) -> bool:
    """Whether all samples share scattered points."""
    return spec.domain.kind == Points.kind and not spec.ragged


def without_shared_points(spec: DatasetSpec) -> dict[str, Any]:
    """The spec as plain data, in which names of variables of the file stand for the arrays of
    points that all samples share."""
    plain = spec.to_dict()
    if shares_points(spec):
        plain["domain"] |= {name: name for name in SHARED if name in plain["domain"]}
    return plain


def with_shared_points(plain: dict[str, Any], read: Callable[[str], np.ndarray]) -> dict[str, Any]:
    """The inverse of `without_shared_points`.

    Args:
        read: name of a variable of the file -> its values.
    """
    domain = plain.get("domain", {})
    found = {name: read(name) for name in SHARED if isinstance(domain.get(name), str)}
    arrays = {name: u.T if name == "positions" else u for name, u in found.items()}
    return plain | {"domain": domain | {name: u.tolist() for name, u in arrays.items()}}


def _of_shared_points(spec: DatasetSpec) -> dict[str, Entry]:
    """The variables of points that all samples share."""
    domain: Any = spec.domain
    members = (
        ("positions", domain.nodes().mT, ("point", "coordinate"), "coordinates of the points"),
        ("weights", domain.weights, ("point",), "quadrature weights of the points"),
        ("cells", domain.cells, ("cell", "corner"), "nodes of the cells"),
    )
    table = {}
    for name, member, dims, meaning in members:
        if member is not None:
            values = member.double().numpy() if name != "cells" else member.long().numpy()
            described = {"long_name": meaning, "units": "1"}
            table[name] = Entry(values.shape, values.dtype, dims, described, values=values)
    return table


def _of_points(spec: DatasetSpec, sizes: RaggedSizes) -> dict[str, Entry]:
    """The variables of points that differ from sample to sample, see `points_file`."""
    domain: Any = spec.domain
    exact, whole = np.dtype("float64"), np.dtype("int64")

    def counts(of: str, values: Any) -> Entry:
        described = {
            "long_name": f"number of {of}s of each sample",
            "units": "1",
            "sample_dimension": of,
        }
        return Entry((spec.num_samples,), whole, ("sample",), described, np.asarray(values))

    def entry(shape: tuple[int, ...], dims: tuple[str, ...], meaning: str, dtype: Any) -> Entry:
        return Entry(shape, dtype, dims, {"long_name": meaning, "units": "1"})

    n = sizes.num_points
    table = {
        "num_points": counts("point", sizes.points),
        "positions": entry(
            (n, domain.num_coordinates), ("point", "coordinate"), "coordinates of the points", exact
        ),
    }
    if sizes.weights:
        table["weights"] = entry((n,), ("point",), "quadrature weights of the points", exact)
    if sizes.cells is not None:
        table["num_cells"] = counts("cell", sizes.cells)
        corners = "nodes of the cells, numbers of the points of the same sample from 0"
        shape = (sizes.num_cells, sizes.corners)
        table["cells"] = entry(shape, ("cell", "corner"), corners, whole)
    return table


def dimensions(spec: DatasetSpec, sizes: RaggedSizes | None) -> dict[str, int]:
    """The lengths of the axes of a file that have no coordinates."""
    domain: Any = spec.domain
    if shares_points(spec):
        cells = (
            {}
            if domain.cells is None
            else dict(zip(("cell", "corner"), domain.cells.shape, strict=True))
        )
        return {"coordinate": domain.num_coordinates, **cells}
    if sizes is None:
        return {}
    lengths = {"point": sizes.num_points, "coordinate": domain.num_coordinates}
    if sizes.cells is not None:
        lengths |= {"cell": sizes.num_cells, "corner": sizes.corners}
    return lengths


def starts_in(file: Any, variable: Any) -> np.ndarray | None:
    """The first row of each sample, and the number of all rows, of a variable whose rows are points
    or cells; None if its rows are samples."""
    axis = variable.dims[0][0].name.rpartition("/")[2]
    counts = _COUNTS.get(axis)
    return starts_of(file[counts][()]) if counts is not None and counts in file else None


def coordinates(spec: DatasetSpec) -> dict[str, tuple[np.ndarray, str, str]]:
    """Values, units and long name of each dimension of the file that has coordinates, in order."""
    scales: dict[str, tuple[np.ndarray, str, str]] = {
        "sample": (
            np.arange(spec.num_samples),
            "1",
            "sample number, input of its random numbers",
        )
    }
    if spec.times:
        scales["time"] = (np.array(spec.times), spec.time_units, "time")
    for field in spec.fields:
        for dim in spec.dims(field):
            if dim.endswith("channel"):
                names = np.array(field.channels, dtype=object)
                scales[dim] = (names, "1", "components of vector fields")
    if spec.ragged:
        return scales
    domain: Any = spec.domain
    for i, name in enumerate(domain.axes):
        units, changed = _COORDINATES.get(name, ("1", np.asarray))
        values = domain.axis(i).numpy() if hasattr(domain, "axis") else np.arange(domain.shape[i])
        scales[name] = (changed(values), units, name if units != "1" else f"{name} coordinate")
    return scales


def reserved(*, ragged: bool = False) -> tuple[str, ...]:
    """Names that a field cannot have: those of coordinates and of the file's own variables."""
    return (*_TAKEN, *RAGGED) if ragged else _TAKEN


def free_name(name: str, role: str, *, ragged: bool = False) -> str:
    """A field's name in the file: `name`, or "input_x" if the name x is reserved."""
    return f"{role}_{name}" if name in reserved(ragged=ragged) else name
