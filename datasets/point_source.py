"""Sources of fields on points that differ from sample to sample."""
# Axes: b batch, t time, c channel, d coordinates, n points, m cells.

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..batch import padded
from ..domain import Points
from ..nearest import did_you_mean
from .point_checks import check_cloud
from .ragged import RaggedSizes
from .source import Source
from .spec import Field

COORDINATES = ("x", "y", "z")


class PointSource(Source):
    """Fields of samples with points of their own; a subclass reads one variable of one sample.

    The samples of one read are padded with zeros to the size of the largest, and have a mask if
    they differ in size. Without fields of role "input", the coordinates are the input, one channel
    each.

    Args:
        fields: with values at the points.
        domain: `Points` without positions.
        counts: (n,) number of points of each sample.
        num_cells: (n,) number of cells of each sample; None without meshes.
        corners: number of corners of a cell.
        weights: whether quadrature weights are known.
        times, parameters: as in `Source`.
    """

    counts: np.ndarray

    def __init__(
        self,
        fields: Sequence[Field],
        domain: Points,
        counts: np.ndarray,
        *,
        num_cells: np.ndarray | None = None,
        corners: int = 0,
        weights: bool = False,
        times: Sequence[float] = (),
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        self.domain, self.counts = domain, counts
        self.num_cells, self.corners, self.weights = num_cells, corners, weights
        self.times, self.parameters = tuple(times), dict(parameters or {})
        self._hold(fields)

    @abstractmethod
    def variable(self, name: str, i: int) -> np.ndarray:
        """The rows of sample i of a field (n, [t,] [c]), of "positions" (n, d), "weights" (n,) or
        "cells" (m, corners), in native byte order."""

    @cached_property
    def names(self) -> dict[str, tuple[str, ...]]:  # type: ignore[override]
        """Role -> names of its channels."""
        roles = dict.fromkeys(f.role for f in self.of_points)
        named = {
            role: tuple(n for f in self.of_role(role) for n in f.channel_names) for role in roles
        }
        if not {"input", "state"} & named.keys():
            d = self.domain.num_coordinates
            numbered = tuple(f"x{i}" for i in range(d))
            named["input"] = COORDINATES[:d] if d <= len(COORDINATES) else numbered
        return named

    def of_role(self, role: str) -> list[Field]:
        """The fields of a role; none for inputs that are the coordinates."""
        return [f for f in self.of_points if f.role == role]

    def __len__(self) -> int:
        return len(self.counts)

    def sizes(self, samples: np.ndarray) -> RaggedSizes:
        """The sizes of these samples."""
        cells = None if self.num_cells is None else self.num_cells[samples]
        return RaggedSizes(self.counts[samples], cells, self.corners, self.weights)

    def _sample(self, role: str, i: int, dtype: torch.dtype) -> Tensor:
        """The channels ([t,] c, n) of a role."""
        if not self.of_role(role):
            return torch.from_numpy(self.variable("positions", i)).to(dtype).mT.contiguous()
        parts = []
        for f in self.of_role(role):
            rows = torch.from_numpy(np.ascontiguousarray(self.variable(f.name, i)))
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
        parameters (b, p) if they are known; in float64."""
        clouds = [self._points(int(i), cells=False) for i in indices]
        members: dict[str, Any] = {"positions": padded([p.nodes() for p in clouds])}
        counts = torch.from_numpy(self.counts[indices])
        if (counts != counts[0]).any():
            members["mask"] = torch.arange(int(counts.max())) < counts[:, None]
        if self.weights:
            members["weights"] = padded([p.weights for p in clouds if p.weights is not None])
        return members | self._parameters(indices)

    def points(self, i: int) -> Points:
        """The points of sample i, with weights and cells if they are known."""
        return self._points(i, cells=True)

    def _points(self, i: int, *, cells: bool) -> Points:
        known: dict[str, Any] = {}
        if self.weights:
            known["weights"] = torch.from_numpy(self.variable("weights", i).astype(np.float64))
        if cells and self.num_cells is not None:
            known["cells"] = torch.from_numpy(self.variable("cells", i).astype(np.int64))
        d, volume, box = self.domain.num_coordinates, self.domain.declared_volume, self.domain.box
        positions = torch.from_numpy(self.variable("positions", i).astype(np.float64)).mT
        return Points(d, positions, volume=volume, box=box, **known)

    def in_memory(self, kept: np.ndarray, dtype: torch.dtype) -> "PointSource":
        """The given samples in memory, in the precision of the file."""
        return HeldPoints(self, kept)

    def with_roles(self, names: Mapping[str, Sequence[str]]) -> "PointSource":
        """The source of the named fields, role -> names.

        Raises:
            ValueError: there is no field of a name.
        """
        known = {f.name: f for f in self.of_points}
        missing = [n for named in names.values() for n in named if n not in known]
        if missing:
            raise ValueError(
                f"There is no field {missing[0]!r}; the fields are {', '.join(known)}."
                f"{did_you_mean(missing[0], known)}"
            )
        chosen = [replace(known[n], role=role) for role, named in names.items() for n in named]
        changed = copy(self)
        changed.__dict__.pop("names", None)
        changed._hold(chosen)
        return changed

    def _hold(self, fields: Sequence[Field]) -> None:
        self.of_points = tuple(fields)
        self.evolving = frozenset(f.role for f in fields if f.has_time)
        self.vectors = tuple(f.name for f in fields if f.channels)

    def describe(self) -> dict[str, Any]:
        """Shape of all rows, axes, dtype and layout of each channel."""
        described: dict[str, Any] = {}
        entries: dict[tuple[str, ...], tuple[np.ndarray, tuple[str, ...]]] = {
            self.names.get("input", ()): (self.variable("positions", 0), ("point", "coordinate"))
        }
        for f in self.of_points:
            axes = ("point", *["time"] * f.has_time, *["channel"] * bool(f.channels))
            entries[f.channel_names] = self.variable(f.name, 0), axes
        for names, (rows, axes) in entries.items():
            entry = {
                "shape": [int(self.counts.sum()), *rows.shape[1:]],
                "axes": ",".join(axes),
                "dtype": str(rows.dtype),
                "layout": "read sample by sample",
            }
            described |= dict.fromkeys(names, entry)
        return described

    def summary(self, samples: np.ndarray) -> str:
        """'40 to 44 points in each sample, 60 to 72 cells, quadrature weights'."""

        def span(counts: np.ndarray) -> str:
            low, high = int(counts.min()), int(counts.max())
            return f"{low}" if low == high else f"{low} to {high}"

        cells = [] if self.num_cells is None else [f"{span(self.num_cells[samples])} cells"]
        weights = "quadrature weights" if self.weights else "no quadrature weights"
        return ", ".join([f"{span(self.counts[samples])} points in each sample", *cells, weights])

    def used(self) -> set[str]:
        """Names of the arrays in the file that are read."""
        return set()

    def check(self, samples: np.ndarray) -> None:
        """Raise a ValueError unless the points of these samples are finite and in the box, and
        their weights and cells are sound (`point_checks`); the message names sample and row."""
        d, box, present = self.domain.num_coordinates, self.domain.box, ["positions"]
        present += ["weights"] if self.weights else []
        present += ["cells"] if self.num_cells is not None else []
        for i in samples:
            rows = {n: torch.from_numpy(np.array(self.variable(n, int(i)))) for n in present}
            places = rows.pop("positions").mT
            check_cloud(places, d, box, f"sample {i}", **rows)

    def box(self, samples: np.ndarray | None = None) -> list[list[float]]:
        """The smallest box that holds the points of these samples, by default of all; points that
        are not finite are left to `check`.

        Raises:
            ValueError: no point is finite, or all have one coordinate in common.
        """
        low, high = np.inf, -np.inf
        for i in range(len(self)) if samples is None else samples:
            x = self.variable("positions", int(i)).astype(np.float64)
            low = np.minimum(low, np.where(np.isfinite(x), x, np.inf).min(0))
            high = np.maximum(high, np.where(np.isfinite(x), x, -np.inf).max(0))
        if not np.all(low < high):
            raise ValueError(
                f"The points of all samples lie between {np.asarray(low).tolist()} and "
                f"{np.asarray(high).tolist()}, which is no box. Leave out coordinates that are the "
                f"same at all points."
            )
        return [np.asarray(low).tolist(), np.asarray(high).tolist()]


class HeldPoints(PointSource):
    """Some samples of another source, in memory."""

    def __init__(self, source: PointSource, kept: np.ndarray) -> None:
        super().__init__(
            source.of_points,
            source.domain,
            source.counts[kept],
            num_cells=None if source.num_cells is None else source.num_cells[kept],
            corners=source.corners,
            weights=source.weights,
            times=source.times,
            parameters={
                n: p[kept] if isinstance(p, np.ndarray) else p for n, p in source.parameters.items()
            },
        )
        names = [f.name for f in source.of_points] + ["positions"]
        names += ["weights"] if source.weights else []
        names += ["cells"] if source.num_cells is not None else []
        self._held = {
            name: [np.array(source.variable(name, int(i))) for i in kept] for name in names
        }
        residuals = source.residuals()
        self._residuals = None if residuals is None else residuals[kept]

    def variable(self, name: str, i: int) -> np.ndarray:
        """The rows of sample i."""
        return self._held[name][i]

    def residuals(self) -> np.ndarray | None:
        """Those of the other source."""
        return self._residuals
