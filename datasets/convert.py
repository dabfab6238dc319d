"""Data of any known format, or arrays in memory, as a file of the project."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .containers.stores import MemoryStore, Store
from .generate.partial import partial_file
from .layouts import READERS, format_of, hdf5
from .layouts.coordinates import GridLike, grid_of
from .layouts.selection import SPACE, Axes, Chosen, Selection, select
from .layouts.sources import ArraySource
from .spec import DatasetSpec, Field
from .thinning import thinned


def convert(
    src: str | Path | Mapping[str, Any],
    out: str | Path,
    *,
    inputs: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    axes: Axes | None = None,
    grid: GridLike | None = None,
    stride: int = 1,
    dtype: str | None = None,
    progress: Callable[[float], None] | None = None,
) -> dict[str, Any]:
    """Write the chosen arrays of `src` as inputs and targets to a new file of the project.

        convert({"a": a, "u": u}, "own.h5", inputs=["a"], targets=["u"])

    Values are streamed in blocks as they lie on the disk (a .mat file of version 5 to 7 and a
    compressed .npz are read whole, one array at a time). The file gets its name when it is
    complete.

    Args:
        src: a file of any known format, a folder of .npy files, or a dict of arrays.
        inputs, targets: names of arrays; both may be left out where `open_dataset(src)` needs none.
        axes: what the axes are, in the order of the arrays, as `select` reads it:
            "sample,x,y", or {"u": "x,sample"} for single arrays.
        grid: where the nodes of src lie: a Grid, or its arguments without the shape, as
            {"boundary": "periodic"}. What is not said is taken from coordinates in the file, else
            from the defaults of `Grid`, with a note.
        stride: keep every stride-th node of each axis of space; 5 makes 421 x 421 nodes 85 x 85.
        dtype: "float32" or "float64", as stored; by default that of the most precise array.
        progress: is told which fraction is written.

    Returns:
        The file, its samples, fields, dtype and grid, and in "notes" what was concluded.

    Raises:
        ValueError: `out` exists, no such array, shapes, grid or stride that do not fit, values that
            are no real numbers. Nothing is left behind then.
        OSError: no room.
    """
    out = Path(out)
    hdf5.refuse_existing(out)
    store, selection, fine, notes = _opened(src, inputs, targets, axes, grid)
    nodes, first = thinned(fine, stride)
    thinning = f", one node of {stride} along each axis" if stride > 1 else ""
    fields = _fields(selection, _origin(src))
    if dtype is None:
        dtype = _widest(store, selection)
    spec = DatasetSpec(
        name="converted",
        kind=f"{', '.join(selection.input_names)} -> {', '.join(selection.target_names)}",
        equation=f"not stated in {_origin(src)}",
        fields=fields,
        domain=nodes,
        parameters={},
        seed=None,
        num_samples=selection.num_samples,
        tolerance=math.inf,
        isometric=None,
        source=f"converted from {_origin(src)}{thinning}",
        licence=f"that of {_origin(src)}",
    )
    with partial_file(out, spec, dtype) as part:
        try:
            kept = tuple(slice(i, None, stride) for i in first)
            _write(part.path, store, selection, fields, kept, progress or (lambda done: None))
            part.publish(out)
        except BaseException:
            part.path.unlink(missing_ok=True)
            raise
    renamed = [
        f"{old} is called {field.name}, since {old} is a coordinate in the file"
        for old, field in zip(
            (*selection.input_names, *selection.target_names), fields, strict=True
        )
        if old != field.name
    ]
    return {
        "out": str(out),
        "samples": selection.num_samples,
        "inputs": [f.name for f in spec.inputs],
        "targets": [f.name for f in spec.targets],
        "dtype": dtype,
        "grid": nodes.to_dict(),
        "bytes": out.stat().st_size,
        "notes": [*notes, *renamed],
    }


def _opened(
    src: str | Path | Mapping[str, Any],
    inputs: Sequence[str] | None,
    targets: Sequence[str] | None,
    axes: Axes | None,
    grid: GridLike | None,
) -> tuple[Store, Selection, Any, list[str]]:
    """What is to be written, and on which grid."""
    if isinstance(src, Mapping):
        store: Store = MemoryStore(src)
        if not inputs or not targets:
            raise ValueError(f"Name inputs and targets among the arrays: {', '.join(src)}.")
    else:
        path = Path(src)
        reader = READERS[format_of(path)]
        if inputs is None and targets is None:
            if axes is not None:
                raise ValueError("axes go with inputs and targets; name those too.")
            dataset = reader.open(path, grid, torch.float64)
            if dataset.spec is not None:
                raise ValueError(
                    f"{path} is a file of the project already. Name inputs and targets to make "
                    f"other pairs of its fields."
                )
            source = dataset.source
            assert isinstance(source, ArraySource)
            return source.store, source.selection, dataset.domain, list(dataset.notes)
        if not inputs or not targets:
            raise ValueError("Name at least one input and one target, or neither.")
        store = reader.store(path)
    selection = select(store, inputs, targets, axes)
    nodes, notes = grid_of(store, selection, grid)
    return store, selection, nodes, [*selection.notes, *notes]


def _fields(selection: Selection, origin: str) -> tuple[Field, ...]:
    """The fields of the file, in the order of the channels."""
    return tuple(
        Field(hdf5.free_name(name, role), role, f"{name} of {origin}", "unknown")
        for role, names in (
            ("input", selection.input_names),
            ("target", selection.target_names),
        )
        for name in names
    )


def _widest(store: Store, selection: Selection) -> str:
    """The shortest type of the file's that holds every value of the arrays as it is."""
    dtypes = [store.arrays[c.name].dtype for c in (*selection.inputs, *selection.targets)]
    return "float32" if np.result_type(np.float32, *dtypes) == np.float32 else "float64"


