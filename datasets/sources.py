"""Where the fields of a data set come from: a file, or memory.

Axes: b batch, c channel, x y space.
"""

import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

Batch = dict[str, Tensor]


class Source(ABC):
    """Where fields come from: samples by number, inputs and targets with a channel axis.

    Attributes:
        inputs, targets: names of the channels.
    """

    inputs: tuple[str, ...]
    targets: tuple[str, ...]

    @abstractmethod
    def __len__(self) -> int:
        """Number of samples."""

    @abstractmethod
    def read(self, indices: np.ndarray, dtype: torch.dtype) -> Batch:
        """{"x": (b, c, *space), "y": ...} for the given samples, contiguous and free to change."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Shape, dtype and layout of each stored variable."""

    def residuals(self) -> np.ndarray | None:
        """The relative residual of each stored solution, where that is known."""
        return None


class TensorSource(Source):
    """Fields in memory, or in a memory-mapped tensor of any dtype and strides."""

    def __init__(
        self, x: Tensor, y: Tensor, inputs: tuple[str, ...], targets: tuple[str, ...]
    ) -> None:
        self.x, self.y, self.inputs, self.targets = x, y, inputs, targets

    def __len__(self) -> int:
        return len(self.x)

    def read(self, indices: np.ndarray, dtype: torch.dtype) -> Batch:
        """The given samples, copied."""
        at = torch.from_numpy(indices)
        return {"x": self.x[at].to(dtype).contiguous(), "y": self.y[at].to(dtype).contiguous()}

    def describe(self) -> dict[str, Any]:
        """Shape, dtype and strides of both tensors."""
        return {
            name: {
                "shape": list(u.shape),
                "dtype": str(u.dtype).removeprefix("torch."),
                "layout": "contiguous" if u.is_contiguous() else "strided",
            }
            for name, u in (("x", self.x), ("y", self.y))
        }


class HDF5Source(Source):
    """Fields of an HDF5 file with one variable (sample, *space) per channel.

    The file is opened in each process that reads, on first use; no handle is pickled or forked
    into use. It is opened with HDF5's default locking, as h5py and xarray open it: HDF5 refuses to
    open a file twice in one process with different locking. Where the file system has no locks,
    set HDF5_USE_FILE_LOCKING=FALSE.
    """

    def __init__(
        self, path: Path, num_samples: int, inputs: tuple[str, ...], targets: tuple[str, ...]
    ) -> None:
        self.path, self.num_samples, self.inputs, self.targets = path, num_samples, inputs, targets
        self._handle: Any = None
        self._owner = 0

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_handle": None, "_owner": 0}

    @property
    def file(self) -> Any:
        """This process's handle."""
        if self._owner != os.getpid():
            import h5py

            self._handle, self._owner = h5py.File(self.path, "r"), os.getpid()
        return self._handle

    def __len__(self) -> int:
        return self.num_samples

    def read(self, indices: np.ndarray, dtype: torch.dtype) -> Batch:
        """The given samples, in any order and with repetitions: one read per variable.

        HDF5 wants increasing numbers, so each sample is read once and put in its places afterwards.
        """
        unique, inverse = np.unique(indices, return_inverse=True)
        neighbours = len(unique) and unique[-1] - unique[0] == len(unique) - 1
        rows = slice(unique[0], unique[-1] + 1) if neighbours else unique
        in_order = np.array_equal(unique, indices)
        batch = {}
        for key, names in (("x", self.inputs), ("y", self.targets)):
            channels = [torch.from_numpy(self.file[name][rows]).to(dtype) for name in names]
            fields = torch.stack(channels, 1) if len(names) > 1 else channels[0].unsqueeze(1)
            batch[key] = fields if in_order else fields[torch.from_numpy(inverse)]
        return batch

    def describe(self) -> dict[str, Any]:
        """Shape, dtype and layout of each variable."""
        variables = [self.file[name] for name in (*self.inputs, *self.targets)]
        return {
            v.name.lstrip("/"): {
                "shape": list(v.shape),
                "dtype": str(v.dtype),
                "layout": f"chunks {v.chunks}" if v.chunks else "contiguous",
            }
            for v in variables
        }

    def residuals(self) -> np.ndarray | None:
        """The stored relative residuals, where the file has them."""
        return self.file["residual"][()] if "residual" in self.file else None
