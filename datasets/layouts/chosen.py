"""Selected arrays of a file as fields, with their axes and channels."""
# Axes: b batch, t time, c channel, then space: the first of x, y, z, or the axes of the domain.

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ..spec import channel_names

SPACE = ("x", "y", "z")
# Axes of a batch before space, in this order.
LEADING = ("sample", "time", "channel")


@dataclass(frozen=True)
class Chosen:
    """An array of the file that is one field.

    Attributes:
        name: name in the file; 'group/name' if it is in a group.
        role: "input", "target" or "state".
        axes: names of the axes: "sample" once, "time" and "channel" at most once, and the axes of
            space.
        shape: shape in the file, with an axis of length one in front if the file holds one sample
            without an axis for it.
        flipped: axes of space along which the file has the nodes in the other direction.
        components: names of the channels of the field; () for a scalar, even with a "channel" axis
            of length 1.
    """

    name: str
    role: str
    axes: tuple[str, ...]
    shape: tuple[int, ...]
    components: tuple[str, ...] = ()
    flipped: tuple[str, ...] = ()

    @property
    def field(self) -> str:
        """Name of the array without groups."""
        return self.name.rpartition("/")[2]

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of its channels in a batch."""
        return channel_names(self.field, self.components)

    @property
    def sample_axis(self) -> int:
        """Position of the sample axis."""
        return self.axes.index("sample")

    @property
    def num_frames(self) -> int | None:
        """Length of the time axis; None without one."""
        return self.shape[self.axes.index("time")] if "time" in self.axes else None

    @property
    def space_axes(self) -> tuple[str, ...]:
        """Axes of space in the order of a batch: x, y, z, or other names in the file's order."""
        others = tuple(a for a in self.axes if a not in LEADING)
        return tuple(sorted(others, key=SPACE.index)) if set(others) <= set(SPACE) else others

    @property
    def space(self) -> tuple[int, ...]:
        """Number of nodes along each axis of space."""
        return tuple(self.shape[self.axes.index(a)] for a in self.space_axes)

    @property
    def space_in_file(self) -> tuple[int, ...]:
        """Number of nodes along each axis of space in the order of the file."""
        return tuple(n for a, n in zip(self.axes, self.shape, strict=True) if a not in LEADING)

    def dim(self, dims: Sequence[str] | None, axis: str) -> str | None:
        """The name in the file of an axis, from those of all axes of the array; a sample without an
        axis in the file has none."""
        if dims is None or axis not in self.axes:
            return None
        i = self.axes.index(axis) - (len(self.axes) - len(dims))
        return dims[i] if i >= 0 else None

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Axes of the array in the order of a batch."""
        return (*(a for a in LEADING if a in self.axes), *self.space_axes)

    @cached_property
    def _positions(self) -> tuple[int, ...]:
        """Positions in the array of the axes in `order`."""
        return tuple(map(self.axes.index, self.order))

    def fields(self, values: np.ndarray, dtype: np.dtype | None = None) -> np.ndarray:
        """A block of the array, with all its nodes, as (b, [t,] c, *space), contiguous, in native
        byte order, with the nodes in the direction of the domain."""
        return self.arranged(self.upright(values), dtype)

    def upright(self, values: np.ndarray) -> np.ndarray:
        """A block with the axes in `flipped` reversed."""
        axes = tuple(self.axes.index(axis) for axis in self.flipped)
        return np.flip(values, axes) if axes else values

    def arranged(self, values: np.ndarray, dtype: np.dtype | None = None) -> np.ndarray:
        """A block as (b, [t,] c, *space), contiguous, in native byte order. Values too large for
        `dtype` become infinite; `FieldDataset.check` and `convert` report them."""
        u = values.transpose(self._positions)
        if "channel" not in self.axes:
            u = u[:, :, None] if "time" in self.axes else u[:, None]
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(u, dtype or u.dtype.newbyteorder("="))


@dataclass(frozen=True)
class Selection:
    """The fields of a data set in a file, all with the same samples, nodes and times.

    Attributes:
        chosen: inputs, targets and states, in their order.
        times: times of the frames of the fields with a time axis.
        notes: inferred properties.
        singles: names of the arrays that hold one sample without an axis for it.
        parameters: parameters of the equation that the file states: constants, or arrays (n,) with
            one number for each sample.
        equation: the equation of the fields, as text; "" if the file does not state it.
        read: names of arrays that were read for its nodes, times and parameters, and cannot be
            known by their names.
    """

    chosen: tuple[Chosen, ...]
    times: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()
    singles: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    equation: str = ""
    read: tuple[str, ...] = ()

    def of(self, role: str) -> tuple[Chosen, ...]:
        """The arrays with this role."""
        return tuple(c for c in self.chosen if c.role == role)

    @property
    def names(self) -> dict[str, tuple[str, ...]]:
        """Role -> names of its channels."""
        roles = dict.fromkeys(c.role for c in self.chosen)
        return {role: tuple(n for c in self.of(role) for n in c.channels) for role in roles}

    @property
    def num_samples(self) -> int:
        """Length of the sample axis."""
        return self.chosen[0].shape[self.chosen[0].sample_axis]

    @property
    def space(self) -> tuple[int, ...]:
        """Number of nodes along each axis of space."""
        return self.chosen[0].space
