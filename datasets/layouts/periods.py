"""Fields on a periodic axis: nodes that are stored twice, and fields that are not periodic.

Files do not state whether a period is stored with both of its ends, x_i = i L/(n-1), so that the
last node is the first one again. The values do: they are equal there, in all samples.
"""
# Axes: of a snapshot, those of space of one field of one sample at one time.

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from ...domain import Boundary, Domain, Grid, Placement
from ..containers.store import Store
from ..containers.virtual import Cut, VirtualStore
from .chosen import Chosen, Selection
from .coordinates import GridLike, coordinates_along, located

# The last node repeats the first: their difference is below the first number times that between
# the last two nodes, and below the second times the largest value (round-off of float32).
_REPEATED, _ROUND_OFF = 1e-3, 1e-5

# Fields jump: the difference of last and first node is above this, in units of the largest
# difference of neighbours. It is at most 1 or so for a resolved periodic field or a shock.
_JUMP = 10.0


def located_in_period(
    store: Store, selection: Selection, given: GridLike | None
) -> tuple[Store, Selection, Domain, list[str]]:
    """`located`, without last nodes that repeat the first; the store has the shorter arrays.

    Raises:
        ValueError: the errors of `located`, or the fields jump across a periodic boundary.
    """
    chosen, nodes, notes = located(store, selection, given)
    if not isinstance(nodes, Grid):
        return store, chosen, nodes, notes
    periodic = [
        i
        for i, (b, n) in enumerate(zip(nodes.boundary, nodes.shape, strict=True))
        if b is Boundary.PERIODIC and n > 3
    ]
    snapshots = list(_snapshots(store, selection)) if periodic else []
    repeated = [
        i for i in periodic if nodes.placement[i] is Placement.LEFT and _is_repeated(snapshots, i)
    ]
    for i in periodic:
        _check_jump(store, snapshots, i, nodes.axes[i])
    if not repeated:
        return store, chosen, nodes, notes
    letters = ", ".join(nodes.axes[i] for i in repeated)
    if given is not None and not isinstance(given, Mapping):
        note = (
            f"the last node along {letters} repeats the first, as if both ends of a period were "
            f"stored; the given grid counts it as a node of its own"
        )
        return store, chosen, nodes, [*notes, note]
    store, selection = _without_last(store, selection, repeated)
    selection, nodes, notes = located(store, selection, given)
    note = f"the last node along {letters} repeats the first (both ends of a period): left out"
    return store, selection, nodes, [*notes, note]


def _snapshots(store: Store, selection: Selection) -> Iterator[np.ndarray]:
    """Fields (*space) in the file's directions, each channel apart: of the first, the middle
    and the last sample, at the last time."""
    n = selection.num_samples
    for index in sorted({0, (n - 1) // 2, n - 1}):
        for c in selection.chosen:
            key = [slice(None)] * len(c.axes)
            key[c.sample_axis] = slice(index, index + 1)
            if c.num_frames is not None:
                key[c.axes.index("time")] = slice(c.num_frames - 1, c.num_frames)
            u = c.arranged(store.read(c.name, tuple(key)), np.dtype(np.float64))
            yield from u.reshape(-1, *c.space)


def _is_repeated(snapshots: list[np.ndarray], axis: int) -> bool:
    """Whether the values at the last node are those at the first, wherever fields change there."""
    evidence = False
    for u in snapshots:
        first, before, last = (u.take(i, axis) for i in (0, -2, -1))
        if not np.isfinite(u).all():
            continue
        change, apart = abs(last - before).max(), abs(last - first).max()
        if apart > _ROUND_OFF * abs(u).max() or (change > 0 and apart > _REPEATED * change):
            return False
        evidence |= bool(change > _ROUND_OFF * abs(u).max())
    return evidence


def _check_jump(store: Store, snapshots: list[np.ndarray], axis: int, letter: str) -> None:
    """Raise a ValueError if all fields jump across a periodic boundary."""
    ratios = []
    for u in snapshots:
        inside = abs(np.diff(u, axis=axis)).max()
        apart = abs(u.take(0, axis) - u.take(-1, axis)).max()
        if np.isfinite(apart) and apart > _ROUND_OFF * abs(u).max():
            ratios.append(apart / max(inside, np.finfo(float).tiny))
    if len(ratios) == len(snapshots) and min(ratios, default=0) > _JUMP:
        raise ValueError(
            f"The fields of {store.title} must be periodic along {letter}, and they are not: from "
            f"the last node to the first they jump by {min(ratios):.3g} times the largest "
            f"difference of neighbours inside. Give the boundary that they have: --boundary "
            f"dirichlet or neumann, or grid={{'boundary': ...}} in Python."
        )


def _without_last(store: Store, selection: Selection, axes: list[int]) -> tuple[Store, Selection]:
    """The arrays and their coordinates without the last node along these axes of space."""
    cuts: dict[str, Cut] = {}
    chosen: list[Chosen] = []
    for c in selection.chosen:
        short = {c.space_axes[i] for i in axes}
        shape = tuple(n - (a in short) for a, n in zip(c.axes, c.shape, strict=True))
        shorter = replace(c, shape=shape)
        chosen.append(shorter)
        stored = len(store.arrays[c.name].shape)
        cuts[c.name] = Cut(c.name, shape[len(shape) - stored :])
        for i in axes:
            for array in coordinates_along(store, selection, c, i):
                same = array.shape == c.space_in_file
                cuts[array.name] = Cut(
                    array.name,
                    shorter.space_in_file if same else tuple(max(n - 1, 1) for n in array.shape),
                )
    return VirtualStore(store, cuts), replace(selection, chosen=tuple(chosen))
