"""MATLAB files: versions 5 to 7 (each variable is read whole) and 7.3, which is HDF5.

MATLAB stores arrays in column-major order. scipy returns arrays with MATLAB's order of axes; a 7.3
file has the reverse order in HDF5: u(sample, x, y) has the HDF5 shape (y, x, sample).
"""

import struct
from pathlib import Path
from typing import Any

import numpy as np

from .hdf5 import HDF5Store, kind_of
from .store import AmbiguousError, Array, Key, Store, why_not

DESCRIPTION = "MATLAB's .mat files (versions 5 to 7.3)"

# MATLAB's numeric classes and the corresponding NumPy types.
_DTYPES = {
    "double": "f8", "single": "f4", "logical": "u1",
    "int8": "i1", "int16": "i2", "int32": "i4", "int64": "i8",
    "uint8": "u1", "uint16": "u2", "uint32": "u4", "uint64": "u8",
}  # fmt: skip


def recognises(path: Path, head: bytes) -> bool:
    """Recognise the header text; for 7.3 also the attribute MATLAB_class, if the text is lost."""
    return head.startswith(b"MATLAB 5.0 MAT-file") or kind_of(path, head) == "mat"


def store(path: Path) -> Store:
    """The numeric variables, in MATLAB's order of axes.

    Raises:
        ValueError: the file is damaged.
    """
    with path.open("rb") as file:
        version5 = file.read(19) == b"MATLAB 5.0 MAT-file"
    return Mat5Store(path) if version5 else Mat73Store(path)


class Mat5Store(Store):
    """Variables of a file of version 5 to 7; each is read whole on first use and cached."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        import scipy.io

        _check_length(path)
        for name, shape, kind in _sound(path, scipy.io.whosmat, path):
            if kind in _DTYPES:
                layout = "in memory once read"
                self.add(
                    Array(
                        name, tuple(shape), np.dtype(_DTYPES[kind]), layout, first_axis_fastest=True
                    )
                )
            else:
                self.refused[name] = f"MATLAB's class {kind!r}, which is no array of numbers"

    def _open(self) -> Any:
        return {}

    def check(self, name: str) -> None:
        """Read the variable, because only its values show whether it is complete and real."""
        values = self.in_memory(name)
        reason = why_not(values.dtype)
        if reason:
            raise AmbiguousError(f"{name!r} in {self.path} holds {reason}.")

    def read(self, name: str, key: Key) -> np.ndarray:
        """A view of the block."""
        return self.in_memory(name)[key]

    def in_memory(self, name: str) -> np.ndarray:
        """The variable, read on first use."""
        import scipy.io

        kept = self.handle
        if name not in kept:
            read = _sound(self.path, scipy.io.loadmat, self.path, variable_names=[name])
            kept[name] = read[name]
        return kept[name]


class Mat73Store(HDF5Store):
    """Variables of a file of version 7.3, read lazily, with axes in MATLAB's order."""

    def __init__(self, path: Path) -> None:
        super().__init__(_whole(path), reverse=True)

    def _enter(self, name: str, item: Any) -> None:
        if name.startswith("#"):  # targets of references from cells and structs
            return
        kind = item.attrs.get("MATLAB_class", b"")
        kind = kind.decode() if isinstance(kind, bytes) else str(kind)
        if kind and kind not in _DTYPES:
            self.refused[name] = f"MATLAB's class {kind!r}, which is no array of numbers"
        elif item.attrs.get("MATLAB_empty", 0):
            self.refused[name] = "an empty array"
        else:
            super()._enter(name, item)


def _check_length(path: Path) -> None:
    """Raise a ValueError if the last variable extends beyond the end of the file.

    scipy skips such a variable silently. A version 5 file has a header of 128 bytes that ends with
    the byte order, followed by variables, each with a prefix of 8 bytes that gives its length.
    """
    size, position = path.stat().st_size, 128
    with path.open("rb") as file:
        file.seek(position - 2)
        order = "<II" if file.read(2) == b"IM" else ">II"
        while position + 8 <= size:
            file.seek(position)
            position += 8 + struct.unpack(order, file.read(8))[1]
    if position > size:
        raise ValueError(
            f"{path} is a damaged MATLAB file: {position - size} bytes are missing at its end. "
            f"Copy or download it again."
        )


def _whole(path: Path) -> Path:
    """The path, if HDF5 can open it."""
    import h5py

    _sound(path, lambda: h5py.File(path, "r").close())
    return path


def _sound(path: Path | None, function: Any, *arguments: Any, **more: Any) -> Any:
    """The function's result; any error is reported as damage of the file.

    scipy checks little while parsing: on a truncated file it raises many errors, from TypeError to
    zlib.error. Therefore every exception of this call is caught.
    """
    try:
        return function(*arguments, **more)
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError(
            f"{path} is a damaged MATLAB file ({type(error).__name__}: {error}). Copy or download "
            f"it again."
        ) from None
