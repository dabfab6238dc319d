"""Selection of the arrays of a file that are fields, and assignment of their axes to samples, time,
channels and space."""

from collections.abc import Iterable, Mapping, Sequence

from ...nearest import did_you_mean
from ..containers.store import AmbiguousError, Array, Store
from .chosen import LEADING, SPACE, Chosen, Selection
from .times import times_of

# Other names of these axes in files.
_ALIASES = {
    **dict.fromkeys(("samples", "batch", "n"), "sample"),
    **dict.fromkeys(("times", "t"), "time"),
    **dict.fromkeys(("channels", "component", "components", "c"), "channel"),
}

Axes = str | Sequence[str] | Mapping[str, str | Sequence[str]]


def select(
    store: Store,
    *,
    inputs: Sequence[str] = (),
    targets: Sequence[str] = (),
    states: Sequence[str] = (),
    axes: Axes | None = None,
    space: tuple[str, ...] = SPACE,
) -> Selection:
    """The named arrays as the fields of one data set: inputs and targets, or states (trajectories
    of an evolution problem) with optional inputs that are constant in time.

    `axes` names the axes in the file's order: "sample,x,y" for every array, or
    {"u": "sample,x,y,time", ...} for some arrays. By default the axis names in the file are used.
    Without names, an input or target is read as sample, x, y (a later axis of length one is a
    channel). States, three space axes, and several channels require `axes`. An axis "channel"
    makes a vector field with numbered components.

    Raises:
        ValueError: an array is missing or not numeric, the axes do not fit, or the fields differ in
            samples, nodes or times; the message lists the arrays of the file.
    """
    given = {"input": inputs, "target": targets, "state": states}
    for role, named in given.items():
        if isinstance(named, str):
            raise ValueError(f"{role}s are lists of names, as {role}s=['a']; got {named!r}.")
    roles = [(name, role) for role, named in given.items() for name in named]
    names = [name for name, _ in roles]
    if not states and not (inputs and targets):
        raise ValueError(
            f"Name at least one input and one target, or one state, of {contents(store)}."
        )
    if states and targets:
        raise ValueError(
            f"Frames of states are both input and target; got the states {', '.join(states)} and "
            f"the targets {', '.join(targets)}. Leave the targets out."
        )
    for name in names:
        _readable(store, name)
    if len(set(names)) < len(names):
        raise ValueError(f"Each array is input, target or state, once; got {', '.join(names)}.")
    known = (*LEADING, *space)
    axes_of = _by_array(axes, names, known)
    notes: list[str] = []
    chosen = [_chosen(store.arrays[n], role, axes_of.get(n), known, notes) for n, role in roles]
    _agree(chosen)
    for name in names:
        store.check(name)
    dtypes = {name: store.arrays[name].dtype for name in names}
    if len({dtype.itemsize for dtype in dtypes.values() if dtype.kind == "f"}) > 1:
        each = ", ".join(f"{name} {dtype}" for name, dtype in dtypes.items())
        notes.append(f"stored in different precision ({each}); all are converted alike")
    times = times_of(store, chosen, notes)
    return Selection(tuple(chosen), times, tuple(notes))


def contents(store: Store) -> str:
    """The arrays of a file as text: 'a (100, 64) float32, b ...'."""
    lines = [str(array) for array in store.arrays.values()]
    lines += [f"{name} ({why.split(',')[0].split(';')[0]})" for name, why in store.refused.items()]
    return ", ".join(lines[:12]) + (f", ... ({len(lines)} in all)" if len(lines) > 12 else "")


def _readable(store: Store, name: str) -> None:
    if name not in store.arrays:
        store.locate(name)
    if name in store.refused:
        raise AmbiguousError(f"{name!r} in {store.title} holds {store.refused[name]}.")
    if name not in store.arrays:
        hint = did_you_mean(name, store.arrays)
        raise ValueError(
            f"There is no array {name!r} in {store.title}.{hint} It holds "
            f"{contents(store) or 'no arrays at all'}."
        )


def _by_array(
    axes: Axes | None, names: Sequence[str], known: tuple[str, ...]
) -> dict[str, tuple[str, ...]]:
    """The given axes, by array."""
    if axes is None:
        return {}
    by_name = axes if isinstance(axes, Mapping) else dict.fromkeys(names, axes)
    wrong = [name for name in by_name if name not in names]
    if wrong:
        raise ValueError(
            f"axes are given for {wrong[0]!r}, which is neither input nor target nor state."
            f"{did_you_mean(wrong[0], names)} Those are {', '.join(names)}."
        )
    return {name: _parsed(name, value, known) for name, value in by_name.items()}


