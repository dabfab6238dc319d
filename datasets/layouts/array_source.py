"""Source of fields from the arrays of a file."""
# Axes: b batch, t time, c channel, *space nodes.

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..containers.store import Store
from ..source import Source
from .chosen import Chosen, Selection

# NumPy converts stored values directly to these types; torch converts to all others.
_NUMPY: dict[torch.dtype, np.dtype] = {
    torch.float32: np.dtype(np.float32),
    torch.float64: np.dtype(np.float64),
}


class ArraySource(Source):
    """The selected arrays of a file, each with its own sample axis."""

    def __init__(self, store: Store, selection: Selection) -> None:
        self.store, self.selection = store, selection
        self.names, self.times = selection.names, selection.times
        self._of = {role: selection.of(role) for role in selection.names}
        self.evolving = frozenset(c.role for c in selection.chosen if c.num_frames is not None)
        self.vectors = tuple(c.field for c in selection.chosen if c.components)
        self.parameters = selection.parameters

    def __len__(self) -> int:
        return self.selection.num_samples

    @property
    def together(self) -> int:
        """The largest number of samples that one chunk of the file holds."""
        chosen = self.selection.chosen
        chunks = [(self.store.arrays[c.name].chunk, c.sample_axis) for c in chosen]
        return max(chunk[axis] if chunk else 1 for chunk, axis in chunks)

    def fields(
        self, role: str, indices: np.ndarray, dtype: torch.dtype
    ) -> Float[Tensor, "b *t_c_space"]:
        """The given samples, in any order and with repetitions, with one read per array."""
        return self._joined(
            ((c, self.store.take(c.name, c.sample_axis, indices)) for c in self.selection.of(role)),
            dtype,
        )

    def windows(
        self, indices: np.ndarray, frames: np.ndarray, n_in: int, dtype: torch.dtype
    ) -> tuple[Float[Tensor, "b n_in c *space"], Float[Tensor, "b n_out c *space"]]:
        """The given frames of the states. Compressed data are read once and then split into input
        and target."""
        states = self._of["state"]
        if all(self.store.in_memory(c.name) is not None for c in states):
            return (
                self._frames(states, indices, frames[:, :n_in], dtype),
                self._frames(states, indices, frames[:, n_in:], dtype),
            )
        u = self._frames(states, indices, frames, dtype)
        return u[:, :n_in].contiguous(), u[:, n_in:].contiguous()

    def _frames(
        self, states: Iterable[Chosen], indices: np.ndarray, frames: np.ndarray, dtype: torch.dtype
    ) -> Float[Tensor, "b k c *space"]:
        def read(c: Chosen) -> np.ndarray:
            axes = (c.sample_axis, c.axes.index("time"))
            return self.store.take_frames(c.name, axes, indices, frames)

        return self._joined(((c, read(c)) for c in states), dtype)

    def _joined(self, read: Iterable[tuple[Chosen, np.ndarray]], dtype: torch.dtype) -> Tensor:
        """The values of several arrays, concatenated along the channel axis."""
        arrays = [c.fields(values, _NUMPY.get(dtype)) for c, values in read]
        tensors = [torch.from_numpy(array).to(dtype) for array in arrays]
        if len(tensors) == 1:
            return tensors[0]
        return torch.cat(tensors, -len(self.selection.space) - 1)

    def describe(self) -> dict[str, Any]:
        """Shape, axes, dtype and layout of the array in which each channel is stored."""
        described: dict[str, Any] = {}
        for chosen in self.selection.chosen:
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
        """The stored relative residuals; None if the file has none."""
        if "residual" not in self.store.arrays:
            return None
        return np.array(self.store.read("residual", (slice(None),)))
