"""Conversion of files of known formats, or of arrays in memory, to the project's HDF5 format."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..domain import Domain
from .checks import Finite
from .containers import open_store
from .containers.memory import MemoryStore
from .containers.store import Store
from .convert_points import converted_points, point_source
from .converted import converted_spec
from .generate.partial import partial_file
from .kept import Kept, kept_samples
from .layouts import native, native_file, opened
from .layouts.array_source import ArraySource
from .layouts.chosen import SPACE, Chosen, Selection
from .layouts.coordinates import GridLike
from .layouts.named_arrays import placed
from .layouts.selection import Axes, select
from .layouts.times import Times, time_units
from .sample_numbers import numbers
from .spec import ROLES, DatasetSpec, Field
from .stated_parameters import with_stated
from .thinning import thinned


def convert(
    src: str | Path | Mapping[str, Any],
    out: str | Path,
    *,
    inputs: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    states: Sequence[str] | None = None,
    axes: Axes | None = None,
    grid: GridLike | None = None,
    stride: int = 1,
    dtype: str | None = None,
    times: Times | None = None,
    parameters: Mapping[str, Any] | None = None,
    points: Mapping[str, Any] | None = None,
    without: Sequence[int] = (),
    allow_nan: bool = False,
    progress: Callable[[float], None] | None = None,
) -> dict[str, Any]:
    """Write the chosen arrays of `src` as fields to a new file of the project.

        convert({"a": a, "u": u}, "own.h5", inputs=["a"], targets=["u"])
        convert({"w": w, "t": t}, "flow.h5", states=["w"], axes="sample,time,x,y")

    Each field becomes one variable, with an axis "channel" if it has components. Values are
    streamed in blocks in the order of the disk (a .mat file of version 5 to 7 and a compressed .npz
    are read whole, one array at a time). The file is renamed to `out` when it is complete.

    Args:
        src: a file of any known format, a folder of .npy files, or a dict of arrays.
        inputs, targets: names of arrays; not needed if `open_dataset(src)` needs no names.
        states: names of trajectory arrays, first frames included; used in place of targets. The
            times of the frames are read from an array "time" or "t", else the frames are counted.
        axes: names of the axes of the arrays in order, as in `select`: "sample,x,y", or
            {"u": "x,sample"} for single arrays.
        grid: the grid of src: a Grid, or its arguments without the shape, such as
            {"boundary": "periodic"}. Missing arguments are taken from coordinates in the file, or
            else from the defaults of `Grid`, with a note.
        times: times of the frames, if src has none or others.
        parameters: parameters of the equation that src does not state, such as {"viscosity": 1e-3},
            or an array with one number for each sample of src; they are stored together with those
            that it states.
        points: for fields on points of each sample, names of the arrays "positions" (sample, point,
            coordinate), and where they are known "mask" and "weights" (sample, point) and "cells"
            (sample, cell, corner); and "box", its lower and upper corner. The coordinates are the
            input, unless `inputs` are named. Not needed for files of meshes and public formats.
        without: numbers of samples to leave out.
        allow_nan: store NaN and infinite values, with a note; by default they are an error, since
            nothing can be trained or evaluated on them.
        stride: keep every stride-th node of each space axis; 5 maps 421 x 421 nodes to 85 x 85.
        dtype: stored precision, "float32" or "float64"; by default that of the most precise array.
        progress: called with the fraction written.

    Returns:
        A report: file, number of samples, fields, dtype, grid, and inferred properties in "notes".

    Raises:
        ValueError: `out` exists, an array is missing or not real, shapes, times, grid or stride are
            inconsistent, a parameter is not finite, has another number of samples or contradicts
            src, a viscosity is negative, or values are NaN, infinite, or too large for dtype; the
            message names the field and its samples. No file is left behind.
        OSError: the disk is full.
    """
    out = Path(out)
    native_file.refuse_existing(out)
    named = {"inputs": inputs, "targets": targets, "states": states}
    found = point_source(src, named, axes, times, points)
    if found is not None:
        of_grids = dict.fromkeys(grid, True) if isinstance(grid, Mapping) else {"grid": grid}
        refused = {**of_grids, "stride": stride != 1, "allow_nan": allow_nan}
        if given := [name for name, value in refused.items() if value]:
            raise ValueError(
                f"Points have coordinates of their own, and their values must be finite; got "
                f"{', '.join(given)}. Leave these out."
            )
        return converted_points(
            *found, src, out, points, parameters, without=without, dtype=dtype, progress=progress
        )
    store, selection, fine, notes = _opened(src, named, axes, grid, times)
    stated = with_stated(selection.parameters, parameters or {}, selection.num_samples)
    selection = replace(selection, parameters=stated)
    nodes, first = thinned(fine, stride)
    if dtype is None:
        dtype = _widest(store, selection)
    samples = kept_samples(selection.num_samples, without)
    _refuse_unsolved(store, samples)
    spec = _spec(src, store, selection, nodes, stride, len(samples))
    kept = Kept(samples, tuple(slice(i, None, stride) for i in first))
    checks = [
        Finite(c.name, store.title, len(samples), allow_nan=allow_nan) for c in selection.chosen
    ]
    with partial_file(out, spec, dtype) as part:
        try:
            _write(part.path, store, selection, spec, kept, checks, progress or (lambda done: None))
            _write_parameters(part.path, selection, spec, samples)
            part.publish(out)
        except BaseException:
            part.path.unlink(missing_ok=True)
            raise
    notes += [note for check in checks for note in check.notes()]
    renamed = [
        f"{c.field} is called {field.name}, since {c.field} is a coordinate in the file"
        for c, field in zip(selection.chosen, spec.fields, strict=False)
        if c.field != field.name
    ]
    return {
        "out": str(out),
        "samples": spec.num_samples,
        **{f"{role}s": [f.name for f in spec.fields if f.role == role] for role in ROLES},
        "times": list(spec.times),
        "parameters": spec.parameters | {f.name: "one for each sample" for f in spec.per_sample},
        "dtype": dtype,
        "grid": nodes.to_dict(),
        "bytes": out.stat().st_size,
        "notes": [*notes, *renamed],
    }


def _opened(
    src: str | Path | Mapping[str, Any],
    named: Mapping[str, Sequence[str] | None],
    axes: Axes | None,
    grid: GridLike | None,
    times: Times | None,
) -> tuple[Store, Selection, Domain, list[str]]:
    """The source arrays, their selection, the grid, and notes on inferred properties."""
    given = {roles: names for roles, names in named.items() if names is not None}
    space: tuple[str, ...] = SPACE
    if isinstance(src, Mapping):
        store: Store = MemoryStore(src)
        if not given:
            raise ValueError(
                f"Name inputs and targets, or states, among the arrays: {', '.join(map(str, src))}."
            )
    else:
        store = open_store(src)
        ours = native.recognises(store)
        if not ours:
            names = {roles.removesuffix("s"): list(chosen) for roles, chosen in given.items()}
            dataset = opened(store, names, axes=axes, grid=grid, times=times, dtype=torch.float64)
            source = dataset.source
            assert isinstance(source, ArraySource)
            return source.store, source.selection, dataset.domain, list(dataset.notes)
        if not given:
            raise ValueError(
                f"{src} is a file of the project already. Name inputs and targets, or states, "
                f"to make another file of its fields."
            )
        if grid is None:
            grid = native.spec_of(store).domain
            space = grid.axes
    selection = select(store, **given, axes=axes, space=space, times=times)
    if native.recognises(store):
        selection = replace(selection, parameters=native.parameters(store))
    return placed(store, selection, grid)


def _write_parameters(
    path: Path, selection: Selection, spec: DatasetSpec, samples: np.ndarray
) -> None:
    """Write the parameters that differ between samples.

    Raises:
        ValueError: one is not finite.
    """
    import h5py

    with h5py.File(path, "r+", locking=False) as file:
        for field in spec.per_sample:
            values = selection.parameters[field.name][samples]
            if not np.isfinite(values).all():
                raise ValueError(f"The parameter {field.name} is not finite in all samples.")
            file[field.name][:] = values


def _refuse_unsolved(store: Store, samples: np.ndarray) -> None:
    """Raise a ValueError if a kept sample of a generated file has no residual."""
    if native.recognises(store):
        bad = [i for i in native.open(store, None, torch.float64).unsolved() if i in samples]
        if bad:
            raise ValueError(
                f"{store.title} holds samples that were not solved, or not verified: the residual "
                f"is NaN in sample(s) {numbers(bad)}. Leave them out: --without "
                f"{numbers(bad, shown=None)}, or without=[...] in Python."
            )


def _spec(
    src: str | Path | Mapping[str, Any],
    store: Store,
    selection: Selection,
    nodes: Domain,
    stride: int,
    num_samples: int,
) -> DatasetSpec:
    """The spec of the new file, with the selected fields in their order."""
    origin = "arrays in memory" if isinstance(src, Mapping) else Path(src).name
    known = native.spec_of(store) if native.recognises(store) else None
    fields = {f.name: f for f in known.fields} if known else {}

    def field(c: Chosen) -> Field:
        old = fields.get(c.field)
        stated = store.arrays[c.name].units or "unknown"
        return Field(
            name=native_file.free_name(c.field, c.role),
            role=c.role,
            description=old.description if old else f"{c.field} of {origin}",
            units=old.units if old else stated,
            channels=old.channels if old and c.components else c.components,
            evolves=c.role != "state" and c.num_frames is not None,
        )

    return converted_spec(
        origin,
        map(field, selection.chosen),
        selection.names,
        nodes,
        num_samples,
        parameters=selection.parameters,
        equation=selection.equation,
        times=selection.times,
        time_units=known.time_units if known else time_units(store, selection.chosen),
        changes=f", one node of {stride} along each axis" if stride > 1 else "",
    )


def _widest(store: Store, selection: Selection) -> str:
    """The smaller of float32 and float64 that represents all values of the arrays exactly."""
    dtypes = [store.arrays[c.name].dtype for c in selection.chosen]
    return "float32" if np.result_type(np.float32, *dtypes) == np.float32 else "float64"


def _write(
    path: Path,
    store: Store,
    selection: Selection,
    spec: DatasetSpec,
    kept: Kept,
    checks: Sequence[Finite],
    progress: Callable[[float], None],
) -> None:
    """Copy the kept samples and nodes of all arrays, block by block.

    Raises:
        ValueError: the check of an array fails, once all its values are read.
    """
    total = sum(int(np.prod(c.shape)) for c in selection.chosen)
    done = 0
    import h5py

    with h5py.File(path, "r+", locking=False) as file:
        fields = [field for field in spec.fields if field.has_space]
        for c, field, check in zip(selection.chosen, fields, checks, strict=True):
            for block in store.arrays[c.name].blocks():
                values = store.read(c.name, block)
                _copy(values, file[field.name], c, block, kept, check)
                done += values.size
                progress(done / total)
            check.result()


def _copy(
    values: np.ndarray,
    variable: Any,
    c: Chosen,
    block: tuple[slice, ...],
    kept: Kept,
    check: Finite,
) -> None:
    """Write the kept samples and nodes of one block of an array to their position in the variable.

    A block may end beyond the array; positions of flipped axes are counted from its other end.
    """
    values = c.upright(values)
    position = dict(zip(c.axes, block, strict=True))
    for i, axis in enumerate(c.axes):
        start, size = block[i].start, values.shape[i]
        if axis in c.flipped:
            start = c.shape[i] - start - size
        inside: slice | np.ndarray
        if axis == "sample":
            inside, position[axis] = kept.of_samples(start, size)
        elif axis in c.space_axes:
            inside, position[axis] = kept.of_nodes(c.space_axes.index(axis), start, size)
        else:
            continue
        values = values[(*(slice(None),) * i, inside)]
    if not values.size:
        return
    u = c.arranged(values, variable.dtype)
    check.add(values, u, c, kept.samples[position["sample"]])
    if not c.components:
        u = u.squeeze(2 if c.num_frames is not None else 1)
        position.pop("channel", None)
    variable[tuple(position[axis] for axis in c.order if axis in position)] = u
