"""File formats, one module for each; a format is recognised by the first bytes of a file."""

import shlex
from pathlib import Path
from typing import Protocol

from . import hdf5, mat, mesh, netcdf, npz, pt
from .store import Store

__all__ = ["CONTAINERS", "Container", "container_of", "open_store"]


class Container(Protocol):
    """A file format.

    Attributes:
        DESCRIPTION: one line for error messages.
    """

    DESCRIPTION: str

    def recognises(self, path: Path, head: bytes) -> bool:
        """Whether a file has this format, from its first bytes."""
        ...

    def store(self, path: Path) -> Store:
        """The file as named arrays."""
        ...


# The first format that recognises a file reads it. netCDF is last, because it imports xarray.
CONTAINERS: dict[str, Container] = {
    "MATLAB": mat,
    "NumPy": npz,
    "torch": pt,
    "HDF5": hdf5,
    "netCDF": netcdf,
    "meshio": mesh,
}

# First bytes of files that hold no data -> description and remedy.
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


def open_store(path: str | Path) -> Store:
    """The named arrays of a file of any known format.

    Raises:
        FileNotFoundError, ValueError: the errors of `container_of`, or the file is damaged.
    """
    path = Path(path).expanduser()
    return CONTAINERS[container_of(path)].store(path)


def container_of(path: str | Path) -> str:
    """The key in `CONTAINERS` of a file's format, from its content.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is empty, a web page, or of unknown format.
    """
    path = Path(path).expanduser()
    if not path.exists():
        hint = (
            "; an unfinished one is there: run its `pdeops data generate` or `convert` again."
            if path.with_name(path.name + ".part").exists()
            else ". `pdeops train RECIPE --show` prints a shipped recipe; its head has the command "
            "that generates its data, or names the recipe that has it. `pdeops data generate "
            f"--help` lists the problems: give it --out {shlex.quote(str(path))}"
        )
        raise FileNotFoundError(f"There is no data file {path}{hint}")
    head = b""
    if path.is_file():
        with path.open("rb") as file:
            head = file.read(512)
        if not head:
            raise ValueError(f"{path} is empty. Download or generate it again.")
    if mesh.known_by(head) is None:
        for start, meaning in _NOT_DATA.items():
            if head.lstrip().startswith(start):
                raise ValueError(f"{path} {meaning}.")
    for name, container in CONTAINERS.items():
        if container.recognises(path, head):
            return name
    if not path.is_file():
        raise ValueError(f"{path} is a folder without data in it; name a data file.")
    known = "; ".join(container.DESCRIPTION for container in CONTAINERS.values())
    raise ValueError(
        f"{path} is of no format that pdeops reads (it begins with {head[:8]!r}). It reads: "
        f"{known}."
    )
