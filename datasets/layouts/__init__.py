"""Readers of data files: each knows its format by its content, never by its name."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch

from ..containers.stores import Store
from ..dataset import FieldDataset
from . import foreign, mat, native, netcdf, neuraloperator, npz, plain_hdf5
from .coordinates import GridLike
from .selection import Axes

log = logging.getLogger("pdeops")


class Reader(Protocol):
    """A file format.

    Attributes:
        DESCRIPTION: one line for error messages.
    """

    DESCRIPTION: str

    def recognises(self, path: Path, head: bytes) -> bool:
        """Whether the container, by its first bytes, may hold this format."""
        ...

    def store(self, path: Path) -> Store:
        """The file as named arrays."""
        ...

    def open(self, path: Path, grid: GridLike | None, dtype: torch.dtype) -> FieldDataset:
        """The data set, where the file says or its names tell what it holds; else a ValueError
        says what that is."""
        ...


# Name of the format -> module; the first that recognises a file reads it. The last one knows any
# file that xarray does, and imports it to ask.
READERS: dict[str, Reader] = {
    "pdeops": native,
    "MATLAB": mat,
    "NumPy": npz,
    "neuraloperator": neuraloperator,
    "HDF5": plain_hdf5,
    "netCDF": netcdf,
}

# What is no data at all, by its first bytes, and what to do about it.
_NOT_DATA = {
    b"<": "is an HTML or XML page, not data: the download gave a web page (a login, a quota or an "
    "error). Download it again",
    **dict.fromkeys(
        (b"\x80\x03", b"\x80\x04", b"\x80\x05"),
        "is a Python pickle, which could run code when loaded, and is not read. Save its arrays "
        "with numpy.savez",
    ),
    b"version https://git-lfs": "is a Git LFS pointer, not data. Fetch it with `git lfs pull`",
}


def format_of(path: str | Path) -> str:
    """The key in `READERS` of a file's format, from its content.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is empty, a web page, or of no known format.
    """
    path = Path(path)
    if not path.exists():
        hint = (
            "; an unfinished one is there: run its `pdeops data generate` or `convert` again."
            if path.with_name(path.name + ".part").exists()
            else f". Generate one, for example: pdeops data generate darcy --samples 1000 "
            f"--resolution 65 --seed 0 --out {path}"
        )
        raise FileNotFoundError(f"There is no data file {path}{hint}")
    head = b""
    if path.is_file():
        with path.open("rb") as file:
            head = file.read(512)
        if not head:
            raise ValueError(f"{path} is empty. Download or generate it again.")
    for start, meaning in _NOT_DATA.items():
        if head.lstrip().startswith(start):
            raise ValueError(f"{path} {meaning}.")
    for name, reader in READERS.items():
        if reader.recognises(path, head):
            return name
    if not path.is_file():
        raise ValueError(f"{path} is a folder without data in it; name a data file.")
    known = "; ".join(reader.DESCRIPTION for reader in READERS.values())
    raise ValueError(
        f"{path} is of no format that pdeops reads (it begins with {head[:8]!r}). It reads: "
        f"{known}."
    )


def open_dataset(
    path: str | Path,
    *,
    inputs: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    axes: Axes | None = None,
    grid: GridLike | None = None,
    dtype: torch.dtype = torch.float32,
) -> FieldDataset:
    """The data set in a file of any known format.

    Where the file does not say which of its arrays are the fields, `inputs` and `targets` name
    them, and `axes` says what their axes are, as in `select`. `grid` says where the nodes lie where
    the file does not: a Grid, or its arguments without the shape, as {"boundary": "periodic"}.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or holds something else; the message says what.
    """
    path = Path(path)
    reader = READERS[format_of(path)]
    if inputs is None and targets is None and axes is None:
        dataset = reader.open(path, grid, dtype)
    elif inputs is None or targets is None:
        raise ValueError(
            "inputs and targets, and axes where needed, go together; got some of them."
        )
    else:
        dataset = foreign.open_named(reader.store(path), inputs, targets, axes, grid, dtype)
    for note in dataset.notes:
        log.info("%s: %s", path, note)
    return dataset
