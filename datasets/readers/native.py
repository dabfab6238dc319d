"""The project's own files; the layout stands in `pdeops.datasets.hdf5`."""

from pathlib import Path

import torch

from ...grid import Grid
from ..dataset import FieldDataset
from ..hdf5 import FORMAT, FORMAT_VERSION
from ..sources import HDF5Source
from ..spec import DatasetSpec

DESCRIPTION = "HDF5 files written by pdeops"


def recognises(path: Path, head: bytes) -> bool:
    """Any HDF5 file: what is inside is said by `open`."""
    return head.startswith(b"\x89HDF\r\n\x1a\n")


def open(path: Path, grid: Grid | None, dtype: torch.dtype) -> FieldDataset:
    """The data set of a finished file.

    Raises:
        ValueError: truncated, of another project or format version, unfinished, or `grid`
        disagrees.
    """
    import h5py

    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise ValueError(
            f"{path} is a damaged HDF5 file ({error}). Copy, download or generate it again."
        ) from None
    with file:
        if file.attrs.get("format") != FORMAT:
            raise ValueError(
                f"{path} is an HDF5 file of another kind: it holds {_contents(file)}, and no "
                f"attribute format = {FORMAT!r}. Convert it, or generate one with `pdeops data "
                f"generate`."
            )
        version = file.attrs.get("format_version")
        if version != FORMAT_VERSION:
            raise ValueError(
                f"{path} has format version {version}; this pdeops reads {FORMAT_VERSION}. "
                f"Generate the file again, or use the pdeops that wrote it "
                f"({file.attrs.get('code_version')})."
            )
        spec = DatasetSpec.from_json(file.attrs["spec"])
        for field in spec.fields:
            expected = (spec.num_samples, *spec.grid.shape)
            got = file[field.name].shape if field.name in file else "nothing"
            if got != expected:
                raise ValueError(
                    f"{path} disagrees with its own spec: field {field.name!r} should have shape "
                    f"{expected}, and has {got}. Generate the file again."
                )
    if path.name.endswith(".part"):
        raise ValueError(
            f"{path} is unfinished: run its `pdeops data generate` again to complete it."
        )
    if grid is not None and grid != spec.grid:
        raise ValueError(
            f"{path} says that its grid is {spec.grid}; got {grid}. Leave the grid out."
        )
    inputs, targets = (tuple(f.name for f in role) for role in (spec.inputs, spec.targets))
    return FieldDataset(
        HDF5Source(path, spec.num_samples, inputs, targets),
        spec.grid,
        spec=spec,
        path=path,
        dtype=dtype,
    )


def _contents(file) -> str:
    """'a (100, 64), b (100, 64), ...': the first variables of a foreign file."""
    names = [f"{n} {getattr(d, 'shape', '(group)')}" for n, d in list(file.items())[:6]]
    return ", ".join(names) + (", ..." if len(file) > 6 else "") or "nothing"
