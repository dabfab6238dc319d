"""The project's own files; the layout stands in `pdeops.datasets.layouts.hdf5`."""

from pathlib import Path
from typing import Any

import torch

from ..containers.stores import HDF5Store
from ..dataset import FieldDataset
from ..spec import DatasetSpec, Field
from .coordinates import GridLike
from .hdf5 import AXES, FORMAT, FORMAT_VERSION
from .selection import Chosen, Selection
from .sources import ArraySource

DESCRIPTION = "HDF5 files written by pdeops"


def recognises(path: Path, head: bytes) -> bool:
    """An HDF5 file that says so; or one that cannot be opened, of which `open` tells why."""
    return kind_of(path, head) in (FORMAT, "damaged")


def kind_of(path: Path, head: bytes) -> str | None:
    """What wrote an HDF5 file: "pdeops", "mat" (MATLAB 7.3), "netcdf", "plain", "damaged"; None for
    no HDF5 file.

    MATLAB puts 512 bytes of text in front of HDF5's signature.
    """
    matlab = head.startswith(b"MATLAB 7.3 MAT-file")
    if not (matlab or head.startswith(b"\x89HDF\r\n\x1a\n")):
        return None
    import h5py

    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") == FORMAT:
                return FORMAT
            attributes = [set(item.attrs) for item in file.values()]
    except OSError:
        return "mat" if matlab else "damaged"
    if matlab or any("MATLAB_class" in names for names in attributes):
        return "mat"
    return "netcdf" if any({"CLASS", "DIMENSION_LIST"} & names for names in attributes) else "plain"


def store(path: Path) -> HDF5Store:
    """The fields, `residual` and the coordinates.

    Raises:
        ValueError: truncated.
    """
    _file(path).close()
    return HDF5Store(path)


def _file(path: Path) -> Any:
    import h5py

    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise ValueError(
            f"{path} is a damaged HDF5 file ({error}). Copy, download or generate it again."
        ) from None


def open(path: Path, grid: GridLike | None, dtype: torch.dtype) -> FieldDataset:
    """The data set of a finished file.

    Raises:
        ValueError: truncated, of another format version, unfinished, or `grid` disagrees.
    """
    with _file(path) as file:
        version = file.attrs.get("format_version")
        if version != FORMAT_VERSION:
            raise ValueError(
                f"{path} has format version {version}; this pdeops reads {FORMAT_VERSION}. "
                f"Generate the file again, or use the pdeops that wrote it "
                f"({file.attrs.get('code_version')})."
            )
        spec = DatasetSpec.from_json(file.attrs["spec"])
        for field in spec.fields:
            expected = field.shape(spec.num_samples, spec.domain)
            got = file[field.name].shape if field.name in file else "nothing"
            if got != expected:
                raise ValueError(
                    f"{path} disagrees with its own spec: field {field.name!r} should have shape "
                    f"{expected}, and has {got}. Generate the file again."
                )
    if path.name.endswith(".part"):
        raise ValueError(
            f"{path} is unfinished: run its `pdeops data generate` or `convert` again."
        )
    if grid is not None and grid != spec.domain:
        raise ValueError(
            f"{path} says that its grid is {spec.domain}; got {grid}. Leave the grid out."
        )
    return FieldDataset(
        ArraySource(HDF5Store(path), _selection(spec)),
        spec.domain,
        spec=spec,
        path=path,
        dtype=dtype,
    )


def _selection(spec: DatasetSpec) -> Selection:
    """One variable (sample, x, y, z as far as they go) for each field; times are channels."""
    space = AXES[: spec.domain.ndim]

    def chosen(fields: tuple[Field, ...]) -> tuple[Chosen, ...]:
        return tuple(
            Chosen(
                f.name,
                ("sample", "channel", *space) if f.times else ("sample", *space),
                f.shape(spec.num_samples, spec.domain),
                f.channels,
            )
            for f in fields
        )

    return Selection(chosen(spec.inputs), chosen(spec.targets))
