"""Data layouts: the meaning of the arrays in a file, with one module for each public format."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch

from ..containers import open_store
from ..containers.store import Store
from ..dataset import FieldDataset
from . import named_arrays, native, neuraloperator
from .coordinates import GridLike
from .selection import Axes
from .times import Times

log = logging.getLogger("pdeops")


class Layout(Protocol):
    """A data layout."""

    def recognises(self, store: Store) -> bool:
        """Whether these arrays have this layout."""
        ...

    def open(self, store: Store, grid: GridLike | None, dtype: torch.dtype) -> FieldDataset:
        """The data set, if the fields follow from the file; else a ValueError lists its content."""
        ...


# The first layout that recognises the arrays of a file reads it; the last accepts any arrays.
LAYOUTS: dict[str, Layout] = {
    "pdeops": native,
    "neuraloperator": neuraloperator,
    "named arrays": named_arrays,
}


def layout_of(store: Store) -> str:
    """The key in `LAYOUTS` of a file's layout."""
    return next(name for name, layout in LAYOUTS.items() if layout.recognises(store))


def open_dataset(
    path: str | Path,
    *,
    inputs: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    states: Sequence[str] | None = None,
    axes: Axes | None = None,
    grid: GridLike | None = None,
    times: Times | None = None,
    dtype: torch.dtype = torch.float32,
) -> FieldDataset:
    """Open the data set in a file of any known format.

    If the file does not define which arrays are the fields, name them with `inputs` and `targets`,
    or with `states` for trajectories of an evolution problem; `axes` names their axes, as in
    `select`. `grid` gives the node positions if the file does not: a Grid, or its arguments without
    the shape, such as {"boundary": "periodic"}. `times` are those of the frames, if the file has
    none or others.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is damaged or holds other data; the message describes the content.
    """
    store = open_store(path)
    if times is not None and states is None and (inputs is None or targets is None):
        raise ValueError("times go with names of arrays; name states, or inputs and targets, too.")
    if inputs is None and targets is None and states is None and axes is None:
        dataset = LAYOUTS[layout_of(store)].open(store, grid, dtype)
    elif states is None and (inputs is None or targets is None):
        raise ValueError(
            "inputs and targets, and axes where needed, go together; got some of them. "
            "Trajectories are named by states alone."
        )
    else:
        dataset = named_arrays.open_named(
            store,
            inputs=inputs or (),
            targets=targets or (),
            states=states or (),
            axes=axes,
            grid=grid,
            times=times,
            dtype=dtype,
        )
    for note in dataset.notes:
        log.info("%s: %s", path, note)
    return dataset
