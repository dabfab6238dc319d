"""Geo-FNO's elasticity files (Li et al. 2023), a folder of .npy files with the samples last:
Random_UnitCell_XY_10 (972, 2, sample), the points of a unit cell with a void;
Random_UnitCell_sigma_10 (972, sample), the stress there; and Random_UnitCell_rr_10 and
Random_UnitCell_theta_10 (42, sample), radii and angles that describe the void.

The stress is the target. The coordinates are the input, as in LSM and Transolver. The radii are
parameters rr_0, rr_1, ... of each sample, which `num_parameters = 42` of PointLSM takes; the angles
are not read, since they are those of the radii. Cells and quadrature weights are not in the files.
"""

import re

import numpy as np

from ..containers.store import Store
from ..spec import Field
from .on_points import PointContent
from .point_arrays import ArrayPoints, Stored

UNIT_CELL = [[0.0, 0.0], [1.0, 1.0]]


def _named(store: Store, part: str) -> str | None:
    """The name of the array with this part between underscores."""
    found = [name for name in store.arrays if part in re.split(r"[_/]", name)]
    return found[0] if len(found) == 1 else None


def recognises(store: Store) -> bool:
    """Whether there are coordinates XY (n, 2, sample) and a stress sigma (n, sample)."""
    places, stress = _named(store, "XY"), _named(store, "sigma")
    if places is None or stress is None:
        return False
    shape = store.arrays[places].shape
    return len(shape) == 3 and shape[1] == 2 and store.arrays[stress].shape == shape[::2]


def content(store: Store) -> PointContent:
    """The stress on the points of each sample.

    Raises:
        ValueError: radii and stress differ in the number of samples.
    """
    places, stress, radii = (_named(store, part) for part in ("XY", "sigma", "rr"))
    assert places is not None
    assert stress is not None
    variables = {
        "positions": Stored(places, ("point", "coordinate", "sample")),
        "sigma": Stored(stress, ("point", "sample")),
    }
    parameters = {}
    if radii is not None:
        if store.arrays[radii].shape[1:] != store.arrays[stress].shape[1:]:
            raise ValueError(
                f"The radii {store.arrays[radii]} and the stress {store.arrays[stress]} of "
                f"{store.title} must have the same samples, along their last axes."
            )
        rows = np.array(store.read(radii, (slice(None), slice(None))), np.float64)
        parameters = {f"rr_{k}": row for k, row in enumerate(rows)}
    fields = [Field("sigma", "target", "stress", "unknown")]
    notes = (
        f"read as Geo-FNO's elasticity: the coordinates in the unit cell are the input, "
        f"{len(parameters)} radii are parameters; no cells and no quadrature weights",
    )
    source = ArrayPoints(
        store,
        variables,
        fields,
        box=UNIT_CELL,
        parameters=parameters,
        read=() if radii is None else (radii,),
    )
    return PointContent(source, {"target": ["sigma"]}, notes)
