"""Readers of data files: each knows its format by its content, never by its name."""

from pathlib import Path
from typing import Protocol

import torch

from ...grid import Grid
from ..dataset import FieldDataset
from . import native, neuraloperator


class Reader(Protocol):
    """A file format.

    Attributes:
        DESCRIPTION: one line for error messages.
    """

    DESCRIPTION: str

    def recognises(self, path: Path, head: bytes) -> bool:
        """Whether the container, by its first bytes, may hold this format."""
        ...

    def open(self, path: Path, grid: Grid | None, dtype: torch.dtype) -> FieldDataset:
        """The data set; a ValueError says what the file holds instead."""
        ...


# Name of the format -> module; the first that recognises a file reads it.
READERS: dict[str, Reader] = {"pdeops": native, "neuraloperator": neuraloperator}

# What is no data at all, by its first bytes, and what to do about it.
_NOT_DATA = {
    b"<": "is an HTML or XML page, not data: the download gave a web page (a login, a quota or an "
    "error). Download it again",
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
            "; an unfinished one is there: run its `pdeops data generate` again to complete it."
            if path.with_name(path.name + ".part").exists()
            else f". Generate one, for example: pdeops data generate darcy --samples 1000 "
            f"--resolution 65 --seed 0 --out {path}"
        )
        raise FileNotFoundError(f"There is no data file {path}{hint}")
    if not path.is_file():
        raise ValueError(f"{path} is a folder; name a data file in it.")
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
    known = "; ".join(reader.DESCRIPTION for reader in READERS.values())
    raise ValueError(
        f"{path} is of no format that pdeops reads (it begins with {head[:8]!r}). It reads: "
        f"{known}."
    )


def open_dataset(
    path: str | Path, *, grid: Grid | None = None, dtype: torch.dtype = torch.float32
) -> FieldDataset:
    """The data set in a file of any known format.

    `grid` says where the nodes lie where the file does not.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or holds something else; the message says what.
    """
    return READERS[format_of(path)].open(Path(path), grid, dtype)
