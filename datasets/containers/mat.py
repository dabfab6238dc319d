"""MATLAB files: versions 5 to 7 (a compressed variable is read whole, others are mapped) and 7.3,
which is HDF5.

MATLAB stores arrays in column-major order. scipy returns arrays with MATLAB's order of axes; a 7.3
file has the reverse order in HDF5: u(sample, x, y) has the HDF5 shape (y, x, sample).
"""

from pathlib import Path
from typing import Any

import numpy as np

from .hdf5 import HDF5Store, kind_of
from .mat5_headers import Header, headers
from .store import COMPLEX, Array, Key, Store

DESCRIPTION = "MATLAB's .mat files (versions 5 to 7.3)"

# MATLAB's numeric classes and the corresponding NumPy types.
_DTYPES = {
    "double": "f8", "single": "f4", "logical": "u1",
    "int8": "i1", "int16": "i2", "int32": "i4", "int64": "i8",
    "uint8": "u1", "uint16": "u2", "uint32": "u4", "uint64": "u8",
}  # fmt: skip

_OTHERS = "which is no array of numbers"
_NO_NUMBERS = {
    "cell": "which holds arrays of any kind; put those of one shape into one array, as in MATLAB's "
    "u = cat(3, c{:})",
    "sparse": "which is no field; store full(u)",
}


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
    """Variables of a file of version 5 to 7. Numbers that are stored in the type of their class are
    memory-mapped; others, and compressed ones, are read whole on first use and cached. The arrays
    of a struct are called 'struct/field', as in a file of version 7.3."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._mapped: dict[str, Header] = {}
        for header in headers(path):
            if header.kind in _DTYPES and not header.is_complex:
                dtype = np.dtype(_DTYPES[header.kind])
                if header.offset is not None and dtype == np.dtype(header.stored):
                    self._mapped[header.name] = header
                self._add(header.name, header.shape, dtype)
            elif header.kind == "struct" and header.shape == (1, 1):
                self._add_fields(header.name)
            else:
                self.refused[header.name] = _why_no_numbers(header)

    def _add(self, name: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
        layout = "contiguous" if name in self._mapped else "in memory once read"
        self.add(Array(name, tuple(shape), dtype, layout, first_axis_fastest=True))

    def _add_fields(self, name: str) -> None:
        """Add the numeric arrays of a struct, which has to be read for that."""
        try:
            value = self._read(name)
        except ValueError as error:
            self.refused[name] = f"a struct that cannot be read ({error})"
            return
        for field in value.dtype.names or ():
            inner, full = np.asarray(value[0, 0][field]), f"{name}/{field}"
            if inner.dtype.kind == "O" or inner.dtype.names:
                self.refused[full] = "a cell or a struct within a struct, which is no array"
            else:
                self._add(full, inner.shape, inner.dtype)
                self.handle[full] = inner

    def _open(self) -> Any:
        return {}

    def check(self, name: str) -> None:
        """Read the variable, because only its values show whether it is complete."""
        self.in_memory(name)

    def read(self, name: str, key: Key) -> np.ndarray:
        """A view of the block."""
        return self.in_memory(name)[key]

    def in_memory(self, name: str) -> np.ndarray:
        """The variable, mapped, or read on first use."""
        kept = self.handle
        if name not in kept and name in self._mapped:
            header = self._mapped[name]
            assert self.path is not None
            assert header.offset is not None
            dtype = np.dtype(header.stored)
            kept[name] = np.asarray(
                np.memmap(self.path, dtype, "r", header.offset, header.shape, "F")
            )
        if name not in kept:
            outer, _, field = name.partition("/")
            value = self._read(outer)
            kept[name] = np.asarray(value[0, 0][field]) if field else value
        return kept[name]

    def _read(self, name: str) -> np.ndarray:
        """The variable by scipy, which raises many errors, from TypeError to zlib.error."""
        import scipy.io

        try:
            return np.asarray(scipy.io.loadmat(self.path, variable_names=[name])[name])
        except (MemoryError, OSError):
            raise
        except Exception as error:
            raise ValueError(
                f"{name!r} in {self.path} cannot be read by scipy ({type(error).__name__}: "
                f"{error}). If MATLAB reads it, save it there with the option -v7.3; else the file "
                f"is damaged: copy or download it again."
            ) from None


def _why_no_numbers(header: Header) -> str:
    if header.is_complex:
        return COMPLEX
    shape = " x ".join(map(str, header.shape))
    array = f" of shape {shape}" if shape else ""
    return f"MATLAB's class {header.kind!r}{array}, {_NO_NUMBERS.get(header.kind, _OTHERS)}"


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
            self.refused[name] = f"MATLAB's class {kind!r}, {_NO_NUMBERS.get(kind, _OTHERS)}"
        elif item.attrs.get("MATLAB_empty", 0):
            self.refused[name] = "an empty array"
        else:
            super()._enter(name, item)


def _whole(path: Path) -> Path:
    """The path, if HDF5 can open it."""
    import h5py

    try:
        h5py.File(path, "r").close()
    except OSError as error:
        if error.errno is not None:  # the system refused to read the file: it is not damaged
            raise
        raise ValueError(
            f"{path} is a damaged MATLAB file ({error}). Copy or download it again."
        ) from None
    return path