def _parsed(name: str, value: str | Sequence[str], known: tuple[str, ...]) -> tuple[str, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    axes = tuple(part.strip() for part in parts)
    for axis in axes:
        if axis not in known:
            raise ValueError(
                f"axes of {name!r}: {axis!r} is none.{did_you_mean(axis, known)} They are "
                f"{', '.join(known)}, in the order in which the file has them."
            )
    space = known[len(LEADING) :]
    num_space = sum(axis in space for axis in axes)
    complete = "sample" in axes and num_space and set(space[:num_space]) <= set(axes)
    if not complete or len(set(axes)) < len(axes):
        raise ValueError(
            f"axes of {name!r} must have sample once and x, or x and y, or x, y and z, once each, "
            f"and time and channel at most once; got {','.join(axes)}."
        )
    return axes


def _chosen(
    array: Array,
    role: str,
    axes: tuple[str, ...] | None,
    known: tuple[str, ...],
    notes: list[str],
) -> Chosen:
    axes = axes or _by_dims(array, known, notes) or _by_convention(array, role)
    if len(axes) != len(array.shape):
        raise ValueError(
            f"{array.name!r} has {len(array.shape)} axes, {array.shape}; got {len(axes)} names: "
            f"{','.join(axes)}."
        )
    if 0 in array.shape:
        raise ValueError(f"{array.name!r} is empty: its shape is {array.shape}.")
    if role == "state" and "time" not in axes:
        raise ValueError(
            f"{array.name!r} is a state, which needs the axis time; its axes are "
            f"{','.join(axes)}. Name them with --axes {array.name}=..., or make it an input."
        )
    count = array.shape[axes.index("channel")] if "channel" in axes else 1
    components = tuple(map(str, range(count))) if count > 1 else ()
    return Chosen(array.name, role, axes, array.shape, components)


def _by_dims(array: Array, known: tuple[str, ...], notes: list[str]) -> tuple[str, ...] | None:
    """The axes from the names in the file. Known names are used directly; unknown names are
    assigned in order to the remaining axes of sample, x, y, z."""
    if array.dims is None:
        return None
    named = {d: _standard(d) for d in array.dims}
    named = {d: a for d, a in named.items() if a in known}
    left = [d for d in array.dims if d not in named]
    free = [a for a in ("sample", *known[len(LEADING) :]) if a not in named.values()]
    if len(set(named.values())) < len(named) or len(left) > len(free):
        return None
    if left:
        guess = dict(zip(left, free, strict=False))
        pairs = ", ".join(f"{d} as {a}" for d, a in guess.items())
        notes.append(f"axes of {array.name}: {pairs}, by their order")
        named |= guess
    try:
        return _parsed(array.name, tuple(named[d] for d in array.dims), known)
    except ValueError:
        return None


def _standard(dim: str) -> str:
    """The standard name of an axis that the file calls `dim`."""
    name = dim.lower()
    return "channel" if name.endswith("_channel") else _ALIASES.get(name, name)


def _by_convention(array: Array, role: str) -> tuple[str, ...]:
    """sample, x, y, where an axis of length one after the first is the channel."""
    shape = array.shape
    ones = [i for i in range(1, len(shape)) if shape[i] == 1]
    num_space = len(shape) - 1 - len(ones)
    if role == "state" or len(ones) > 1 or num_space not in (1, 2):
        raise AmbiguousError(
            f"The axes of {array.name!r} {shape} are not clear. Say what they are, in their order, "
            f"with sample, time, channel, x, y, z: --axes {array.name}="
            f"{','.join(_example(len(shape), role))}, or axes={{...}} in Python."
        )
    space = iter(SPACE)
    return ("sample", *("channel" if i in ones else next(space) for i in range(1, len(shape))))


def _example(ndim: int, role: str) -> tuple[str, ...]:
    middle = "time" if role == "state" else "channel"
    return ("sample", middle, *SPACE)[:ndim] if ndim != 2 else ("sample", "x")


def _agree(chosen: Sequence[Chosen]) -> None:
    """Raise a ValueError unless all fields have the same samples, nodes and frames, and the channel
    names are distinct."""
    with_time = [c for c in chosen if c.num_frames is not None]
    _same("nodes", [(c, c.space) for c in chosen], "an axis of times is called time")
    _same("samples", [(c, (c.shape[c.sample_axis],)) for c in chosen])
    for role in ("input", "target"):
        mixed = {c.num_frames is None for c in chosen if c.role == role}
        if len(mixed) > 1:
            raise AmbiguousError(
                f"All {role}s have the axis time, or none has; got "
                f"{'; '.join(f'{c.name} as ' + ','.join(c.axes) for c in chosen)}."
            )
    if any(c.role == "state" for c in chosen) and any(c.role != "state" for c in with_time):
        raise ValueError(
            f"Beside states, inputs do not change in time; got "
            f"{', '.join(f'{c.name} as ' + ','.join(c.axes) for c in with_time)}. Make all of them "
            f"states, or choose one frame."
        )
    channels = [name for c in chosen for name in c.channels]
    twice = [name for name in channels if channels.count(name) > 1]
    if twice:
        raise ValueError(f"Two channels would be called {twice[0]!r}: rename one array.")


def _same(what: str, sizes: Iterable[tuple[Chosen, tuple[int, ...]]], hint: str = "") -> None:
    sizes = list(sizes)
    if len({n for _, n in sizes}) > 1:
        each = "; ".join(
            f"{c.name} {c.shape} as {','.join(c.axes)} has {' x '.join(map(str, n))}"
            for c, n in sizes
        )
        raise AmbiguousError(
            f"All fields need the same {what}: {each}. Name the axes with --axes NAME=..., or "
            f"axes={{...}} in Python{'; ' + hint if hint else ''}."
        )
