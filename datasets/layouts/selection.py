"""Which arrays of a file are the fields, and which of their axes are samples, channels and space.

Axes: b batch, c channel, then space: x, y, z as far as they go.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...nearest import did_you_mean
from ..containers.stores import Array, Store

SPACE = ("x", "y", "z")
_AXES = ("sample", "channel", *SPACE)
# What files call these axes, beside their own names.
_ALIASES = {
    **dict.fromkeys(("samples", "batch", "n"), "sample"),
    **dict.fromkeys(("channels", "component", "components", "c"), "channel"),
}

Axes = str | Sequence[str] | Mapping[str, str | Sequence[str]]


class AmbiguousError(ValueError):
    """The file is sound, but which of its arrays are input and target, or what their axes are, is
    not said, or a wanted array holds no numbers."""


@dataclass(frozen=True)
class Chosen:
    """An array of the file that is one field or, with a channel axis, several.

    Attributes:
        axes: what each of its axes is: "sample" once, "channel" at most once, and "x", "y", "z".
        shape: as in the file.
        channels: one name per channel.
    """

    name: str
    axes: tuple[str, ...]
    shape: tuple[int, ...]
    channels: tuple[str, ...]

    @property
    def sample_axis(self) -> int:
        """Position of the sample axis."""
        return self.axes.index("sample")

    @property
    def space(self) -> tuple[int, ...]:
        """Number of nodes along x, y, z as far as they go."""
        return tuple(self.shape[self.axes.index(a)] for a in SPACE if a in self.axes)

    @property
    def order(self) -> tuple[int, ...]:
        """Positions of sample, channel where there is one, x, y, z."""
        return tuple(self.axes.index(a) for a in _AXES if a in self.axes)

    def fields(self, values: np.ndarray, dtype: np.dtype | None = None) -> np.ndarray:
        """Any block of the array as (b, c, *space), contiguous, of this machine's byte order."""
        u = values.transpose(self.order)
        u = u if "channel" in self.axes else u[:, None]
        return np.ascontiguousarray(u, dtype or u.dtype.newbyteorder("="))


@dataclass(frozen=True)
class Selection:
    """The fields of a data set in a file: all with the same samples and the same nodes.

    Attributes:
        inputs, targets: the arrays that are x and y, in their order.
        notes: what was concluded rather than said.
    """

    inputs: tuple[Chosen, ...]
    targets: tuple[Chosen, ...]
    notes: tuple[str, ...] = ()

    @property
    def num_samples(self) -> int:
        """Length of the sample axis."""
        return self.inputs[0].shape[self.inputs[0].sample_axis]

    @property
    def space(self) -> tuple[int, ...]:
        """Number of nodes along each axis of space."""
        return self.inputs[0].space

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the channels of x."""
        return tuple(name for c in self.inputs for name in c.channels)

    @property
    def target_names(self) -> tuple[str, ...]:
        """Names of the channels of y."""
        return tuple(name for c in self.targets for name in c.channels)


def select(
    store: Store, inputs: Sequence[str], targets: Sequence[str], axes: Axes | None = None
) -> Selection:
    """The named arrays as inputs and targets of one data set.

    `axes` says what the axes are, in the order in which the file has them: "sample,x,y" for every
    array or {"u": "x,sample", ...} for some. An array that is not mentioned goes by the names that
    its file gives to the axes, else it is read as sample, x, y (an axis of length one after the
    first is a channel). For three axes of space, or channels, say so.

    Raises:
        ValueError: no such array, one that holds no numbers, axes that do not fit; the message
        lists what the file has.
    """
    if isinstance(inputs, str) or isinstance(targets, str):
        raise ValueError(
            f"inputs and targets are lists of names, as inputs=['a']; got {inputs!r}, {targets!r}."
        )
    names = [*inputs, *targets]
    if not inputs or not targets:
        raise ValueError(f"Name at least one input and one target of {contents(store)}.")
    for name in names:
        _readable(store, name)
    if len(set(names)) < len(names):
        raise ValueError(f"Each array is input or target, once; got {', '.join(names)}.")
    said = _by_array(axes, names)
    notes: list[str] = []
    chosen = [_chosen(store.arrays[name], said.get(name), notes) for name in names]
    _agree(chosen)
    for name in names:
        store.check(name)
    dtypes = {name: store.arrays[name].dtype for name in names}
    if len({dtype.itemsize for dtype in dtypes.values() if dtype.kind == "f"}) > 1:
        each = ", ".join(f"{name} {dtype}" for name, dtype in dtypes.items())
        notes.append(f"stored in different precision ({each}); all are converted alike")
    return Selection(tuple(chosen[: len(inputs)]), tuple(chosen[len(inputs) :]), tuple(notes))


def contents(store: Store) -> str:
    """'a (100, 64) float32, b ...': what the file holds."""
    lines = [str(array) for array in store.arrays.values()]
    lines += [f"{name} ({why.split(',')[0].split(';')[0]})" for name, why in store.refused.items()]
    return ", ".join(lines[:12]) + (f", ... ({len(lines)} in all)" if len(lines) > 12 else "")


def _readable(store: Store, name: str) -> None:
    if name in store.refused:
        raise AmbiguousError(f"{name!r} in {store.title} holds {store.refused[name]}.")
    if name not in store.arrays:
        hint = did_you_mean(name, store.arrays)
        raise ValueError(
            f"There is no array {name!r} in {store.title}.{hint} It holds "
            f"{contents(store) or 'no arrays at all'}."
        )


def _by_array(axes: Axes | None, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The axes that were said for each array."""
    if axes is None:
        return {}
    by_name = axes if isinstance(axes, Mapping) else dict.fromkeys(names, axes)
    wrong = [name for name in by_name if name not in names]
    if wrong:
        raise ValueError(
            f"axes are given for {wrong[0]!r}, which is neither input nor target."
            f"{did_you_mean(wrong[0], names)} Those are {', '.join(names)}."
        )
    return {name: _parsed(name, value) for name, value in by_name.items()}


