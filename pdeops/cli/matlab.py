"""Matrices and vectors in MATLAB files, also those of version 7.3, which are HDF5."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

# Names under which A and b are kept, in order; `Problem` is the struct of the SuiteSparse
# collection.
MATLAB = {"A": ("A", "Problem.A"), "b": ("b", "Problem.b", "rhs", "B")}


def read_matlab(path: Path, names: Sequence[str]) -> Any:
    """The first of these variables in a file, or the only variable.

    Raises:
        ValueError: none of them is in the file.
    """
    import h5py

    if h5py.is_hdf5(path):
        with h5py.File(path) as file:
            return _pick(_Tree(file), names)
    from scipy.io import loadmat

    content = loadmat(path, spmatrix=False)
    return _pick({k: v for k, v in content.items() if not k.startswith("__")}, names)


def _pick(content: Mapping[str, Any], names: Sequence[str]) -> Any:
    for name in names:
        found: Any = content
        for part in name.split("."):
            found = _member(found, part)
        if found is not None:
            return found
    there = list(content)
    if len(there) == 1 and _member(content[there[0]], "A") is None:
        only = content[there[0]]
        if getattr(only, "dtype", np.dtype(object)).kind in "fiubc":
            return only
    raise ValueError(
        f"none of {', '.join(names)} is in it; it holds {', '.join(there) or 'nothing'}"
    )


def _member(value: Any, name: str) -> Any:
    """A variable of the file, or a field of a struct, None if it is not there."""
    if isinstance(value, Mapping):
        return value.get(name)
    if isinstance(value, np.ndarray) and value.dtype.names and name in value.dtype.names:
        return value[name].ravel()[0] if value.size else None
    return None


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
            return value[()].T
        if "MATLAB_sparse" in value.attrs:
            jc = value["jc"][()].astype("int64")
            shape = (int(value.attrs["MATLAB_sparse"]), len(jc) - 1)
            if "data" not in value:
                return scipy.sparse.csc_array(shape)
            matrix = scipy.sparse.csc_array((value["data"][()], value["ir"][()], jc), shape=shape)
            matrix.check_format(full_check=True)
            return matrix
        return _Tree(value)

    def __iter__(self) -> Any:
        return (name for name in self._group if not name.startswith("#"))

    def __len__(self) -> int:
        return len(list(iter(self)))
