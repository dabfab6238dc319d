"""Selection of the arrays of a file that are fields, and assignment of their axes to samples, time,
channels and space."""

from collections.abc import Iterable, Mapping, Sequence

from ...nearest import did_you_mean
from ..containers.store import AmbiguousError, Store
from . import suggestion
from .axis_names import axes_of
from .chosen import LEADING, SPACE, Chosen, Selection
from .coordinates import order_of_space
from .times import Times, times_of

Axes = str | Sequence[str] | Mapping[str, str | Sequence[str]]


def select(
    store: Store,
    *,
    inputs: Sequence[str] = (),
    targets: Sequence[str] = (),
    states: Sequence[str] = (),
    axes: Axes | None = None,
    space: tuple[str, ...] = SPACE,
    times: Times | None = None,
) -> Selection:
    """The named arrays as the fields of one data set: inputs and targets, or states (trajectories
    of an evolution problem) with optional inputs that are constant in time.

    `axes` names the axes in the file's order: "sample,x,y" for every array, or
    {"u": "sample,x,y,time", ...} for some arrays. By default the axis names in the file are used.
    Without names, an input or target is read as sample, x, y (a later axis of length one is a
    channel). States, three space axes, and several channels require `axes`. An axis "channel"
    makes a vector field with numbered components. An array without an axis "sample" is one sample;
    if all inputs and targets have the axis time and none has samples, each time is a sample.

    `times` are those of the frames; by default they are read from the file.

    Raises:
        AmbiguousError: the axes are not clear; the message has a command that names them.
        ValueError: an array is missing or not numeric, the axes do not fit, or the fields differ in
            samples, nodes or times; the message lists the arrays of the file.
    """
    roles = {"input": inputs, "target": targets, "state": states}
    names = _names(store, roles)
    try:
        return selected(store, names, axes, space, times)
    except AmbiguousError as error:
        example = suggestion.command(
            store, roles, lambda axes: selected(store, names, axes, space, times)
        )
        hint = f" For example: {example}" if example else ""
        raise AmbiguousError(f"{error}{hint}") from None