def _parsed(name: str, value: str | Sequence[str]) -> tuple[str, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    axes = tuple(part.strip() for part in parts)
    for axis in axes:
        if axis not in _AXES:
            raise ValueError(
                f"axes of {name!r}: {axis!r} is none.{did_you_mean(axis, _AXES)} They are "
                f"{', '.join(_AXES)}, in the order in which the file has them."
            )
    num_space = sum(axis in SPACE for axis in axes)
    complete = "sample" in axes and num_space and set(SPACE[:num_space]) <= set(axes)
    if not complete or len(set(axes)) < len(axes):
        raise ValueError(
            f"axes of {name!r} must have sample once and x, or x and y, or x, y and z, once each, "
            f"and channel at most once; got {','.join(axes)}."
        )
    return axes


def _chosen(array: Array, said: tuple[str, ...] | None, notes: list[str]) -> Chosen:
    axes = said or _by_dims(array, notes) or _by_convention(array)
    if len(axes) != len(array.shape):
        raise ValueError(
            f"{array.name!r} has {len(array.shape)} axes, {array.shape}; got {len(axes)} names: "
            f"{','.join(axes)}."
        )
    if 0 in array.shape:
        raise ValueError(f"{array.name!r} is empty: its shape is {array.shape}.")
    count = array.shape[axes.index("channel")] if "channel" in axes else 1
    base = array.name.rpartition("/")[2]
    channels = (base,) if count == 1 else tuple(f"{base}{i}" for i in range(count))
    return Chosen(array.name, axes, array.shape, channels)


def _by_dims(array: Array, notes: list[str]) -> tuple[str, ...] | None:
    """The axes by the names that the file gives them: known names mean what they say; others are
    taken in their order for sample, x, y, z, whichever is left."""
    if array.dims is None:
        return None
    known = {d: _ALIASES.get(d.lower(), d.lower()) for d in array.dims}
    known = {d: a for d, a in known.items() if a in _AXES}
    left = [d for d in array.dims if d not in known]
    free = [a for a in ("sample", *SPACE) if a not in known.values()]
    if len(set(known.values())) < len(known) or len(left) > len(free):
        return None
    if left:
        guess = dict(zip(left, free, strict=False))
        pairs = ", ".join(f"{d} as {a}" for d, a in guess.items())
        notes.append(f"axes of {array.name}: {pairs}, by their order")
        known |= guess
    axes = tuple(known[d] for d in array.dims)
    try:
        return _parsed(array.name, axes)
    except ValueError:
        return None


def _by_convention(array: Array) -> tuple[str, ...]:
    """sample, x, y, with an axis of length one among the later ones as channel."""
    shape = array.shape
    ones = [i for i in range(1, len(shape)) if shape[i] == 1]
    num_space = len(shape) - 1 - len(ones)
    if len(ones) > 1 or num_space not in (1, 2):
        raise AmbiguousError(
            f"The axes of {array.name!r} {shape} are not clear. Say what they are, in their order, "
            f"with sample, channel, x, y, z: --axes {array.name}="
            f"{','.join(_example(len(shape)))}, or axes={{...}} in Python."
        )
    space = iter(SPACE)
    return ("sample", *("channel" if i in ones else next(space) for i in range(1, len(shape))))


def _example(ndim: int) -> tuple[str, ...]:
    return ("sample", "channel", *SPACE)[:ndim] if ndim != 2 else ("sample", "x")


def _agree(chosen: Sequence[Chosen]) -> None:
    """Raise a ValueError unless all have the same number of samples and the same nodes."""
    for what, sizes in (
        ("nodes", [c.space for c in chosen]),
        ("samples", [(c.shape[c.sample_axis],) for c in chosen]),
    ):
        if len(set(sizes)) > 1:
            each = "; ".join(
                f"{c.name} {c.shape} as {','.join(c.axes)} has {' x '.join(map(str, n))}"
                for c, n in zip(chosen, sizes, strict=True)
            )
            raise AmbiguousError(
                f"All fields need the same {what}: {each}. Name the axes with --axes NAME=..., or "
                f"axes={{...}} in Python; time steps can be read as channels."
            )
    channels = [name for c in chosen for name in c.channels]
    twice = [name for name in channels if channels.count(name) > 1]
    if twice:
        raise ValueError(f"Two channels would be called {twice[0]!r}: rename one array.")
