"""netCDF files of version 4, which are HDF5, and files that xarray reads: netCDF of version 3,
zarr, GRIB and other formats with an xarray engine. Fill values become NaN; scale and offset are
applied."""

import math
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from .hdf5 import HDF5Store, kind_of
from .packed import limits_of
from .store import Array, Key, Store

_PACKING = {"scale_factor": 1.0, "add_offset": 0.0}

DESCRIPTION = "netCDF and any other file that xarray opens"


def recognises(path: Path, head: bytes) -> bool:
    """Whether this is netCDF 3 or 4, or another file that an xarray engine can open."""
    if head.startswith(b"CDF") or kind_of(path, head) == "netcdf":
        return True
    if head.startswith((b"\x89HDF", b"PK\x03\x04", b"\x80")):
        return False
    import xarray

    return any(engine.guess_can_open(path) for engine in xarray.backends.list_engines().values())


def store(path: Path) -> Store:
    """The variables and coordinates, those of groups included.

    Raises:
        ValueError: xarray cannot open it.
    """
    with path.open("rb") if path.is_file() else BytesIO() as file:
        is_hdf5 = file.read(4) == b"\x89HDF"
    return HDF5Store(path) if is_hdf5 else XarrayStore(path)


class XarrayStore(Store):
    """The variables of an `xarray.Dataset`, with the names of their axes."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        with self._open() as data:
            for name, u in data.variables.items():
                chunk = u.encoding.get("chunksizes") or u.encoding.get("preferred_chunks")
                chunk = tuple(chunk[d] for d in u.dims) if isinstance(chunk, dict) else chunk
                layout = f"chunks {tuple(chunk)}" if chunk else "contiguous"
                self.add(
                    Array(
                        str(name),
                        u.shape,
                        u.dtype,
                        layout,
                        dims=tuple(map(str, u.dims)),
                        chunk=tuple(chunk) if chunk else None,
                        units=str(u.attrs["units"]) if "units" in u.attrs else None,
                    )
                )

    def _open(self) -> Any:
        import xarray

        assert self.path is not None
        engine = None
        if self.path.is_file():
            with self.path.open("rb") as file:
                head = file.read(4)
            engine = {b"CDF\x01": "scipy", b"CDF\x02": "scipy"}.get(head)
        try:
            return xarray.open_dataset(self.path, engine=engine, cache=False, decode_times=False)
        except (ValueError, OSError, TypeError, KeyError, IndexError, EOFError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the system refused to read the file: it is not damaged
            raise ValueError(
                f"{self.path} cannot be opened by xarray ({error}). It may be damaged: copy or "
                f"download it again."
            ) from None

    def read(self, name: str, key: Key) -> np.ndarray:
        """The block."""
        variable = self.handle.variables[name]
        u = variable.isel(dict(zip(variable.dims, key, strict=True))).values
        low, high, floating = limits_of(variable.attrs)
        if low == -math.inf and high == math.inf:
            return u
        stored = variable.encoding.get("dtype", u.dtype)
        if not floating or np.dtype(stored).kind == "f":  # limits of the stored values
            scale, offset = (variable.encoding.get(n, v) for n, v in _PACKING.items())
            low, high = sorted((low * scale + offset, high * scale + offset))
        u = u.astype(np.result_type(u.dtype, np.float32))
        u[(u < low) | (u > high)] = np.nan
        return u
