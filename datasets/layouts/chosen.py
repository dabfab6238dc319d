"""Arrays of a file as fields: what each of their axes is, and which channels they have."""
# Axes: b batch, t time, c channel, then space: x, y, z as far as they go, or those of the domain.

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..spec import channel_names

SPACE = ("x", "y", "z")
# In this order a batch has them, in front of space.
LEADING = ("sample", "time", "channel")


@dataclass(frozen=True)
class Chosen:
    """An array of the file that is one field.

    Attributes:
        name: in the file; with groups 'group/name'.
        role: "input", "target" or "state".
        axes: what each of its axes is: "sample" once, "time" and "channel" at most once, and the
            axes of space.
        shape: as in the file.
        components: names of its channels within the field; () for a scalar, also where it has an
            axis "channel" of length 1.
    """

    name: str
    role: str
    axes: tuple[str, ...]
    shape: tuple[int, ...]
    components: tuple[str, ...] = ()

    @property
    def field(self) -> str:
        """Its name without groups."""
        return self.name.rpartition("/")[2]

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels of a batch that it gives."""
        return channel_names(self.field, self.components)

    @property
    def sample_axis(self) -> int:
        """Position of the sample axis."""
        return self.axes.index("sample")

    @property
    def num_frames(self) -> int | None:
        """Length of the axis time; None without one."""
        return self.shape[self.axes.index("time")] if "time" in self.axes else None

    @property
    def space_axes(self) -> tuple[str, ...]:
        """Axes of space in the order of a batch: x, y, z, or other ones as in the file."""
        others = tuple(a for a in self.axes if a not in LEADING)
        return tuple(sorted(others, key=SPACE.index)) if set(others) <= set(SPACE) else others

    @property
    def space(self) -> tuple[int, ...]:
        """Number of nodes along each axis of space."""
        return tuple(self.shape[self.axes.index(a)] for a in self.space_axes)

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Its axes in the order of a batch."""
        return (*(a for a in LEADING if a in self.axes), *self.space_axes)

    @cached_property
    def _positions(self) -> tuple[int, ...]:
        """Of the axes in `order` in the array."""
        return tuple(map(self.axes.index, self.order))

    def fields(self, values: np.ndarray, dtype: np.dtype | None = None) -> np.ndarray:
        """Any block of the array as (b, [t,] c, *space), contiguous, of this machine's byte
        order."""
        u = values.transpose(self._positions)
        if "channel" not in self.axes:
            u = u[:, :, None] if "time" in self.axes else u[:, None]
        return np.ascontiguousarray(u, dtype or u.dtype.newbyteorder("="))


@dataclass(frozen=True)
class Selection:
    """The fields of a data set in a file: all with the same samples, nodes and times.

    Attributes:
        chosen: inputs, targets and states, in their order.
        times: of the frames of those with the axis time.
        notes: what was concluded rather than given.
    """

    chosen: tuple[Chosen, ...]
    times: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()

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
