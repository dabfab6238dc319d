"""Where the fields of a data set come from: a file, or memory.

Axes: b batch, c channel, x y space.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...batch import Batch
from ..containers.stores import Store
from .selection import SPACE, Chosen, Selection

# Stored numbers go straight to these; to any other type through torch.
_NUMPY: dict[torch.dtype, np.dtype] = {
    torch.float32: np.dtype(np.float32),
    torch.float64: np.dtype(np.float64),
}


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
        """Input and target of the given samples, contiguous and free to change."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Of each channel: shape, axes, dtype and layout of what it is stored in."""

    @property
    def together(self) -> int:
        """How many neighbours, from a multiple of this number on, are best read in one go."""
        return 1

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
        return Batch(
            input=self.x[at].to(dtype).contiguous(), target=self.y[at].to(dtype).contiguous()
        )

    def describe(self) -> dict[str, Any]:
        """Of each channel: shape, axes, dtype and layout of the tensor it is part of."""
        described: dict[str, Any] = {}
        for u, names in ((self.x, self.inputs), (self.y, self.targets)):
            entry = {
                "shape": list(u.shape),
                "axes": ",".join(("sample", "channel", *SPACE[: u.ndim - 2])),
                "dtype": str(u.dtype).removeprefix("torch."),
                "layout": "contiguous" if u.is_contiguous() else "strided",
            }
            described |= dict.fromkeys(names, entry)
        return described


class ArraySource(Source):
    """Chosen arrays of a file: the channels of x and of y, each cut into samples along its own
    axis."""

    def __init__(self, store: Store, selection: Selection) -> None:
        self.store, self.selection = store, selection
        self.inputs, self.targets = selection.input_names, selection.target_names

    def __len__(self) -> int:
        return self.selection.num_samples

    @property
    def together(self) -> int:
        """The largest number of samples that one chunk of the file holds."""
        chosen = (*self.selection.inputs, *self.selection.targets)
        chunks = [(self.store.arrays[c.name].chunk, c.sample_axis) for c in chosen]
        return max(chunk[axis] if chunk else 1 for chunk, axis in chunks)

    def read(self, indices: np.ndarray, dtype: torch.dtype) -> Batch:
        """The given samples, in any order and with repetitions: one read per array."""

        def fields(chosen: Sequence[Chosen]) -> Tensor:
            arrays = [
                c.fields(self.store.take(c.name, c.sample_axis, indices), _NUMPY.get(dtype))
                for c in chosen
            ]
            tensors = [torch.from_numpy(array).to(dtype) for array in arrays]
            return torch.cat(tensors, 1) if len(tensors) > 1 else tensors[0]

        return Batch(input=fields(self.selection.inputs), target=fields(self.selection.targets))

    def describe(self) -> dict[str, Any]:
        """Of each channel: shape, axes, dtype and layout of the array that it is stored in."""
        described: dict[str, Any] = {}
        for chosen in (*self.selection.inputs, *self.selection.targets):
            array = self.store.arrays[chosen.name]
            entry = {
                "shape": list(array.shape),
                "axes": ",".join(chosen.axes),
                "dtype": str(array.dtype),
                "layout": array.layout,
            }
            described |= dict.fromkeys(chosen.channels, entry)
        return described

    def residuals(self) -> np.ndarray | None:
        """The stored relative residuals, where the file has them."""
        if "residual" not in self.store.arrays:
            return None
        return np.array(self.store.read("residual", (slice(None),)))