def _names(store: Store, given: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """Names and roles of the chosen arrays.

    Raises:
        ValueError: an array is missing or not numeric, or the roles are incomplete.
    """
    inputs, targets, states = given["input"], given["target"], given["state"]
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
    return roles


def selected(
    store: Store,
    roles: Sequence[tuple[str, str]],
    axes: Axes | None,
    space: tuple[str, ...] = SPACE,
    given_times: Times | None = None,
) -> Selection:
    """The selection, see `select`, of arrays given as (name, role); an error has no example."""
    known = (*LEADING, *space)
    names = [name for name, _ in roles]
    by_array = _by_array(axes, names, known)
    notes: list[str] = []
    found = {n: _axes(store, n, role, by_array.get(n), known, notes) for n, role in roles}
    if axes is None:
        found = _times_as_samples(store, found, dict(roles), notes)
    singles = tuple(name for name, ordered in found.items() if "sample" not in ordered)
    if singles:
        notes.append(f"{', '.join(singles)}: no axis is that of samples; read as one sample")
    chosen = [_chosen(store, name, role, found[name]) for name, role in roles]
    agree(chosen)
    for name in names:
        store.check(name)
    dtypes = {name: store.arrays[name].dtype for name in names}
    if len({dtype.itemsize for dtype in dtypes.values() if dtype.kind == "f"}) > 1:
        each = ", ".join(f"{name} {dtype}" for name, dtype in dtypes.items())
        notes.append(f"stored in different precision ({each}); all are converted alike")
    times = times_of(store, chosen, notes, given_times)
    return Selection(tuple(chosen), times, tuple(notes), singles)


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
    complete = num_space and set(space[:num_space]) <= set(axes)
    if not complete or len(set(axes)) < len(axes):
        raise ValueError(
            f"axes of {name!r} must have x, or x and y, or x, y and z, once each, and sample, time "
            f"and channel at most once; got {','.join(axes)}."
        )
    return axes


def _axes(
    store: Store,
    name: str,
    role: str,
    given: tuple[str, ...] | None,
    known: tuple[str, ...],
    notes: list[str],
) -> tuple[str, ...]:
    """The axes of an array: those given, else by their names in the file, else by convention."""
    array = store.arrays[name]
    if 0 in array.shape:
        raise ValueError(
            f"{name!r} is empty: its shape is {array.shape}. Choose an array of {store.title} with "
            f"values."
        )
    axes = given or _by_dims(store, name, known, notes) or _by_convention(store, name, role, notes)
    if len(axes) != len(array.shape):
        raise ValueError(
            f"{name!r} has {len(array.shape)} axes, {array.shape}; got {len(axes)} names: "
            f"{','.join(axes)}."
        )
    if role == "state" and "time" not in axes:
        raise AmbiguousError(
            f"{name!r} is a state, which needs the axis time; its axes are {','.join(axes)}. Name "
            f"the axis of times, or make {name} an input."
        )
    return axes


def _chosen(store: Store, name: str, role: str, axes: tuple[str, ...]) -> Chosen:
    shape = store.arrays[name].shape
    if "sample" not in axes:
        axes, shape = ("sample", *axes), (1, *shape)
    count = shape[axes.index("channel")] if "channel" in axes else 1
    components = tuple(map(str, range(count))) if count > 1 else ()
    return Chosen(name, role, axes, shape, components)


def _by_dims(
    store: Store, name: str, known: tuple[str, ...], notes: list[str]
) -> tuple[str, ...] | None:
    """The axes from the names in the file; None if it has none, or names that do not help."""
    dims = store.arrays[name].dims
    found = axes_of(dims, known) if dims else None
    if dims is None or found is None:
        return None
    axes, guess = found
    try:
        axes = _parsed(name, axes, known)
    except ValueError:
        return None
    if guess:
        pairs = ", ".join(f"{d} as {a}" for d, a in guess.items())
        notes.append(f"axes of {name}: {pairs}, by their order")
    renamed = [f"{d} is {a}" for d, a in zip(dims, axes, strict=True) if d not in guess and d != a]
    if renamed:
        notes.append(f"axes of {name}: {', '.join(renamed)}, by their names")
    return axes


def _times_as_samples(
    store: Store,
    found: dict[str, tuple[str, ...]],
    role_of: Mapping[str, str],
    notes: list[str],
) -> dict[str, tuple[str, ...]]:
    """The axes, where each time is a sample if inputs and targets have times but no samples."""
    fits = all("time" in axes and "sample" not in axes for axes in found.values())
    if not fits or "state" in role_of.values():
        return found
    notes.append(
        f"{', '.join(found)}: the axis of times is read as that of samples, since there is no "
        f"other; for one trajectory name a state"
    )
    return {
        name: tuple("sample" if a == "time" else a for a in axes) for name, axes in found.items()
    }


def _by_convention(store: Store, name: str, role: str, notes: list[str]) -> tuple[str, ...]:
    """sample, x, y, where an axis of length one after the first is the channel. Coordinates in the
    file tell x and y apart."""
    shape = store.arrays[name].shape
    ones = [i for i in range(1, len(shape)) if shape[i] == 1]
    num_space = len(shape) - 1 - len(ones)
    if len(shape) == 1 or (num_space == 0 and role != "state"):
        raise AmbiguousError(
            f"{name!r} {shape} has no axis of space: one number for each sample. Fields have "
            f"values at nodes; repeat the number over the nodes of the other field, or choose "
            f"another array."
        )
    if role == "state" or len(ones) > 1 or num_space not in (1, 2):
        raise AmbiguousError(
            f"The axes of {name!r} {shape} are not clear. Say what they are, in their order, "
            f"with sample, time, channel, x, y, z, by the option --axes, or by axes={{...}} in "
            f"Python."
        )
    if len(shape) == 3 and shape[0] == shape[1] != shape[2]:
        notes.append(
            f"{name} {shape}: the first axis is read as that of samples, {shape[0]} of them; if "
            f"the last one is, give --axes x,y,sample, in Python axes='x,y,sample'"
        )
    space = iter(order_of_space(store, name, [n for n in shape[1:] if n != 1], notes))
    return ("sample", *("channel" if i in ones else next(space) for i in range(1, len(shape))))


def agree(chosen: Sequence[Chosen]) -> None:
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
            f"All fields need the same {what}: {each}. Name the axes by the option --axes, or by "
            f"axes={{...}} in Python{'; ' + hint if hint else ''}."
        )
