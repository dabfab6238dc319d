"""NumPy files: .npz archives, and folders of .npy files with one array each.

Nothing is unpickled; arrays of Python objects are refused.
"""

import shlex
import zipfile
import zlib
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from tokenize import TokenError
from typing import Any, Literal

import numpy as np

from .store import Key, Store, described

DESCRIPTION = "NumPy's .npz files, and folders of .npy files"

_MAGIC = b"\x93NUMPY"


def recognises(path: Path, head: bytes) -> bool:
    """Whether this is a folder of .npy files, an .npy file, or a zip file whose first member is
    one."""
    if path.is_dir():
        return any(path.glob("*.npy"))
    first_name = head[30 : 30 + int.from_bytes(head[26:28], "little")]
    return head.startswith(_MAGIC) or (
        head.startswith(b"PK\x03\x04") and first_name.endswith(b".npy")
    )


def store(path: Path) -> Store:
    """The arrays by name: the members of an archive, or the files of a folder.

    Raises:
        ValueError: the file is damaged, or is a single .npy file, which holds one array only.
    """
    if path.is_file() and not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise ValueError(f"{path} is a damaged .npz file. Copy or download it again.")
            file.seek(0)
            header = _header(path, file)
        raise ValueError(
            f"{path} holds one array, {header.shape} {header.dtype}; a data set needs input and "
            f"target. Put both .npy files into one folder, and name this folder in place of the "
            f"file: pdeops data inspect {shlex.quote(str(path.parent))}"
        )
    return NumpyStore(path)


@dataclass(frozen=True)
class _Header:
    """Header of an .npy file, and its length in bytes."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype
    length: int


class NumpyStore(Store):
    """Arrays of NumPy files: uncompressed arrays are memory-mapped, compressed arrays are read
    whole on first use and cached."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._headers: dict[str, _Header] = {}
        self._offsets: dict[str, int | None] = {}
        for name, file, offset in self._members():
            header = _header(path, file)
            self._headers[name], self._offsets[name] = header, offset
            self.add(
                described(
                    name,
                    np.broadcast_to(np.empty((), header.dtype), header.shape),
                    "compressed, in memory once read" if offset is None else "contiguous",
                )
            )

    def _members(self) -> Any:
        """Name, open file, and offset of the .npy data in the file (None if compressed)."""
        assert self.path is not None
        if self.path.is_dir():
            for member in sorted(self.path.glob("*.npy")):
                with member.open("rb") as single:
                    yield member.stem, single, 0
            return
        try:
            with zipfile.ZipFile(self.path) as archive, self.path.open("rb") as raw:
                for info in archive.infolist():
                    if info.filename.endswith(".npy"):
                        offset = _start(raw, info) if info.compress_type == 0 else None
                        name = info.filename.removesuffix(".npy")
                        try:
                            opened = archive.open(info)
                        except (RuntimeError, NotImplementedError) as error:
                            # A password, or a compression that Python does not have.
                            self.refused[name] = f"a member that cannot be opened ({error})"
                            continue
                        with opened as file:
                            yield name, file, offset
        except (zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(
                f"{self.path} is a damaged .npz file ({error}). Copy or download it again."
            ) from None

    def _open(self) -> Any:
        return {}

    def read(self, name: str, key: Key) -> np.ndarray:
        """A view of the block."""
        return np.asarray(self.in_memory(name)[key])

    def in_memory(self, name: str) -> np.ndarray:
        """The array, mapped, or read on first use."""
        kept = self.handle
        if name not in kept:
            kept[name] = self._load(name)
        return kept[name]

    def _load(self, name: str) -> np.ndarray:
        assert self.path is not None
        header, offset = self._headers[name], self._offsets[name]
        if 0 in header.shape:
            return np.empty(header.shape, header.dtype)
        order: Literal["C", "F"] = "F" if header.fortran else "C"
        try:
            if offset is not None:
                file = self.path / f"{name}.npy" if self.path.is_dir() else self.path
                begin = offset + header.length
                return np.asarray(np.memmap(file, header.dtype, "r", begin, header.shape, order))
            with np.load(self.path, allow_pickle=False) as archive:
                return archive[name]
        except (ValueError, OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the system refused to read the file: it is not damaged
            raise ValueError(
                f"{name!r} in {self.path} is damaged ({error}). Copy or download it again."
            ) from None


def _header(path: Path, file: BufferedIOBase) -> _Header:
    """Read the header of an .npy file."""
    try:
        version = np.lib.format.read_magic(file)
        read = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
        # Version 3 has the layout of 2, with names in UTF-8.
        shape, fortran, dtype = read[min(version[0], 2)](file)
    except (ValueError, EOFError, SyntaxError, TokenError, zlib.error, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} holds a damaged .npy array ({error}). Copy or download it again."
        ) from None
    return _Header(shape, fortran, dtype, file.tell())


def _start(raw: BufferedIOBase, info: zipfile.ZipInfo) -> int:
    """Offset of an uncompressed member: after its local header of 30 bytes, which holds the lengths
    of the name and the extra field, and after these two."""
    raw.seek(info.header_offset)
    local = raw.read(30)
    return (
        info.header_offset + 30 + sum(int.from_bytes(local[i : i + 2], "little") for i in (26, 28))
    )