def _write(
    path: Path,
    store: Store,
    selection: Selection,
    fields: Sequence[Field],
    kept: tuple[slice, ...],
    progress: Callable[[float], None],
) -> None:
    """Copy the nodes that are kept of all arrays, block by block."""
    chosen = (*selection.inputs, *selection.targets)
    total = sum(int(np.prod(c.shape)) for c in chosen)
    done, names = 0, iter(f.name for f in fields)
    import h5py

    with h5py.File(path, "r+", locking=False) as file:
        for c in chosen:
            variables = [file[next(names)] for _ in c.channels]
            for block in store.arrays[c.name].blocks():
                values = store.read(c.name, block)
                _copy(values, variables, c, block, kept)
                done += values.size
                progress(done / total)


def _copy(
    values: np.ndarray,
    variables: Sequence[Any],
    c: Chosen,
    block: tuple[slice, ...],
    kept: tuple[slice, ...],
) -> None:
    """Put what is kept of one block of an array at its place in the variables of its channels."""
    where = dict(zip(c.axes, block, strict=True))
    for axis, every in zip(SPACE, kept, strict=False):
        i = c.axes.index(axis)
        inside, where[axis] = _cut(where[axis].start, values.shape[i], every)
        values = values[(*(slice(None),) * i, inside)]
    channels = variables[where.pop("channel", slice(None))]
    place = tuple(where[axis] for axis in ("sample", *SPACE) if axis in where)
    u = c.fields(values, variables[0].dtype)
    if u.size:
        for i, variable in enumerate(channels):
            variable[place] = u[:, i]


def _cut(start: int, size: int, kept: slice) -> tuple[slice, slice]:
    """Which of the `size` nodes from `start` on are kept, counted from there, and which numbers
    they get."""
    before = max(-((kept.start - start) // kept.step), 0)  # kept ones in front of `start`
    inside = slice(kept.start + before * kept.step - start, None, kept.step)
    return inside, slice(before, before + len(range(inside.start, size, kept.step)))


def _origin(src: str | Path | Mapping[str, Any]) -> str:
    return "arrays in memory" if isinstance(src, Mapping) else Path(src).name
