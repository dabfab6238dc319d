"""Points: scattered nodes or a mesh, which may differ from sample to sample."""
# Axes: b batch, d coordinates, n points.

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .domain import check_keys


class Points:
    """Scattered nodes: n points with d coordinates each; a field is (b, c, n).

    Three forms:

        Points(2)                      positions differ from sample to sample
        Points(2, positions)           positions (d, n), the same for all samples
        template.at(batch)             positions (b, d, n) of the samples of a batch

    Samples with fewer points are padded; `mask` marks the real points. Padding has weight 0 and
    changes no integral, norm or metric.

    With `weights` (areas or volumes of cells), ∫u ≈ Σ w u. Without weights, the integral is the
    mean over the real points times `volume` (default 1), which is exact only for evenly spread
    points.

    Args:
        num_coordinates: d.
        positions: (d, n) or (b, d, n).
        mask: (b, n), bool, False at padding; None if there is no padding.
        weights: (n,) or (b, n), quadrature weights, nonnegative at real points; None if they are
            not known.
        cells: (num_cells, k), node indices of each cell of a mesh; None without a mesh.
        volume: length, area or volume of the domain, if weights are not known.
        box: lower and upper corner, two sequences of d numbers, of a box that holds the points of
            all samples; None if it is not declared.

    Raises:
        ValueError: the arguments are inconsistent, or a sample has no real point.
    """

    kind: ClassVar[str] = "points"
    axes: ClassVar[tuple[str, ...]] = ("point",)
    ndim: ClassVar[int] = 1

    def __init__(
        self,
        num_coordinates: int,
        positions: Float[Tensor, "*b d n"] | None = None,
        *,
        mask: Tensor | None = None,
        weights: Tensor | None = None,
        cells: Int[Tensor, "num_cells k"] | None = None,
        volume: float | int | None = None,
        box: Sequence[Sequence[float | int]] | None = None,
    ) -> None:
        self.num_coordinates, self.positions = num_coordinates, positions
        self.mask, self.weights, self.cells = mask, weights, cells
        self.declared_volume = None if volume is None else float(volume)
        if num_coordinates < 1 or (volume is not None and not volume > 0):
            raise ValueError(
                f"Points need at least one coordinate and a positive volume; got "
                f"{num_coordinates} and {volume}."
            )
        self.box = None if box is None else _corners(box, num_coordinates)
        if positions is None:
            if any(member is not None for member in (mask, weights, cells)):
                raise ValueError(
                    "Points without positions have no mask, weights or cells: these belong to the "
                    "positions. Give positions too."
                )
            return
        if positions.ndim not in (2, 3) or positions.shape[-2] != num_coordinates:
            raise ValueError(
                f"Points with {num_coordinates} coordinates have positions ({num_coordinates}, n) "
                f"or (batch, {num_coordinates}, n); got {tuple(positions.shape)}."
            )
        self._check_members(positions)

    def _check_members(self, positions: Tensor) -> None:
        expected = (*positions.shape[:-2], positions.shape[-1])
        if self.mask is not None and positions.ndim == 2:
            raise ValueError(
                "Positions that all samples share have no padding, so no mask; got one. Leave out "
                "the points that are not real."
            )
        if self.mask is not None and self.mask.dtype != torch.bool:
            raise ValueError(
                f"The mask of points is of torch.bool, True at real points; got {self.mask.dtype}. "
                f"Convert it by mask.bool()."
            )
        if self.cells is not None and (self.cells.ndim != 2 or self.cells.numel() == 0):
            raise ValueError(
                f"The cells of a mesh have shape (num_cells, nodes per cell), with one cell at "
                f"least; got {tuple(self.cells.shape)}. Leave them out where there is no mesh."
            )
        for name in ("mask", "weights"):
            member = getattr(self, name)
            if member is not None and tuple(member.shape) != expected:
                raise ValueError(
                    f"The {name} of points at positions {tuple(positions.shape)} must have shape "
                    f"{expected}; got {tuple(member.shape)}."
                )
        if self.mask is not None and not self.mask.any(-1).all():
            raise ValueError("Every sample needs at least one point that is not padding.")
        if self.weights is not None and not (self._real_weights() >= 0).all():
            raise ValueError("Quadrature weights of points must not be negative or NaN.")
        if self.weights is not None:
            total = self._real_weights().sum(-1)
            if not (total.isfinite() & (total > 0)).all():
                raise ValueError(
                    f"The quadrature weights of a sample add up to its area, which is positive and "
                    f"finite; got {total.min().item():g} to {total.max().item():g}. Leave the "
                    f"weights out where they are not known."
                )
        if self.cells is not None and not (
            int(self.cells.min()) >= 0 and int(self.cells.max()) < expected[-1]
        ):
            raise ValueError(
                f"Cells name the nodes 0..{expected[-1] - 1}; got numbers from "
                f"{int(self.cells.min())} to {int(self.cells.max())}."
            )

    def __str__(self) -> str:
        """Text for error messages: "972 points with 2 coordinates"."""
        count = f"{self.num_nodes} points" if self.positions is not None else "points"
        varies = "" if self.positions is not None else ", which differ from sample to sample"
        plural = "" if self.num_coordinates == 1 else "s"
        return f"{count} with {self.num_coordinates} coordinate{plural}{varies}"

    def __repr__(self) -> str:
        known = [n for n in ("mask", "weights", "cells") if getattr(self, n) is not None]
        return f"Points({', '.join([str(self), *known])})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Points):
            return NotImplemented
        mine, theirs = self._members(), other._members()
        return mine.keys() == theirs.keys() and all(
            torch.equal(v, theirs[k]) if isinstance(v, Tensor) else v == theirs[k]
            for k, v in mine.items()
        )

    def __hash__(self) -> int:
        return hash((self.kind, self.num_coordinates, self.shape))

    def _members(self) -> dict[str, Any]:
        """The arguments of the constructor that are not None, by name."""
        members = {
            "num_coordinates": self.num_coordinates,
            "volume": self.declared_volume,
            "box": self.box,
        }
        members |= {n: getattr(self, n) for n in ("positions", "mask", "weights", "cells")}
        return {name: value for name, value in members.items() if value is not None}

    @property
    def shape(self) -> tuple[int, ...]:
        """(n,), or (-1,) if n differs from sample to sample."""
        return (self.num_nodes,)

    @property
    def num_nodes(self) -> int:
        """n, padding included; -1 if it differs from sample to sample."""
        return -1 if self.positions is None else self.positions.shape[-1]

    @property
    def volume(self) -> Any:
        """Σ w if weights are known, shape (b,) for a batch; otherwise `volume`, by default 1."""
        if self.weights is None:
            return 1.0 if self.declared_volume is None else self.declared_volume
        total = self._real_weights().sum(-1)
        return total.item() if total.ndim == 0 else total

    @property
    def region(self) -> dict[str, Any]:
        """Number of coordinates."""
        return {"kind": self.kind, "num_coordinates": self.num_coordinates}

    def nodes(self, dtype: torch.dtype = torch.float64) -> Float[Tensor, "*b d n"]:
        """Positions."""
        return self._positions().to(dtype)

    def quadrature(self, dtype: torch.dtype = torch.float64) -> Float[Tensor, "*b n"]:
        """Weights w with ∫u ≈ Σ w u, 0 at padding: (n,), or (b, 1, n) of a batch."""
        w = self._real_weights()
        if self.weights is None:
            w = w / w.sum(-1, keepdim=True) * self.volume
        return (w if w.ndim == 1 else w[:, None]).to(dtype)

    def mean_weights(self, dtype: torch.dtype = torch.float64) -> Float[Tensor, "*b n"]:
        """Quadrature weights divided by their sum; equal weights if they are not known."""
        w = self.quadrature()
        return (w / w.sum(-1, keepdim=True)).to(dtype)

    def outermost(self) -> None:
        """None: the boundary points are not known."""
        return None

    def mask_padding(self, u: Tensor) -> Tensor:
        """u with zeros at padding, also where u is NaN there."""
        if self.mask is None:
            return u
        real = self.mask.view(len(self.mask), *[1] * (u.ndim - 2), -1)
        return torch.where(real.to(u.device), u, 0.0)

    def at(self, batch: Any) -> "Points":
        """The points of the samples of a `Batch`; self if the batch has no positions, because all
        samples then share the positions of this domain.

        Raises:
            ValueError: neither the batch nor the domain has positions.
        """
        if "positions" not in batch:
            self._positions()
            return self
        return Points(
            self.num_coordinates,
            batch.positions,
            mask=batch.get("mask"),
            weights=batch.get("weights"),
            volume=self.declared_volume,
            box=self.box,
        )

    def check(self, u: Tensor, name: str = "field") -> None:
        """Raise a ValueError unless the last axis of u has n entries and, if each sample has its
        own points, the first axis has one entry per sample."""
        if self.positions is None:
            return
        fits = u.shape[-1] == self.num_nodes and (
            self.positions.ndim == 2 or u.shape[0] == len(self.positions)
        )
        if not fits:
            samples = "" if self.positions.ndim == 2 else f"{len(self.positions)}, "
            raise ValueError(
                f"The {name} must have shape ({samples}..., {self.num_nodes}) on these points; got "
                f"{tuple(u.shape)}. Give the positions of the same samples."
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, for files; `from_dict` reads them. Positions that differ from
        sample to sample are not included, because they are stored with the data.

        Raises:
            ValueError: these are the points of a batch.
        """
        if self.positions is not None and self.positions.ndim == 3:
            raise ValueError(
                "The points of a batch are stored with its fields, not with the domain. Store "
                f"Points({self.num_coordinates})."
            )
        return {"kind": self.kind} | {
            name: value.tolist() if isinstance(value, Tensor) else value
            for name, value in self._members().items()
        }

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> "Points":
        """The points that `to_dict` described; a ValueError if it has other keys."""
        optional = ("volume", "box", "positions", "weights", "cells")
        check_keys(plain, ("num_coordinates",), optional)
        dtypes = {"positions": torch.float64, "weights": torch.float64, "cells": torch.int64}
        members: dict[str, Any] = {
            name: torch.tensor(value, dtype=dtypes[name]) if name in dtypes else value
            for name, value in plain.items()
            if name != "kind"
        }
        return cls(**members)

    def _positions(self) -> Tensor:
        if self.positions is None:
            raise ValueError(
                "These points differ from sample to sample: use domain.at(batch), with a batch "
                "that has positions."
            )
        return self.positions

    def _real_weights(self) -> Tensor:
        """Weights (n,) or (b, n) in float64, by default ones; 0 at padding."""
        positions = self._positions()
        w = torch.ones_like(positions[..., 0, :]) if self.weights is None else self.weights
        w = w.double()
        return w if self.mask is None else torch.where(self.mask.to(w.device), w, 0.0)


def _corners(box: Sequence[Sequence[float | int]], d: int) -> list[list[float]]:
    """The lower and the upper corner as lists of d numbers."""
    corners = [[float(v) for v in corner] for corner in box]
    sides = [b - a for a, b in zip(*corners, strict=False)] if len(corners) == 2 else []
    if [len(c) for c in corners] != [d, d] or not all(0 < side < math.inf for side in sides):
        raise ValueError(
            f"The box of points has a lower and a larger upper corner of {d} finite coordinates; "
            f"got {corners}."
        )
    return corners
