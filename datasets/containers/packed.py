"""Packed values by the conventions of netCDF (CF, sections 2.5.1 and 8.1): stored values with a
scale, an offset, fill values that stand for missing ones, and limits outside which values are
missing."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Packing:
    """u = scale · stored + offset, and NaN where the stored value is one of `missing`, or outside
    the limits.

    Attributes:
        dtype: floating type of the values.
        limits: least and largest valid value.
        unpacked_limits: whether the limits are those of u, not of the stored value.
    """

    scale: float
    offset: float
    missing: tuple[Any, ...]
    dtype: np.dtype
    limits: tuple[float, float] = (-math.inf, math.inf)
    unpacked_limits: bool = False

    def unpacked(self, stored: np.ndarray) -> np.ndarray:
        """The values."""
        u = stored.astype(self.dtype)
        if self.scale != 1:
            u *= self.scale
        if self.offset != 0:
            u += self.offset
        if self.missing:
            u[np.isin(stored, self.missing)] = np.nan
        low, high = self.limits
        if low > -math.inf or high < math.inf:
            given = u if self.unpacked_limits else stored
            u[(given < low) | (given > high)] = np.nan
        return u


def limits_of(attributes: Mapping[str, Any]) -> tuple[float, float, bool]:
    """Least and largest valid value by valid_range, valid_min and valid_max, infinite where none is
    stated, and whether they are floating numbers."""
    low, high, kind = -math.inf, math.inf, "i"
    for name in ("valid_range", "valid_min", "valid_max"):
        given = np.ravel(attributes.get(name, []))
        if not given.size or given.dtype.kind not in "biuf":
            continue
        kind = given.dtype.kind
        low = low if name == "valid_max" else float(given[0])
        high = high if name == "valid_min" else float(given[-1])
    return low, high, kind == "f"


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
    low, high, floating = limits_of(attributes)
    if (scale_value, offset_value, missing, low, high) == (1.0, 0.0, [], -math.inf, math.inf):
        return None
    types = [u.dtype for u in (scale, offset) if u is not None]
    dtype = np.result_type(stored, np.float32, *types)
    return Packing(
        scale_value,
        offset_value,
        tuple(np.asarray(x).astype(stored).item() for x in missing),
        dtype,
        (low, high),
        # As the netCDF users' guide says: limits of the wider type are those of unpacked values.
        floating and stored.kind != "f",
    )
