"""HDF5 files that h5py opens, except MATLAB files (`mat`) and netCDF files (`netcdf`)."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from .buffers import Buffers
from .hdf5_objects import H5PY_ERRORS, objects, opened, why_unreadable
from .packed import Packing, packing_of
from .store import Array, Key, Store, entries, frames_of

DESCRIPTION = "HDF5 files, those of pdeops and others"

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_MATLAB = b"MATLAB 7.3 MAT-file"  # in the 512 bytes before the HDF5 signature


def recognises(path: Path, head: bytes) -> bool:
    """Whether this is an HDF5 file of no other format, or a damaged one; `store` reports the
    damage."""
    return kind_of(path, head) in ("pdeops", "plain", "damaged")


def store(path: Path) -> "HDF5Store":
    """All datasets of the file; datasets in groups are named 'group/name'.

    Raises:
        ValueError: the file is damaged.
    """
    import h5py

    try:
        h5py.File(path, "r").close()
    except OSError as error:
        if error.errno is not None:  # the system refused to read the file: it is not damaged
            raise
        raise ValueError(
            f"{path} is a damaged HDF5 file ({error}). Copy, download or generate it again."
        ) from None
    return HDF5Store(path)


def kind_of(path: Path, head: bytes) -> str | None:
    """Kind of an HDF5 file: "pdeops", "mat" (MATLAB 7.3), "netcdf", "plain" or "damaged"; None if
    the file is not HDF5."""
    matlab = head.startswith(_MATLAB)
    if not (matlab or head.startswith(_SIGNATURE)):
        return None
    import h5py

    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") == "pdeops":
                return "pdeops"
            items = [opened(file, name) for name in file]
            attributes = [set(item.attrs) for item in items if not isinstance(item, str)]
    except H5PY_ERRORS as error:
        if getattr(error, "errno", None) is not None:
            raise
        return "mat" if matlab else "damaged"
    if matlab or any("MATLAB_class" in names for names in attributes):
        return "mat"
    return "netcdf" if any({"CLASS", "DIMENSION_LIST"} & names for names in attributes) else "plain"


class HDF5Store(Store):
    """The datasets of an HDF5 file; datasets in groups are named 'group/name'.

    Contiguous datasets are memory-mapped, because h5py's selections cost four times as much as the
    copy itself. Chunked datasets are read by h5py. The file is opened with HDF5's default locking,
    as in h5py and xarray, because HDF5 refuses to open a file twice in one process with different
    locking. On a file system without locks, set HDF5_USE_FILE_LOCKING=FALSE.

    Attributes:
        reverse: whether the axes are stored in reverse order, as in MATLAB files.
    """

    # Maximum number of objects listed; some files have a group per sample (20,000 groups).
    MAX_OBJECTS = 1000

    def __init__(self, path: Path, *, reverse: bool = False) -> None:
        super().__init__(path)
        self.reverse = reverse
        self._packed: dict[str, Packing] = {}
        try:
            self._list()
        except H5PY_ERRORS as error:
            if getattr(error, "errno", None) is not None:
                raise  # the system refused to read the file: it is not damaged
            raise ValueError(
                f"{path} is a damaged HDF5 file ({error}). Copy, download or generate it again."
            ) from None
        self._mapped: dict[str, np.ndarray | None] = {}
        self._buffers = Buffers()

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_mapped": {}}

    def _list(self) -> None:
        """Read the attributes of the file and the headers of its datasets."""
        with self._open() as file:
            if "format" in file.attrs:
                self.attributes = dict(file.attrs)
            for name, item in objects(file, self.MAX_OBJECTS):
                self._open_object(name, item)

    def _open_object(self, name: str, item: Any) -> None:
        """Add a dataset, or the reason why it cannot be read."""
        try:
            reason = item if isinstance(item, str) else why_unreadable(item)
            if reason is None:
                self._enter(name, item)
                return
        except H5PY_ERRORS as error:
            reason = f"a dataset whose header HDF5 cannot read ({error})"
        self.refused[name] = reason

    def attributes_of(self, path: str) -> dict[str, Any]:
        """The attributes of a group or a dataset; {} if there is no such object.

        Raises:
            ValueError: HDF5 cannot read an attribute.
        """
        item = opened(self.handle, path)
        if isinstance(item, str):
            return {}
        try:
            return dict(item.attrs)
        except H5PY_ERRORS as error:
            raise ValueError(
                f"The attributes of {path} in {self.path} cannot be read ({error}). Copy, download "
                f"or generate the file again."
            ) from None

    def members(self, path: str = "/") -> list[str]:
        """Names of the objects in a group, without opening them; [] if there is no such group.

        Raises:
            ValueError: HDF5 cannot list the group.
        """
        try:
            item = opened(self.handle, path)
            return list(item) if hasattr(item, "keys") else []
        except H5PY_ERRORS as error:
            raise ValueError(
                f"The group {path} of {self.path} is damaged ({error}). Copy, download or generate "
                f"the file again."
            ) from None

    def locate(self, name: str) -> None:
        """Add the dataset at this path, if the file has one beyond the first MAX_OBJECTS."""
        item = opened(self.handle, name)
        if hasattr(item, "shape"):
            self._open_object(name, item)

    def _enter(self, name: str, item: Any) -> None:
        order = slice(None, None, -1 if self.reverse else 1)
        packing = None if self.attributes else packing_of(item.attrs, item.dtype)
        if packing:
            self._packed[name] = packing
        units = item.attrs.get("units")
        self.add(
            Array(
                name,
                tuple(item.shape[order]),
                packing.dtype if packing else item.dtype,
                self._layout(item, packing is not None),
                dims=_dimension_names(item),
                chunk=tuple(item.chunks[order]) if item.chunks else None,
                first_axis_fastest=self.reverse,
                units=units.decode() if isinstance(units, bytes) else units and str(units),
            )
        )

    def _layout(self, item: Any, packed: bool) -> str:
        order = slice(None, None, -1 if self.reverse else 1)
        layout = f"chunks {item.chunks[order]}" if item.chunks else "contiguous"
        layout += f", {item.compression}" if item.compression else ""
        layout += ", axes reversed on the disk" if self.reverse and item.ndim > 1 else ""
        return f"{layout}, packed as {item.dtype}" if packed else layout

    def _open(self) -> Any:
        import h5py

        return h5py.File(self.path, "r")

    def release(self) -> None:
        """Close the file; memory maps stay."""
        if self._owner == os.getpid():
            self._handle.close()
        super().release()

    def read(self, name: str, key: Key) -> np.ndarray:
        """The block."""
        mapped = self.in_memory(name)
        if mapped is not None:
            return mapped[key]
        try:
            order = slice(None, None, -1 if self.reverse else 1)
            stored = np.asarray(self.handle[name][key[order]])
        except H5PY_ERRORS as error:
            raise ValueError(
                f"{name!r} in {self.path} is damaged ({error}). Copy or download the file again."
            ) from None
        packing = self._packed.get(name)
        u = packing.unpacked(stored) if packing else stored
        return u.T if self.reverse else u

    def take(self, name: str, axis: int, indices: np.ndarray) -> np.ndarray:
        """The given entries along one axis, copied from the mapped file or read by h5py."""
        mapped = self.in_memory(name)
        if mapped is None:
            return super().take(name, axis, indices)
        return (
            self._rows(mapped, indices)
            if axis == 0 and _plain(mapped)
            else entries(mapped, axis, indices)
        )

    def take_frames(
        self, name: str, axes: tuple[int, int], indices: np.ndarray, frames: np.ndarray
    ) -> np.ndarray:
        """The given frames, copied from the mapped file or read by h5py."""
        mapped = self.in_memory(name)
        if mapped is None:
            return super().take_frames(name, axes, indices, frames)
        if axes != (0, 1) or not _plain(mapped):
            return frames_of(mapped, axes, indices, frames)
        rows = indices[:, None] * mapped.shape[1] + frames
        flat = mapped.reshape(-1, *mapped.shape[2:])
        return self._rows(flat, rows.ravel()).reshape(*frames.shape, *mapped.shape[2:])

    def _rows(self, values: np.ndarray, indices: np.ndarray) -> np.ndarray:
        out = self._buffers.empty((len(indices), *values.shape[1:]), values.dtype)
        return np.take(values, indices, 0, out=out, mode="clip")  # other modes copy twice

    def in_memory(self, name: str) -> np.ndarray | None:
        """The memory-mapped array; None if only HDF5 can read it."""
        if name not in self._mapped:
            try:
                packed = name in self._packed
                self._mapped[name] = None if packed else _mapped(self.handle[name])
            except H5PY_ERRORS as error:
                raise ValueError(
                    f"{name!r} in {self.path} is damaged ({error}). Copy or download the file "
                    f"again."
                ) from None
        mapped = self._mapped[name]
        return mapped.T if mapped is not None and self.reverse else mapped


def _dimension_names(dataset: Any) -> tuple[str, ...] | None:
    """Names of the axes: of their dimension scales, else their labels; None if no axis has one.

    An axis without a name among others is called by its number, as in "axis 2".
    """
    if not {"DIMENSION_LIST", "DIMENSION_LABELS"} & set(dataset.attrs):
        return None
    names = list(map(_dimension_name, dataset.dims))
    if not any(names):
        return None
    return tuple(name or f"axis {i}" for i, name in enumerate(names))


def _dimension_name(axis: Any) -> str:
    """The name of the scale of an axis, else its label; "" if it has none, or a scale that is no
    longer in the file."""
    try:
        name = axis[0].name if len(axis) else None
    except H5PY_ERRORS:
        name = None
    return str(name).rpartition("/")[2] if name else axis.label


def _plain(mapped: np.ndarray) -> bool:
    """Whether rows can be copied directly: aligned and C-contiguous."""
    return mapped.flags.aligned and mapped.flags.c_contiguous


def _mapped(dataset: Any) -> np.ndarray | None:
    """A memory map of a contiguous dataset; None if its storage differs from NumPy's."""
    import h5py

    offset = dataset.id.get_offset()
    stored_alike = dataset.id.get_type() == h5py.h5t.py_create(dataset.dtype)
    elsewhere = dataset.external or dataset.is_virtual
    if offset is None or elsewhere or not stored_alike or dataset.dtype.kind not in "iuf":
        return None
    if 0 in dataset.shape or dataset.ndim == 0:
        return None
    # An external link leads to another file than that of the store.
    path = dataset.file.filename
    return np.asarray(np.memmap(path, dataset.dtype, "r", offset, dataset.shape))
