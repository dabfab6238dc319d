"""Times of the frames of a foreign file: from coordinates in the file, else frame numbers."""

from collections.abc import Sequence

import numpy as np

from ..containers.store import Store
from ..spec import check_times
from .chosen import Chosen

# Names of arrays that hold times, besides the name of the axis itself.
_NAMES = ("time", "t", "times", "t-coordinate", "t_coordinate", "tspan", "vort_t")


def times_of(store: Store, chosen: Sequence[Chosen], notes: list[str]) -> tuple[float, ...]:
    """Times of the frames, shared by all fields with a time axis; () without such a field.

    PDEBench files have one more time than frames; the last time is dropped, with a note. If the
    file has no times, frames are numbered from 0. If only targets have a time axis, their frames
    are numbered from 1, because the input is the initial state.

    Raises:
        ValueError: the times do not increase, or differ between fields.
    """
    fields = [c for c in chosen if c.num_frames is not None]
    if not fields:
        return ()
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


def _found(
    store: Store, c: Chosen, fields: Sequence[Chosen], notes: list[str]
) -> np.ndarray | None:
    """The times stored for the frames of an array, in float64; None if there are none."""
    n = c.num_frames
    assert n is not None
    dims = store.arrays[c.name].dims
    candidates = [dims[c.axes.index("time")]] if dims else []
    for name in (*candidates, *_NAMES):
        array = store.arrays.get(name)
        if array is None or any(name == other.name for other in fields):
            continue
        if sorted(array.shape) not in ([n], [1, n], [n + 1], [1, n + 1]):
            continue
        times = np.asarray(store.read(name, (slice(None),) * len(array.shape)), dtype=np.float64)
        if times.size > n:
            note = f"{name} has one time more than there are frames: the last is left out"
            if note not in notes:
                notes.append(note)
        return times.ravel()[:n]
    return None


def _interval(times: np.ndarray | None) -> str:
    return "" if times is None else f" from {times[0]:g} to {times[-1]:g}"
