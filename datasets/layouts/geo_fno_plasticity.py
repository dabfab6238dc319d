"""Geo-FNO's plasticity file (Li et al. 2023), plas_N987_T20.mat: input (sample, 101), the shape of
the die along the upper side, and output (sample, 101, 31, 20, 4), the deformed mesh and its
displacement at 20 times, on the 101 x 31 nodes of a block of material.

The fields are read on the grid of the numbers of the nodes, as in LSM: the shape of the die is
repeated along the second axis, and the 20 times of the output are frames of the target. The file
has no times, so the frames are counted from 1.
"""

from ..containers.store import Store
from ..containers.virtual import Shaped, VirtualStore
from .chosen import Chosen
from .content import Content


def recognises(store: Store) -> bool:
    """Whether there are input (sample, x) and output (sample, x, y, time, channel)."""
    if not {"input", "output"} <= set(store.arrays):
        return False
    before, after = store.arrays["input"].shape, store.arrays["output"].shape
    return len(before) == 2 and len(after) == 5 and after[:2] == before


def content(store: Store) -> Content:
    """Shape of the die -> frames of the four channels."""
    num_samples, n, m, _, channels = shape = store.arrays["output"].shape
    die = Shaped("input", (None, None, m))
    made = VirtualStore(store, {"input": die})
    names = tuple(str(k) for k in range(channels))
    fields = (
        Chosen("input", "input", ("sample", "x", "y"), (num_samples, n, m)),
        Chosen("output", "target", ("sample", "x", "y", "time", "channel"), shape, names),
    )
    note = (
        "read as Geo-FNO's plasticity: the die is repeated along the second axis of the grid of "
        "the node numbers; the 4 channels of the output are named by their numbers"
    )
    grid = {"extent": 1.0, "boundary": "neumann", "placement": "endpoints"}
    return Content(made, fields, grid=grid, notes=(note,), read=("input",))
