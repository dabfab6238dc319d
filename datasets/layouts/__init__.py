"""What the arrays of a data file mean: one file for each public format, known by its content."""

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

log = logging.getLogger("pdeops")


class Layout(Protocol):
    """A format."""

    def recognises(self, store: Store) -> bool:
        """Whether these arrays are of this format."""
        ...

    def open(self, store: Store, grid: GridLike | None, dtype: torch.dtype) -> FieldDataset:
        """The data set, where the file says or its names tell what it holds; else a ValueError
        says what that is."""
        ...


# The first that recognises the arrays of a file reads it; the last one takes any.
LAYOUTS: dict[str, Layout] = {
    "pdeops": native,
    "neuraloperator": neuraloperator,
    "named arrays": named_arrays,
}


def layout_of(store: Store) -> str:
    """The key in `LAYOUTS` of a file's format."""
    return next(name for name, layout in LAYOUTS.items() if layout.recognises(store))


def open_dataset(
    path: str | Path,
    *,
    inputs: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    states: Sequence[str] | None = None,
    axes: Axes | None = None,
    grid: GridLike | None = None,
    dtype: torch.dtype = torch.float32,
) -> FieldDataset:
    """The data set in a file of any known format.

    Where the file does not say which of its arrays are the fields, `inputs` and `targets` name
    them, or `states` the trajectories of an evolution problem; `axes` says what their axes are, as
    in `select`. `grid` says where the nodes lie where the file does not: a Grid, or its arguments
    without the shape, as {"boundary": "periodic"}.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or holds something else; the message says what.
    """
    store = open_store(path)
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
            dtype=dtype,
        )
    for note in dataset.notes:
        log.info("%s: %s", path, note)
    return dataset
