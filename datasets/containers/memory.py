"""Arrays in memory as a store: NumPy arrays, tensors, xarray's DataArrays, lists."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .store import Array, Key, Store, described, why_not


class MemoryStore(Store):
    """Arrays in memory or memory-mapped, in any form that `array_of` accepts.

    A DataArray brings the names of its axes, its units and its coordinates, which are arrays of
    their own unless the mapping has one of this name.
    """

    def __init__(self, arrays: Mapping[str, Any], path: Path | None = None) -> None:
        super().__init__(path)
        self._arrays: dict[str, np.ndarray] = {}
        for name, values in {**_coordinates(arrays), **arrays}.items():
            self._enter(str(name), values)

    def _enter(self, name: str, values: Any) -> None:
        try:
            u = array_of(values)
        except ValueError as error:
            self.refused[name] = str(error)
            return
        reason = why_not(u.dtype)
        if u.dtype.kind == "O":
            reason = "Python objects, which are no numbers; give an array of numbers"
        if reason:
            self.refused[name] = reason
            return
        self._arrays[name] = u
        self.arrays[name] = _labelled(described(name, u), values)

    def _open(self) -> Any:
        return self._arrays

    def in_memory(self, name: str) -> np.ndarray:
        """The array."""
        return self.handle[name]

    def read(self, name: str, key: Key) -> np.ndarray:
        """The block, as a view if possible."""
        return np.asarray(self.handle[name][key])


def array_of(values: Any) -> np.ndarray:
    """The values as a NumPy array: without a copy where the form allows it.

    A tensor is detached and moved to the CPU; bfloat16 becomes float32, which holds every value of
    it. Masked entries become NaN. Objects that are numbers, as in a column of pandas, become
    float64.

    Raises:
        ValueError: the values are no array: rows of different length, or a sparse tensor.
    """
    if isinstance(values, torch.Tensor):
        if values.layout is not torch.strided:
            raise ValueError("a sparse tensor; make it dense")
        dense = values.detach().cpu().resolve_conj().resolve_neg()
        return dense.float().numpy() if dense.dtype is torch.bfloat16 else dense.numpy()
    if np.ma.isMaskedArray(values):
        if not np.ma.is_masked(values):
            return np.asarray(values.data)
        floats = np.result_type(values.dtype, np.float32)
        return np.asarray(np.ma.filled(values.astype(floats), np.nan))
    try:
        u = np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ValueError(f"no array of numbers ({str(error).splitlines()[0]})") from None
    if u.dtype.kind == "O" and u.size > 0 and all(_is_real(x) for x in u.flat):
        return u.astype(np.float64)
    return u


def _is_real(x: Any) -> bool:
    return isinstance(x, int | float | np.number | np.bool) and not isinstance(x, complex)


def _is_labelled(values: Any) -> bool:
    """Whether this is an xarray.DataArray, without importing xarray."""
    return all(hasattr(values, name) for name in ("dims", "coords", "attrs", "isel"))


def _labelled(array: Array, values: Any) -> Array:
    """The description with the names of the axes and the units of a DataArray."""
    if not _is_labelled(values):
        return array
    units = values.attrs.get("units")
    return replace(array, dims=tuple(map(str, values.dims)), units=units and str(units))


def _coordinates(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The coordinates of all DataArrays by name.

    Raises:
        ValueError: two arrays have different coordinates of the same name.
    """
    found: dict[str, Any] = {}
    names = set(arrays)  # `in` of an xarray.Dataset is true for its coordinates too
    for values in filter(_is_labelled, arrays.values()):
        for name, u in values.coords.items():
            if name in names:
                continue
            before = found.setdefault(name, u)
            if before.shape != u.shape or not np.array_equal(before.values, u.values):
                raise ValueError(
                    f"The arrays have different coordinates {name!r}. Interpolate them to the same "
                    f"nodes, or rename one coordinate."
                )
    return found
