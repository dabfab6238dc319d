"""Times of the frames of a foreign file: from coordinates in the file, else frame numbers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..containers.store import Array, Store
from ..spec import check_times
from .chosen import Chosen
from .coordinate_arrays import candidates, is_vector, whole

# Names of arrays that hold times, besides the name of the axis itself.
_NAMES = ("time", "t", "times", "t-coordinate", "t_coordinate", "tspan", "tt", "vort_t", "t_steps")


@dataclass(frozen=True)
class TimeSteps:
    """The times start, start + step, ..., one for each frame."""

    start: float
    step: float


Times = Sequence[float | int] | TimeSteps


def times_of(
    store: Store, chosen: Sequence[Chosen], notes: list[str], given: Times | None = None
) -> tuple[float, ...]:
    """Times of the frames, shared by all fields with a time axis; () without such a field.

    `given` are the times by the caller; otherwise they are read from the file.

    PDEBench files have one more time than frames; the last time is dropped, with a note. If the
    file has no times, frames are numbered from 0. If only targets have a time axis, their frames
    are numbered from 1, because the input is the initial state.

    Raises:
        ValueError: the times do not increase, are not as many as the frames, or differ between
            fields.
    """
    fields = [c for c in chosen if c.num_frames is not None]
    if not fields:
        if given is not None:
            raise ValueError(
                f"Times are those of frames, and no field has the axis time; got {given}. "
                f"Leave them out, or name the axis of times by --axes."
            )
        return ()
    if given is not None:
        found: list[np.ndarray | None] = [_given(c, given) for c in fields]
    else:
        found = [_found(store, c, fields, notes) for c in fields]
    known = [times for times in found if times is not None]
    counts = {c.num_frames for c in fields}
    if len(counts) > 1 or any(not np.array_equal(times, known[0]) for times in known[1:]):
        each = "; ".join(
            f"{c.name} has {c.num_frames} frames" + _interval(times)
            for c, times in zip(fields, found, strict=True)
        )
        raise ValueError(
            f"All fields of a file have the same times; got times that differ between fields: "
            f"{each}. Choose fields with the same frames, or cut them to those."
        )
    if known:
        check_times(known[0].tolist())
        return tuple(known[0].tolist())
    first = 1 if {c.role for c in fields} == {"target"} else 0
    last = first + counts.pop() - 1  # type: ignore[operator]  # an int: it has the axis
    notes.append(f"the file has no times of its frames: they are counted from {first} to {last}")
    return tuple(float(i) for i in range(first, last + 1))


def time_units(store: Store, chosen: Sequence[Chosen]) -> str:
    """The units of the times that the file states; else "unknown"."""
    for c in chosen:
        if c.num_frames is not None:
            dim = c.dim(store.arrays[c.name].dims, "time")
            for array in candidates(store, (*((dim,) if dim else ()), *_NAMES), ()):
                if array.units:
                    return array.units
    return "unknown"


def _given(c: Chosen, given: Times) -> np.ndarray:
    if isinstance(given, TimeSteps):
        assert c.num_frames is not None
        return given.start + given.step * np.arange(c.num_frames)
    if len(given) != c.num_frames:
        raise ValueError(
            f"{c.name} has {c.num_frames} frames; got {len(given)} times. Give one for each frame."
        )
    return np.asarray(given, dtype=np.float64)


def _found(
    store: Store, c: Chosen, fields: Sequence[Chosen], notes: list[str]
) -> np.ndarray | None:
    """The times stored for the frames of an array, in float64; None if there are none.

    Raises:
        ValueError: an array of times has another length than the axis.
    """
    n = c.num_frames
    assert n is not None
    for array in times_along(store, c, fields):
        times = _values(store, array)
        if times.size not in (n, n + 1):
            raise ValueError(
                f"{c.name} has {n} frames, and {array.name} {array.shape} in {store.title} has "
                f"{times.size} times. If the axis of times is another one, name it by --axes; else "
                f"give the times: --times 0:1 counts the frames, --times 0:0.5 has steps of 0.5, "
                f"and times=[...] in Python."
            )
        if times.size > n:
            note = f"{array.name} has one time more than there are frames: the last is left out"
            if note not in notes:
                notes.append(note)
        return times[:n]
    return None


def times_along(store: Store, c: Chosen, fields: Sequence[Chosen]) -> Iterator[Array]:
    """The arrays whose name and shape are those of times of the frames of a field."""
    dim = c.dim(store.arrays[c.name].dims, "time")
    names = (*((dim,) if dim else ()), *_NAMES)
    found = candidates(store, names, [f.name for f in fields])
    return (array for array in found if _may_be_times(array, c))


def _may_be_times(array: Array, c: Chosen) -> bool:
    """Whether an array called t may hold times: a vector, or one row for each sample. One number is
    a final time, and T a temperature."""
    if array.name.rpartition("/")[2] == "T":
        return False
    if is_vector(array.shape):
        return max(array.shape, default=1) > 1 or c.num_frames == 1
    return len(array.shape) == 2 and array.shape[0] == c.shape[c.sample_axis]


def _values(store: Store, array: Array) -> np.ndarray:
    """The times in an array: a vector, or rows of it that are all equal.

    Raises:
        ValueError: the rows differ.
    """
    times = whole(store, array)
    if is_vector(array.shape):
        return times.ravel()
    rows = times.reshape(-1, times.shape[-1])
    if not (rows == rows[0]).all():
        raise ValueError(
            f"The times {array.name} {array.shape} in {store.title} differ between samples; "
            f"pdeops reads one list of times for all. Interpolate to common times, or give the "
            f"times: --times 0:1 counts the frames, times=[...] in Python."
        )
    return rows[0]


def _interval(times: np.ndarray | None) -> str:
    return "" if times is None else f" from {times[0]:g} to {times[-1]:g}"
