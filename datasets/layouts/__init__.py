"""Data layouts: the meaning of the arrays in a file, with one module for each public format."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from ..containers import open_store
from ..containers.store import Store
from ..dataset import FieldDataset
from . import (
    fno_navier_stokes,
    geo_fno_elasticity,
    geo_fno_plasticity,
    geo_fno_structured,
    meshes,
    named_arrays,
    native,
    neuraloperator,
    neuraloperator_car,
    pdebench_flat,
    pdebench_grouped,
    pdebench_navier_stokes,
    the_well,
    torch_cfd,
)
from .content import Format, Names
from .coordinates import GridLike
from .on_points import OnPoints
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


@dataclass(frozen=True)
class Public:
    """The layout of a public format whose files state all their fields."""

    format: Format

    def recognises(self, store: Store) -> bool:
        """Whether these arrays have this format."""
        return self.format.recognises(store)

    def open(self, store: Store, grid: GridLike | None, dtype: torch.dtype) -> FieldDataset:
        """The data set of all fields."""
        return self.format.content(store).dataset(grid, dtype)


# The first layout that recognises the arrays of a file reads it; the last accepts any arrays.
LAYOUTS: dict[str, Layout] = {
    "pdeops": native,
    "neuraloperator, cars": OnPoints(neuraloperator_car),
    "neuraloperator": neuraloperator,
    "Geo-FNO, elasticity": OnPoints(geo_fno_elasticity),
    "Geo-FNO, structured mesh": Public(geo_fno_structured),
    "Geo-FNO, plasticity": Public(geo_fno_plasticity),
    "meshes": OnPoints(meshes),
    "The Well": Public(the_well),
    "PDEBench, flat": Public(pdebench_flat),
    "PDEBench, a group for each sample": Public(pdebench_grouped),
    "PDEBench, incompressible flow": Public(pdebench_navier_stokes),
    "torch-cfd": Public(torch_cfd),
    "FNO, Navier-Stokes": Public(fno_navier_stokes),
    "named arrays": named_arrays,
}


def layout_of(store: Store) -> str:
    """The key in `LAYOUTS` of a file's layout."""
    return next(name for name, layout in LAYOUTS.items() if layout.recognises(store))


def opened(
    store: Store,
    names: Names,
    *,
    axes: Axes | None = None,
    grid: GridLike | None = None,
    times: Times | None = None,
    dtype: torch.dtype = torch.float32,
) -> FieldDataset:
    """The data set of the named arrays, role -> names, or without names of the fields that the
    layout of the file defines.

    Axes are needed only for arrays that are no fields of the layout.

    Raises:
        ValueError: axes or times without names, where the layout does not define the fields; the
            errors of `select` and of the layouts.
    """
    layout = LAYOUTS[layout_of(store)]
    if isinstance(layout, OnPoints):
        return layout.dataset(store, names, grid, dtype, axes=axes, times=times)
    if names and "state" not in names and not {"input", "target"} <= names.keys():
        raise ValueError(
            f"Name at least one input and one target, or states alone, and axes where needed; got "
            f"{' and '.join(names)} alone."
        )
    if axes is None and isinstance(layout, Public):
        content = layout.format.content(store)
        if content.holds(names):
            return content.dataset(grid, dtype, names or None, times)
    if not names:
        if axes is not None or times is not None:
            raise ValueError("axes and times go with names of arrays; name those too.")
        return layout.open(store, grid, dtype)
    return named_arrays.open_named(
        store,
        inputs=names.get("input", ()),
        targets=names.get("target", ()),
        states=names.get("state", ()),
        axes=axes,
        grid=grid,
        times=times,
        dtype=dtype,
    )


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

    Files of public formats (`LAYOUTS`) define their fields; names select some of them. If the file
    does not define which arrays are the fields, name them with `inputs` and `targets`,
    or with `states` for trajectories of an evolution problem; `axes` names their axes, as in
    `select`. `grid` gives the node positions if the file does not: a Grid, or its arguments without
    the shape, such as {"boundary": "periodic"}. `times` are those of the frames, if the file has
    none or others.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is damaged or holds other data; the message describes the content.
    """
    store = open_store(path)
    given = {"input": inputs, "target": targets, "state": states}
    names = {role: named for role, named in given.items() if named is not None}
    dataset = opened(store, names, axes=axes, grid=grid, times=times, dtype=dtype)
    for note in dataset.notes:
        log.info("%s: %s", path, note)
    return dataset
