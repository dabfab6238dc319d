"""Source of fields on points that differ from sample to sample, from a file of the project."""
# Axes: b batch, t time, c channel, d coordinates, n points.

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...batch import padded
from ...domain import Points
from ..containers.memory import MemoryStore
from ..containers.store import Store
from ..ragged import starts_of
from ..source import Source
from ..spec import DatasetSpec, Field
from .chosen import SPACE


class RaggedSource(Source):
    """The fields of a file of `points_file`, in memory if the store is.

    The rows of a sample are read alone. The samples of one read are padded with zeros to the size
    of the largest, and have a mask if they differ in size. Without fields of role "input", the
    coordinates are the input, one channel each.
    """

    counts: np.ndarray

    def __init__(self, store: Store, spec: DatasetSpec, parameters: Mapping[str, Any]) -> None:
        self.store, self.spec, self.parameters = store, spec, parameters
        domain: Any = spec.domain
        self._domain: Points = domain
        self.times = spec.times
        fields = [f for f in spec.fields if f.has_space]
        roles = dict.fromkeys(f.role for f in fields)
        self._of: dict[str, list[Field]] = {r: [f for f in fields if f.role == r] for r in roles}
        self.names = {
            r: tuple(n for f in of for n in f.channel_names) for r, of in self._of.items()
        }
        if not {"input", "state"} & set(self.names):
            d = self._domain.num_coordinates
            coordinates = SPACE[:d] if d <= len(SPACE) else [f"x{i}" for i in range(d)]
            self._of["input"], self.names["input"] = [], tuple(coordinates)
        self.evolving = frozenset(f.role for f in fields if f.has_time)
        self.vectors = tuple(f.name for f in fields if f.channels)
        self.counts = self._all("num_points")
        self._points = starts_of(self.counts)
        has_cells = "cells" in store.arrays
        self._cells = starts_of(self._all("num_cells")) if has_cells else None

    def _all(self, name: str) -> np.ndarray:
        return np.array(self.store.read(name, (slice(None),)))

    def __len__(self) -> int:
        return len(self.counts)

    def _rows(self, name: str, i: int) -> np.ndarray:
        """The rows (n, ...) of a variable of points that belong to sample i, copied."""
        rows = slice(int(self._points[i]), int(self._points[i + 1]))
        shape = self.store.arrays[name].shape
        stored = self.store.read(name, (rows, *[slice(None)] * (len(shape) - 1)))
        return np.array(stored, stored.dtype.newbyteorder("="))

    def _sample(self, role: str, i: int, dtype: torch.dtype) -> Tensor:
        """The channels ([t,] c, n) of a role."""
        if not self._of[role]:
            return self.points(i).nodes(dtype)
        parts = []
        for f in self._of[role]:
            rows = torch.from_numpy(self._rows(f.name, i))
            parts.append((rows if f.channels else rows[..., None]).movedim(0, -1).to(dtype))
        return torch.cat(parts, dim=-2)

    def fields(
        self, role: str, indices: np.ndarray, dtype: torch.dtype
    ) -> Float[Tensor, "b *t_c_n"]:
        """The given samples, padded with zeros."""
        return padded([self._sample(role, int(i), dtype) for i in indices])

    def windows(
        self, indices: np.ndarray, frames: np.ndarray, n_in: int, dtype: torch.dtype
    ) -> tuple[Float[Tensor, "b n_in c n"], Float[Tensor, "b n_out c n"]]:
        """The given frames of the states, padded with zeros."""
        chosen = [
            self._sample("state", int(i), dtype)[torch.from_numpy(row)]
            for i, row in zip(indices, frames, strict=True)
        ]
        return padded([u[:n_in] for u in chosen]), padded([u[n_in:] for u in chosen])

    def others(self, indices: np.ndarray) -> dict[str, Any]:
        """Positions (b, d, n); mask (b, n) if the samples differ in size; weights (b, n) and
        parameters (b, p) if the file has them; in float64."""
        clouds = [self.points(int(i), cells=False) for i in indices]
        members: dict[str, Any] = {"positions": padded([p.nodes() for p in clouds])}
        counts = torch.from_numpy(self.counts[indices])
        if (counts != counts[0]).any():
            members["mask"] = torch.arange(int(counts.max())) < counts[:, None]
        if "weights" in self.store.arrays:
            members["weights"] = padded([p.weights for p in clouds if p.weights is not None])
        return members | self._parameters(indices)

    def points(self, i: int, *, cells: bool = True) -> Points:
        """The points of sample i, with weights and cells if the file has them."""
        known: dict[str, Any] = {}
        if "weights" in self.store.arrays:
            known["weights"] = torch.from_numpy(self._rows("weights", i))
        if cells and self._cells is not None:
            known["cells"] = self._cells_of(i)
        d, volume = self._domain.num_coordinates, self._domain.declared_volume
        positions = torch.from_numpy(self._rows("positions", i)).mT
        return Points(d, positions, volume=volume, box=self._domain.box, **known)

    def _cells_of(self, i: int) -> Int[Tensor, "num_cells corners"]:
        assert self._cells is not None
        rows = slice(int(self._cells[i]), int(self._cells[i + 1]))
        stored = self.store.read("cells", (rows, slice(None)))
        return torch.from_numpy(np.array(stored, np.int64))

    def in_memory(self, kept: np.ndarray, dtype: torch.dtype) -> Source:
        """The given samples in memory, in the precision of the file."""
        names = [f.name for of in self._of.values() for f in of]
        of_points = [*names, "positions", *(["weights"] if "weights" in self.store.arrays else [])]
        held = {n: np.concatenate([self._rows(n, int(i)) for i in kept]) for n in of_points}
        held["num_points"] = self.counts[kept]
        if self._cells is not None:
            held["cells"] = np.concatenate([self._cells_of(int(i)).numpy() for i in kept])
            held["num_cells"] = np.diff(self._cells)[kept]
        if "residual" in self.store.arrays:
            held["residual"] = self._all("residual")[kept]
        parameters = {
            n: p[kept] if isinstance(p, np.ndarray) else p for n, p in self.parameters.items()
        }
        return RaggedSource(MemoryStore(held), self.spec, parameters)

    def describe(self) -> dict[str, Any]:
        """Shape, axes, dtype and layout of the variable in which each channel is stored."""
        described: dict[str, Any] = {}
        for role, of in self._of.items():
            for f in of:
                described |= dict.fromkeys(f.channel_names, self._entry(f.name, self.spec.dims(f)))
            if not of:
                entry = self._entry("positions", ("point", "coordinate"))
                described |= dict.fromkeys(self.names[role], entry)
        return described

    def _entry(self, name: str, dims: tuple[str, ...]) -> dict[str, Any]:
        array = self.store.arrays[name]
        return {
            "shape": list(array.shape),
            "axes": ",".join(dims),
            "dtype": str(array.dtype),
            "layout": array.layout,
        }

    def residuals(self) -> np.ndarray | None:
        """The stored relative residuals; None if the file has none."""
        return self._all("residual") if "residual" in self.store.arrays else None
