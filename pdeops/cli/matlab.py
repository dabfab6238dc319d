"""Matrices and vectors in MATLAB files, also those of version 7.3, which are HDF5."""

import re
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

# Names under which A and b are kept, in order; `Problem` is the struct of the SuiteSparse
# collection.
MATLAB = {"A": ("A", "Problem.A"), "b": ("b", "Problem.b", "rhs", "B")}


def read_matlab(path: Path, names: Sequence[str], *, only: bool = True) -> Any:
    """The first of these variables in a file, or the only variable unless `only` is False.

    Raises:
        ValueError: none of them is in the file, or it does not hold numbers.
    """
    import h5py

    if h5py.is_hdf5(path):
        with h5py.File(path) as file:
            return _pick(_Tree(file), names, only)
    from scipy.io import loadmat

    content = loadmat(path, spmatrix=False)
    return _pick({k: v for k, v in content.items() if not k.startswith("__")}, names, only)


def is_version_4(head: bytes) -> bool:
    """Whether a file that begins with these bytes is a MATLAB file of version 4, which has no
    magic number: five int32 (type, rows, columns, imaginary, length of the name) and a name."""
    for order, digit in (("<", 0), (">", 1)):
        if len(head) < 20:
            return False
        kind, rows, columns, imaginary, length = struct.unpack(f"{order}5i", head[:20])
        machine, zero, precision, table = (kind // 10**k % 10 for k in (3, 2, 1, 0))
        plausible = 0 <= kind < 10**4 and machine == digit and not zero
        plausible &= precision <= 5 and table <= 2 and imaginary in (0, 1)
        plausible &= min(rows, columns) >= 0 and 1 < length <= len(head) - 20
        if plausible and re.fullmatch(rb"[A-Za-z]\w*\0", head[20 : 20 + length]):
            return True
    return False


def _pick(content: Mapping[str, Any], names: Sequence[str], only: bool) -> Any:
    for name in names:
        found: Any = content
        for part in name.split("."):
            found = _member(found, part)
        if found is not None:
            return _numbers(found, name)
    there = list(content)
    if only and len(there) == 1 and _member(content[there[0]], "A") is None:
        return _numbers(content[there[0]], there[0])
    raise ValueError(
        f"none of {', '.join(names)} is in it; it holds {', '.join(there) or 'nothing'}"
    )


def _numbers(value: Any, name: str) -> Any:
    """The value, if it is a sparse matrix or an array of numbers."""
    dtype = getattr(value, "dtype", None)
    if dtype is not None and dtype.kind in "fiubc":
        return value
    what = {"O": "a cell array", "U": "text", "S": "text"}
    found = "a struct" if dtype is None else what.get(dtype.kind, "a struct")
    raise ValueError(f"its variable {name} is {found}; a matrix or vector of numbers is needed")


def _member(value: Any, name: str) -> Any:
    """A variable of the file, or a field of a struct, None if it is not there."""
    if isinstance(value, Mapping):
        return value.get(name)
    if isinstance(value, np.ndarray) and value.dtype.names and name in value.dtype.names:
        return value[name].ravel()[0] if value.size else None
    return None


def _complex(values: Any) -> Any:
    """Complex numbers, which MATLAB 7.3 stores as pairs."""
    if values.dtype.names == ("real", "imag"):
        return values["real"] + 1j * values["imag"]
    return values


class _Tree(Mapping[str, Any]):
    """A group of an HDF5 file of MATLAB 7.3: arrays are stored transposed, sparse matrices as
    groups of data, ir and jc with the number of rows as an attribute."""

    def __init__(self, group: Any) -> None:
        self._group = group

    def __getitem__(self, name: str) -> Any:
        import h5py
        import scipy.sparse

        value = self._group[name]
        if isinstance(value, h5py.Dataset):
            if value.attrs.get("MATLAB_class") == b"char":
                return np.array("".join(map(chr, value[()].ravel())))
            array = _complex(value[()])
            # Other programs write HDF5 too, in C order.
            matlab = "MATLAB_class" in value.attrs or value.file.userblock_size
            return array.T if matlab else array
        if "MATLAB_sparse" in value.attrs:
            jc = value["jc"][()].astype("int64")
            shape = (int(value.attrs["MATLAB_sparse"]), len(jc) - 1)
            if "data" not in value:
                return scipy.sparse.csc_array(shape)
            matrix = scipy.sparse.csc_array(
                (_complex(value["data"][()]), value["ir"][()], jc), shape=shape
            )
            matrix.check_format(full_check=True)
            return matrix
        return _Tree(value)

    def __iter__(self) -> Any:
        return (name for name in self._group if not name.startswith("#"))

    def __len__(self) -> int:
        return len(list(iter(self)))
