"""FNO's Navier-Stokes files (Li et al. 2021): the initial vorticity a (sample, x, y) and its frames
u (sample, x, y, time) at the times t (1, time), on the periodic unit box.

`ns_V1e-3_N5000_T50.mat` and others of more than 2 GB have version 7.3 and are HDF5, with the axes
in reverse (time, y, x, sample); the rest has version 5. In MATLAB's order of axes the samples of
one node are contiguous, so that a batch of few samples reads more than its own values. Files that
are not compressed are mapped, version 7.3 is read by chunks. A compressed file of version 5 is read
whole on first use. In a file of `pdeops data convert` each sample is contiguous.

Others write the initial vorticity into u as well, as its first frame: without times, and where a is
that frame, u is read alone.

Neither the viscosity nor the force is in the files.
"""

import numpy as np

from ..containers.store import Store
from ..containers.virtual import Joined, VirtualStore
from .chosen import SPACE, Chosen
from .content import Content
from .coordinate_arrays import candidates, is_vector, whole

_NOTE = "a and u: read as FNO's Navier-Stokes files, periodic on the unit box"


def recognises(store: Store) -> bool:
    """Whether u has the axes of a and one more, in two or three dimensions."""
    if not {"a", "u"} <= set(store.arrays):
        return False
    a, u = store.arrays["a"], store.arrays["u"]
    return len(a.shape) in (3, 4) and u.shape[:-1] == a.shape and a.dims is None


def content(store: Store) -> Content:
    """The trajectories u, whose first frame is a at time 0, unless u has it already.

    Raises:
        ValueError: the times are not as many as the frames.
    """
    *rest, num_frames = store.arrays["u"].shape
    axes = ("sample", *SPACE[: len(rest) - 1], "time")
    times = _times(store)
    grid = {"extent": 1.0, "boundary": "periodic", "placement": "left"}
    if any(is_vector(a.shape) for a in candidates(store, SPACE, ("a", "u"))):
        grid = {"boundary": "periodic"}  # coordinates in the file come first
    if times is not None and len(times) == num_frames and times[0] <= 0:
        u = Chosen("u", "state", axes, (*rest, num_frames))
        note = f"{_NOTE}; the first time is {times[0]:g}, so that a is not read"
        return Content(store, (u,), grid=grid, times=tuple(times.tolist()), notes=(note,))
    if times is None and _starts_with_a(store):
        u = Chosen("u", "state", axes, (*rest, num_frames))
        note = f"{_NOTE}; the first frame of u is equal to a, so that a is not read"
        return Content(store, (u,), grid=grid, notes=(note,))
    store = VirtualStore(store, {"u": Joined("a", "u", len(rest))})
    u = Chosen("u", "state", axes, (*rest, num_frames + 1))
    note = f"{_NOTE}; the first frame of u is a, at time 0"
    if times is not None and len(times) == num_frames:
        times = np.array([0.0, *times])
    return Content(
        store,
        (u,),
        grid=grid,
        times=None if times is None else _checked(store, times, num_frames + 1),
        notes=(note,),
    )


def _starts_with_a(store: Store) -> bool:
    """Whether a is the first frame of u in the first and the last sample, up to the rounding of the
    lower precision."""
    num_samples, *space = store.arrays["a"].shape
    if 0 in store.arrays["u"].shape:
        return False
    inside = tuple(slice(None) for _ in space)
    for i in {0, num_samples - 1}:
        a = store.read("a", (slice(i, i + 1), *inside))
        u = store.read("u", (slice(i, i + 1), *inside, slice(0, 1)))[..., 0]
        lower = min(a.dtype, u.dtype, key=lambda dtype: dtype.itemsize)
        if not np.array_equal(a.astype(lower), u.astype(lower), equal_nan=True):
            return False
    return True


def _times(store: Store) -> np.ndarray | None:
    """The times in the file; None without an array t. One number is a final time."""
    for array in candidates(store, ("t", "time", "tspan"), ("a", "u")):
        if is_vector(array.shape) and max(array.shape, default=1) > 1:
            return whole(store, array).ravel()
        if array.shape and np.prod(array.shape) == store.arrays["u"].shape[-1] == 1:
            return whole(store, array).ravel()
    return None


def _checked(store: Store, times: np.ndarray, num_frames: int) -> tuple[float, ...]:
    if len(times) != num_frames:
        raise ValueError(
            f"u in {store.title} has {num_frames - 1} frames after a, and t has {len(times)} "
            f"times. Give the times of the frames of u alone: pdeops data convert {store.path} "
            f"own.h5 --state u --axes sample,x,y,time --times 1:1 counts them from 1."
        )
    return tuple(times.tolist())
