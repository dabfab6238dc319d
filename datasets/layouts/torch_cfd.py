"""torch-cfd's files of 2D flow, those of Spectral-Refiner (Cao et al. 2025): a dict of tensors
vorticity, stream, vort_t and residual, each (sample, time, x, y), saved by torch.

Stream function, time derivative and residual follow from the vorticity and are read only if they
are named. Older files have the time last, and vorticity_t and t_steps. The files state neither box,
nor times, nor viscosity: the published ones are FNO's flow on a box of side 1 (frames 0.2 apart
from t = 30) and decaying or forced turbulence on a box of side 2π (0.055 apart from t = 4.5).
"""

from ..containers.store import AmbiguousError, Store
from .chosen import Chosen
from .content import Content

_DERIVED = ("stream", "vort_t", "vorticity_t", "residual")
_QUESTIONS = {
    "extent": "1 for files of FNO's flow, 6.283185307179586 for McWilliams and Kolmogorov flow",
    "times": "START:STEP, such as 30:0.2 for files of FNO's flow and 4.5:0.055 for McWilliams flow",
}


def recognises(store: Store) -> bool:
    """Whether there are a vorticity of four axes and a field derived from it, of the same shape."""
    arrays = store.arrays
    if "vorticity" not in arrays or len(arrays["vorticity"].shape) != 4:
        return False
    shape = arrays["vorticity"].shape
    return any(name in arrays and arrays[name].shape == shape for name in _DERIVED)


def content(store: Store) -> Content:
    """The trajectories of the vorticity.

    Raises:
        AmbiguousError: all axes but that of samples have one length, so that time is not known.
    """
    shape = store.arrays["vorticity"].shape
    axes = _axes(store, shape)
    fields = tuple(
        Chosen(name, "state", axes, shape)
        for name in ("vorticity", *_DERIVED)
        if name in store.arrays and store.arrays[name].shape == shape
    )
    derived = [c.name for c in fields[1:]]
    has_times = "t_steps" in store.arrays
    return Content(
        store,
        fields,
        unopened=frozenset(derived),
        grid={"boundary": "periodic", "placement": "left"},
        questions={k: v for k, v in _QUESTIONS.items() if k != "times" or not has_times},
        notes=(
            f"read as torch-cfd's files, periodic; {', '.join(derived)} follow from the vorticity "
            f"and are read only if they are named",
        ),
    )


def _axes(store: Store, shape: tuple[int, ...]) -> tuple[str, ...]:
    """Time second, or last in older files: the axes of a square box have one length."""
    _, i, j, k = shape
    if j == k != i:
        return ("sample", "time", "x", "y")
    if i == j != k:
        return ("sample", "x", "y", "time")
    raise AmbiguousError(
        f"The axis of times of vorticity {shape} in {store.title} is the second, or the last in "
        f"older files, and the lengths do not show which. Name it: pdeops data convert "
        f"{store.path} own.h5 --state vorticity --axes sample,time,x,y --boundary periodic, or "
        f"the axes sample,x,y,time."
    )
