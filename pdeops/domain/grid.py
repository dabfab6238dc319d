"""Uniform grids of a box: node positions, boundary conditions and wavenumbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, reduce
from typing import Any, ClassVar, TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .domain import check_keys

T = TypeVar("T")


class Boundary(StrEnum):
    """Boundary condition at both ends of an axis."""

    PERIODIC = "periodic"
    DIRICHLET = "dirichlet"
    NEUMANN = "neumann"


class Placement(StrEnum):
    """Positions of the n stored nodes of an axis of length L, and its number of cells."""

    LEFT = "left"  #           x_i = i L/n          n cells; the right end is the left one
    ENDPOINTS = "endpoints"  # x_i = i L/(n-1)      n-1 cells; both ends are stored
    INTERIOR = "interior"  #   x_i = (i+1) L/(n+1)  n+1 cells; both ends are known, not stored
    CENTERS = "centers"  #     x_i = (i+1/2) L/n    n cells; the nodes are the cells' centres


class Series(StrEnum):
    """Series in which a field is expanded along an axis; wave k has wavenumber 2πk/L or πk/L."""

    FOURIER = "fourier"  # exp(2πi k x/L), k in torch.fft order
    SINE = "sine"  #       sin(πk x/L), k >= 1: zero at both ends
    COSINE = "cosine"  #   cos(πk x/L), k >= 0: zero slope at both ends


# cells = n + _EXTRA_CELLS, and the first node lies _FIRST_NODE cells from the left end.
_EXTRA_CELLS = {
    Placement.LEFT: 0,
    Placement.ENDPOINTS: -1,
    Placement.INTERIOR: 1,
    Placement.CENTERS: 0,
}
_FIRST_NODE = {
    Placement.LEFT: 0.0,
    Placement.ENDPOINTS: 0.0,
    Placement.INTERIOR: 1.0,
    Placement.CENTERS: 0.5,
}
# Number of waves = n + _EXTRA_WAVES; the nodes do not determine a series that is not listed.
_EXTRA_WAVES = {
    (Series.FOURIER, Placement.LEFT): 0,
    (Series.FOURIER, Placement.CENTERS): 0,
    (Series.SINE, Placement.ENDPOINTS): -2,  # a sine is zero at both ends, whatever is stored there
    (Series.SINE, Placement.INTERIOR): 0,
    (Series.SINE, Placement.CENTERS): 0,
    (Series.COSINE, Placement.ENDPOINTS): 0,
    (Series.COSINE, Placement.CENTERS): 0,
}
_MIN_NODES = {
    Placement.LEFT: 1,
    Placement.ENDPOINTS: 2,
    Placement.INTERIOR: 1,
    Placement.CENTERS: 1,
}


@dataclass(frozen=True)
class Grid:
    """Uniform nodes of the box [0, L_1] x ... x [0, L_d].

    `Grid((65, 65))` is the unit square with its boundary stored, `Grid((64,), boundary="periodic")`
    a circle. One value for `extent`, `boundary` or `placement` serves every axis. By default a
    periodic axis stores its left end (`placement="left"`), any other axis both (`"endpoints"`).

    Attributes:
        shape: number of stored nodes per axis, each at least 1 (2 where both ends are stored).
        extent: side lengths L, positive.
        boundary: condition at both ends of each axis, a `Boundary`.
        placement: positions of the nodes of each axis, a `Placement`.

    Raises:
        ValueError: the arguments are inconsistent, or a length or count is out of range.
    """

    kind: ClassVar[str] = "box"

    shape: tuple[int, ...]
    extent: tuple[float, ...] = (1.0,)
    boundary: tuple[Boundary, ...] = (Boundary.DIRICHLET,)
    placement: tuple[Placement, ...] = ()

    def __init__(
        self,
        shape: Sequence[int],
        extent: Sequence[float] | float | int = 1.0,
        boundary: Sequence[str] | str = Boundary.DIRICHLET,
        placement: Sequence[str] | str | None = None,
    ) -> None:
        ndim = len(shape)
        if ndim == 0:
            raise ValueError("A grid needs at least one axis; got shape (). Write Grid((64, 64)).")
        bounds = per_axis("boundary", boundary, ndim, Boundary)
        if placement is None:
            nodes = tuple(
                Placement.LEFT if b is Boundary.PERIODIC else Placement.ENDPOINTS for b in bounds
            )
        else:
            nodes = per_axis("placement", placement, ndim, Placement)
        object.__setattr__(self, "shape", tuple(int(n) for n in shape))
        object.__setattr__(self, "extent", per_axis("extent", extent, ndim, float))
        object.__setattr__(self, "boundary", bounds)
        object.__setattr__(self, "placement", nodes)
        for axis, (n, L, b, p) in enumerate(
            zip(self.shape, self.extent, self.boundary, self.placement, strict=True)
        ):
            if n < _MIN_NODES[p]:
                raise ValueError(
                    f"Axis {axis} needs at least {_MIN_NODES[p]} node(s) for placement "
                    f"{p.value!r}; got {n}. Use a larger shape than {self.shape}."
                )
            if not (L > 0 and math.isfinite(L)):
                raise ValueError(f"Axis {axis} needs a positive finite extent; got {L}.")
            if b is Boundary.PERIODIC and p in (Placement.ENDPOINTS, Placement.INTERIOR):
                raise ValueError(
                    f"Axis {axis} is periodic, so its ends are one point; got placement "
                    f"{p.value!r}. Use 'left' or 'centers'."
                )
            if b is not Boundary.PERIODIC and p is Placement.LEFT:
                raise ValueError(
                    f"Axis {axis} has a {b.value} boundary, but placement 'left' stores one end "
                    f"only. Use 'endpoints' or 'centers'."
                )
            if b is Boundary.NEUMANN and p is Placement.INTERIOR:
                raise ValueError(
                    f"Axis {axis} is Neumann, so the values at its ends are unknowns; got "
                    f"placement 'interior', without them. Use 'endpoints' or 'centers'."
                )

    def __str__(self) -> str:
        """Text for error messages: "65 x 64 nodes, [0, 1] x [0, 2], dirichlet x periodic, endpoints
        x left"; a value shared by all axes appears once. Different grids have different texts."""
        nodes = " x ".join(map(str, self.shape))
        box = " x ".join(f"[0, {shortest(L)}]" for L in self.extent)
        axes = (self.boundary, self.placement)
        kinds = (" x ".join(each[:1] if len(set(each)) == 1 else each) for each in axes)
        return ", ".join((f"{nodes} nodes", box, *kinds))

    @property
    def axes(self) -> tuple[str, ...]:
        """The first d of x, y, z."""
        return ("x", "y", "z")[: self.ndim]

    @property
    def ndim(self) -> int:
        """Number d of axes."""
        return len(self.shape)

    @property
    def num_nodes(self) -> int:
        """Number of stored nodes."""
        return math.prod(self.shape)

    @property
    def volume(self) -> float:
        """Length, area or volume of the box."""
        return math.prod(self.extent)

    @property
    def region(self) -> dict[str, Any]:
        """Box, boundary and placement."""
        return {k: v for k, v in self.to_dict().items() if k != "shape"}

    @property
    def cells(self) -> tuple[int, ...]:
        """Number of cells of width h per axis: extent = cells · spacing."""
        return tuple(n + _EXTRA_CELLS[p] for n, p in zip(self.shape, self.placement, strict=True))

    @property
    def spacing(self) -> tuple[float, ...]:
        """Node distance h per axis."""
        return tuple(L / m for L, m in zip(self.extent, self.cells, strict=True))

    @property
    def offset(self) -> tuple[float, ...]:
        """Position of the first node per axis in units of the spacing."""
        return tuple(_FIRST_NODE[p] for p in self.placement)

    def axis(self, index: int, dtype: torch.dtype = torch.float64) -> Float[Tensor, " n"]:
        """Coordinates of the nodes along one axis."""
        i = torch.arange(self.shape[index], dtype=torch.float64)
        return ((i + self.offset[index]) * self.spacing[index]).to(dtype)

    def nodes(self, dtype: torch.dtype = torch.float64) -> Float[Tensor, "d *space"]:
        """Coordinates of all nodes, one channel per axis."""
        axes = [self.axis(i, dtype) for i in range(self.ndim)]
        return torch.stack(torch.meshgrid(*axes, indexing="ij"))

    def quadrature(self, dtype: torch.dtype = torch.float64) -> Float[Tensor, "*space"]:
        """Weights w with ∫u ≈ Σ w u: trapezoidal rule on end nodes, midpoint rule on cells.

        Known ends that are not stored count as zero.
        """
        weights = []
        for n, h, p in zip(self.shape, self.spacing, self.placement, strict=True):
            w = torch.full((n,), h, dtype=dtype)
            if p is Placement.ENDPOINTS:
                w[[0, -1]] = h / 2
            weights.append(w)
        return reduce(lambda a, b: a[..., None] * b, weights)

    def series(self, choice: Sequence[str] | str | None = None) -> tuple[Series, ...]:
        """The series of each axis: `choice`, or the series that represents every field of the grid.

        The default is Fourier on a periodic axis, sine where Dirichlet ends are not stored (their
        values are zero), and cosine otherwise, also for fields that do not vanish at stored ends.

        Raises:
            ValueError: the nodes of an axis do not determine the coefficients of the chosen series.
        """
        if choice is None:
            return tuple(
                Series.FOURIER
                if b is Boundary.PERIODIC
                else Series.SINE
                if p is Placement.INTERIOR
                else Series.COSINE
                for b, p in zip(self.boundary, self.placement, strict=True)
            )
        chosen = per_axis("series", choice, self.ndim, Series)
        for axis, (s, p) in enumerate(zip(chosen, self.placement, strict=True)):
            if (s, p) not in _EXTRA_WAVES:
                fitting = [t.value for t, q in _EXTRA_WAVES if q is p]
                raise ValueError(
                    f"Axis {axis} has placement {p.value!r}, whose nodes do not determine a "
                    f"{s.value} series. Use {' or '.join(map(repr, fitting))}, or another grid."
                )
            if self.num_waves(axis, s) < 1:
                raise ValueError(
                    f"Axis {axis} has {self.shape[axis]} nodes, both of them ends where every sine "
                    f"is zero. Use a larger grid, or a cosine series."
                )
        return chosen

    def num_waves(self, axis: int, series: Series) -> int:
        """Number of waves of a series that the nodes of an axis determine."""
        return self.shape[axis] + _EXTRA_WAVES[series, self.placement[axis]]

    def wavenumbers(self, series: Sequence[str] | str | None = None) -> tuple[Tensor, ...]:
        """Angular wavenumbers ξ per axis (float64): 2πk/L for Fourier, πk/L for sines and cosines.

        There is one per node, and two fewer for sines on stored ends. Fourier is in
        `torch.fft.fftfreq` order; sines start at k = 1, cosines at k = 0.
        """
        xi = []
        for axis, (L, s) in enumerate(zip(self.extent, self.series(series), strict=True)):
            num_waves = self.num_waves(axis, s)
            if s is Series.FOURIER:
                k = 2 * torch.fft.fftfreq(num_waves, 1 / num_waves, dtype=torch.float64)
            else:
                k = torch.arange(num_waves, dtype=torch.float64) + (1 if s is Series.SINE else 0)
            xi.append(math.pi / L * k)
        return tuple(xi)

    def mean_weights(self, dtype: torch.dtype = torch.float64) -> Float[Tensor, "*space"]:
        """Equal weights, because the nodes are uniform. Stored ends have the same weight as other
        nodes, as in the published metrics."""
        return torch.full(self.shape, 1 / self.num_nodes, dtype=dtype)

    def outermost(self) -> Bool[Tensor, "*space"]:
        """True at the outermost nodes of each axis with ends: boundary nodes where the boundary is
        stored, boundary cells where nodes are cell centres. False along periodic axes and where
        the boundary values are known and not stored."""
        mask = torch.zeros(self.shape, dtype=torch.bool)
        for i, (b, p) in enumerate(zip(self.boundary, self.placement, strict=True)):
            if b is not Boundary.PERIODIC and p is not Placement.INTERIOR:
                mask.index_fill_(i, torch.tensor([0, self.shape[i] - 1]), True)
        return mask

    def mask_padding(self, u: Tensor) -> Tensor:
        """u itself: a grid has no padding."""
        return u

    def at(self, batch: Any) -> "Grid":
        """Self: all samples have the same nodes."""
        return self

    @cached_property
    def interior(self) -> "Grid":
        """The grid without its stored Dirichlet ends: the unknowns of a boundary-value problem."""
        drop = [
            b is Boundary.DIRICHLET and p is Placement.ENDPOINTS
            for b, p in zip(self.boundary, self.placement, strict=True)
        ]
        return Grid(
            [n - 2 if d else n for n, d in zip(self.shape, drop, strict=True)],
            self.extent,
            self.boundary,
            [Placement.INTERIOR if d else p for p, d in zip(self.placement, drop, strict=True)],
        )

    def with_shape(self, shape: Sequence[int]) -> "Grid":
        """The same box, boundary and placement with another number of nodes."""
        return Grid(shape, self.extent, self.boundary, self.placement)

    def refined(self, factor: int) -> "Grid":
        """The grid with `factor` times as many cells per axis; it nests where ends are nodes."""
        return self.with_shape(
            [m * factor - _EXTRA_CELLS[p] for m, p in zip(self.cells, self.placement, strict=True)]
        )

    def check(self, u: Tensor, name: str = "field") -> None:
        """Raise a ValueError unless the last axes of u are those of the grid."""
        check_shape(u, self.shape, name)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and strings, for files; `from_dict` reads them."""
        return {
            "kind": self.kind,
            "shape": list(self.shape),
            "extent": list(self.extent),
            "boundary": [b.value for b in self.boundary],
            "placement": [p.value for p in self.placement],
        }

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> "Grid":
        """The box that `to_dict` described.

        Raises:
            ValueError: the description is that of another kind of domain, or has other keys.
        """
        if plain.get("kind") != cls.kind:
            raise ValueError(
                f"This is the description of a {plain.get('kind')}, not of a box. Read it with "
                f"domain_from_dict."
            )
        check_keys(plain, ("shape", "extent", "boundary", "placement"))
        return Grid(plain["shape"], plain["extent"], plain["boundary"], plain["placement"])


def check_shape(u: Tensor, shape: tuple[int, ...], name: str) -> None:
    """Raise a ValueError unless the last axes of u have this shape."""
    if tuple(u.shape[-len(shape) :]) != shape:
        raise ValueError(
            f"The {name} must have shape (..., {', '.join(map(str, shape))}) on this grid; got "
            f"{tuple(u.shape)}. Resample it, or make the grid from its shape."
        )


def shortest(value: float) -> str:
    """The shortest decimal that round-trips: 1.0 -> "1", 0.1 -> "0.1"."""
    return repr(value).removesuffix(".0")


def per_axis(name: str, value: Any, ndim: int, kind: type[T]) -> tuple[T, ...]:
    """A tuple of ndim entries, from one value for all axes or a sequence of ndim values."""
    values = [value] * ndim if isinstance(value, str | float | int) else list(value)
    if len(values) != ndim:
        raise ValueError(
            f"{name} needs one value, or one per axis ({ndim}); got {len(values)}: {values}."
        )
    try:
        return tuple(kind(v) for v in values)  # type: ignore[call-arg]
    except ValueError:
        choices = [str(c.value) for c in kind] if issubclass(kind, StrEnum) else [kind.__name__]
        raise ValueError(f"{name} must be one of {', '.join(choices)}; got {values}.") from None
