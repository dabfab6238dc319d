"""Packed values by the conventions of netCDF (CF, sections 2.5.1 and 8.1): stored values with a
scale, an offset and fill values that stand for missing ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Packing:
    """u = scale · stored + offset, and NaN where the stored value is one of `missing`.

    Attributes:
        dtype: floating type of the values.
    """

    scale: float
    offset: float
    missing: tuple[Any, ...]
    dtype: np.dtype

    def unpacked(self, stored: np.ndarray) -> np.ndarray:
        """The values."""
        u = stored.astype(self.dtype)
        if self.scale != 1:
            u *= self.scale
        if self.offset != 0:
            u += self.offset
        if self.missing:
            u[np.isin(stored, self.missing)] = np.nan
        return u


def packing_of(attributes: Mapping[str, Any], stored: np.dtype) -> Packing | None:
    """The packing of a variable from its attributes; None if its values are stored as they are."""
    if stored.kind not in "biuf":
        return None
    numbers = {
        name: np.ravel(attributes[name])
        for name in ("scale_factor", "add_offset", "_FillValue", "missing_value")
        if name in attributes and np.asarray(attributes[name]).dtype.kind in "biuf"
    }
    scale, offset = (numbers.get(name) for name in ("scale_factor", "add_offset"))
    missing = [x for name in ("_FillValue", "missing_value") for x in numbers.get(name, ())]
    missing = [x for x in missing if not np.isnan(x)]
    scale_value = 1.0 if scale is None else float(scale[0])
    offset_value = 0.0 if offset is None else float(offset[0])
    if (scale_value, offset_value, missing) == (1.0, 0.0, []):
        return None
    types = [u.dtype for u in (scale, offset) if u is not None]
    dtype = np.result_type(stored, np.float32, *types)
    return Packing(
        scale_value,
        offset_value,
        tuple(np.asarray(x).astype(stored).item() for x in missing),
        dtype,
    )
