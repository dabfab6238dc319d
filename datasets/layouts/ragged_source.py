"""Source of fields on points that differ from sample to sample, from a file of the project."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..containers.store import Store
from ..point_source import PointSource
from ..ragged import starts_of
from ..spec import DatasetSpec


class RaggedSource(PointSource):
    """The fields of a file of `points_file`; the rows of a sample are read alone."""

    def __init__(self, store: Store, spec: DatasetSpec, parameters: Mapping[str, Any]) -> None:
        self.store, self.spec = store, spec
        counts, meshed = self._all("num_points"), "cells" in store.arrays
        num_cells = self._all("num_cells") if meshed else None
        domain: Any = spec.domain
        super().__init__(
            [f for f in spec.fields if f.has_space],
            domain,
            counts,
            num_cells=num_cells,
            corners=store.arrays["cells"].shape[1] if meshed else 0,
            weights="weights" in store.arrays,
            times=spec.times,
            parameters=parameters,
        )
        self._rows = {"point": starts_of(counts)}
        if num_cells is not None:
            self._rows["cell"] = starts_of(num_cells)

    def _all(self, name: str) -> np.ndarray:
        return np.array(self.store.read(name, (slice(None),)))

    def variable(self, name: str, i: int) -> np.ndarray:
        """The rows of sample i, copied."""
        starts = self._rows["cell" if name == "cells" else "point"]
        rows = slice(int(starts[i]), int(starts[i + 1]))
        rest = [slice(None)] * (len(self.store.arrays[name].shape) - 1)
        stored = self.store.read(name, (rows, *rest))
        return np.array(stored, stored.dtype.newbyteorder("="))

    def describe(self) -> dict[str, Any]:
        """Shape, axes, dtype and layout of the variable in which each channel is stored."""
        described: dict[str, Any] = {}
        for f in self.of_points:
            described |= dict.fromkeys(f.channel_names, self._entry(f.name, self.spec.dims(f)))
        positions = self._entry("positions", ("point", "coordinate"))
        return dict.fromkeys(self.names.get("input", ()), positions) | described

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
