"""Partial data files: locked, resumable, and renamed to the target when complete."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ..layouts import native_file
from ..layouts.variables import with_shared_points
from ..lock import lock
from ..ragged import RaggedSizes
from ..spec import ROLES, DatasetSpec

# Minimum interval between flushes: residuals are written after their fields are on the disk, so a
# killed process loses at most this much work.
FLUSH_SECONDS = 1.0


class PartialFile:
    """The file next to a target that holds the samples finished so far.

    A sample is finished when its residual is in the file; its fields are written first.

    Attributes:
        path: the partial file.
        places: position of each variable in the file.
        residuals: |b - A u| / |b| of the finished samples, NaN for the others.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        import h5py

        self.path, self.descriptor = path, descriptor
        self.places = native_file.variables(path)
        with h5py.File(path, "r", locking=False) as file:
            self.residuals: np.ndarray = file["residual"][()]
        self._pending: list[int] = []
        self._flushed = time.monotonic()

    @property
    def unfinished(self) -> list[int]:
        """Indices of the samples that are not finished."""
        return np.flatnonzero(np.isnan(self.residuals)).tolist()

    @property
    def num_finished(self) -> int:
        """Number of finished samples."""
        return int(np.isfinite(self.residuals).sum())

    def enter(self, finished: dict[int, float]) -> None:
        """Record the residuals of samples whose fields were written."""
        for index, residual in finished.items():
            self.residuals[index] = residual
        self._pending += finished
        if time.monotonic() - self._flushed >= FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Flush the fields to the disk, then write the residuals that mark samples as finished."""
        os.fsync(self.descriptor)
        for index in self._pending:
            residual = np.asarray(self.residuals[index])
            self.places["residual"].write(self.descriptor, index, residual)
        self._pending, self._flushed = [], time.monotonic()

    def finish(self, target: Path) -> None:
        """Rename the file to the target; all samples must be finished."""
        self.flush()
        assert not self.unfinished
        self.publish(target)

    def publish(self, target: Path) -> None:
        """Rename the file to the target without a check of its residuals."""
        os.fsync(self.descriptor)
        os.rename(self.path, target)


@contextmanager
def partial_file(
    target: Path, spec: DatasetSpec, dtype: str, sizes: RaggedSizes | None = None
) -> Iterator[PartialFile]:
    """The locked partial file of a target: a new file, or one left unfinished by an earlier call.

    Args:
        sizes: of samples with points of their own.

    Raises:
        ValueError: the target exists, another process is writing it, or an unfinished file with
            another spec, dtype or code version exists.
        OSError: the disk has no room for the whole file; no file is left behind.
    """
    native_file.prepare(target)
    path = native_file.part_of(target)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        lock(descriptor, path)
        try:
            native_file.refuse_existing(target)  # another process may have finished it meanwhile
            if differences(path, spec, dtype) is None:
                native_file.create(path, spec, dtype, sizes)
            lines = differences(path, spec, dtype)
            if lines:
                raise ValueError(
                    f"{path} holds an unfinished data set of other arguments ({'; '.join(lines)}). "
                    f"Finish it with its own arguments, delete it, or choose another name."
                )
            part = PartialFile(path, descriptor)
            try:
                yield part
            finally:
                part.flush()
        finally:
            if path.exists() and path.stat().st_size == 0:
                path.unlink()
    finally:
        os.close(descriptor)


def differences(path: Path, spec: DatasetSpec, dtype: str) -> list[str] | None:
    """Differences between a partial file and the requested data set; None if it holds no sample.

    It holds no sample while it is empty, or if the process was killed before the structure was
    complete.
    """
    import h5py

    try:
        with h5py.File(path, "r", locking=False) as file:
            if "residual" not in file:
                return None
            there = dict(file.attrs)
            plain = with_shared_points(json.loads(there["spec"]), lambda name: file[name][()])
            stored = {str(u.dtype) for u in file.values() if u.attrs.get("role") in ROLES}
    except OSError:
        return None
    here = native_file.attributes(spec)
    lines = [
        f"{key}: {here[key]} here, {there.get(key)} there"
        for key in ("format_version", "code_version")
        if here[key] != there.get(key)
    ]
    if here["format_version"] != there.get("format_version"):
        return lines  # the spec of another version may differ in form
    lines = spec.difference(DatasetSpec.from_dict(plain)) + lines
    return lines + [f"dtype: {dtype} here, {', '.join(stored)} there"] * (stored != {dtype})
