"""Conversion of fields on points that differ from sample to sample."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..domain import Points
from .containers import open_store
from .containers.memory import MemoryStore
from .containers.store import Store
from .converted import converted_spec
from .kept import kept_samples
from .layouts import LAYOUTS, layout_of, native, native_file
from .layouts.on_points import OnPoints
from .layouts.point_arrays import ArrayPoints, Stored, axes_of_points
from .layouts.points_file import PointSample, write_points
from .layouts.selection import Axes
from .layouts.times import Times
from .point_source import PointSource
from .spec import ROLES, DatasetSpec, Field
from .stated_parameters import with_stated

_MEMBERS = ("positions", "mask", "weights", "cells")


def point_source(
    src: str | Path | Mapping[str, Any],
    named: Mapping[str, Sequence[str] | None],
    axes: Axes | None,
    times: Times | None,
    points: Mapping[str, Any] | None,
) -> tuple[PointSource, list[str]] | None:
    """The chosen fields on points of `src`, and notes; None if its fields lie on a grid.

    Raises:
        ValueError: an array is missing, or does not fit the positions; the errors of the layouts.
    """
    names = {roles.removesuffix("s"): list(of) for roles, of in named.items() if of is not None}
    positioned = points is not None and "positions" in points
    others = [name for name in points or () if name != "box"]  # a box is declared for any source
    if isinstance(src, Mapping):
        return _from_arrays(MemoryStore(src), names, axes, times, points) if positioned else None
    store = open_store(src)
    if positioned:
        return _from_arrays(store, names, axes, times, points)
    layout = LAYOUTS[layout_of(store)]
    ragged = native.recognises(store) and native.spec_of(store).ragged
    if others and (ragged or isinstance(layout, OnPoints)):
        raise ValueError(
            f"{store.title} defines its points itself; got {', '.join(others)}. Leave these out, "
            f"or name the array of the positions too."
        )
    if ragged:
        if not names:
            raise ValueError(
                f"{src} is a file of the project already. Name inputs and targets, or states, "
                f"to make another file of its fields."
            )
        dataset = native.open(store, None, torch.float64)
        assert isinstance(dataset.source, PointSource)
        return dataset.source.with_roles(names), []
    if isinstance(layout, OnPoints):
        dataset = layout.dataset(store, names, None, torch.float64, axes=axes, times=times)
        assert isinstance(dataset.source, PointSource)
        return dataset.source, list(dataset.notes)
    if points:
        raise ValueError(
            f"{store.title} holds fields on a grid, or its points are not known; got "
            f"{', '.join(points)}. Name the array of the positions too."
        )
    return None


def _from_arrays(
    store: Store,
    names: Mapping[str, Sequence[str]],
    axes: Axes | None,
    times: Times | None,
    points: Mapping[str, Any] | None,
) -> tuple[PointSource, list[str]]:
    """Arrays that the caller names."""
    assert points is not None
    unknown = [name for name in points if name not in (*_MEMBERS, "box")]
    wanted = [points[m] for m in _MEMBERS if m in points] + [n for of in names.values() for n in of]
    missing = [name for name in wanted if name not in store.arrays]
    if unknown or missing or not {"target", "state"} & names.keys():
        raise ValueError(
            f"Fields on points need targets, and arrays of the file for {', '.join(_MEMBERS)} "
            f"(and a box); got {', '.join(unknown or missing) or 'no targets'}. The arrays of "
            f"{store.title} are {', '.join(map(str, store.arrays.values()))}."
        )
    if times is not None or "state" in names:
        raise ValueError(
            "Trajectories on points are not converted from arrays. Write them by "
            "pdeops.datasets.write_points."
        )

    def given(name: str) -> str | None:
        chosen = axes.get(name) if isinstance(axes, Mapping) else axes
        return chosen if chosen is None or isinstance(chosen, str) else ",".join(chosen)

    places = points["positions"]
    variables = {"positions": Stored(places, axes_of_points(store, places, None, given(places)))}
    n = variables["positions"].length(store, "point")
    for name in ("mask", "weights"):
        if name in points:
            array = points[name]
            plain = "sample,point" if len(store.arrays[array].shape) == 2 else None
            axes_given = given(array) or plain
            variables[name] = Stored(array, axes_of_points(store, array, n, axes_given))
    if "cells" in points:
        rank = len(store.arrays[points["cells"]].shape)
        if rank not in (2, 3):
            raise ValueError(
                f"Cells have the axes sample, cell and corner, or cell and corner for all samples; "
                f"got {store.arrays[points['cells']]}."
            )
        variables["cells"] = Stored(points["cells"], ("sample", "cell", "corner")[3 - rank :])
    fields = []
    for role, of in names.items():
        for name in of:
            stored = Stored(name, axes_of_points(store, name, n, given(name)))
            count = stored.length(store, "channel") if "channel" in stored.axes else 0
            text = f"{name} of {store.title}"
            units = store.arrays[name].units or "unknown"
            fields.append(Field(name, role, text, units, tuple(map(str, range(count)))))
            variables[name] = stored
    notes = [] if {"weights", "cells"} & points.keys() else ["no quadrature weights are known"]
    if "input" not in names:
        notes.append("the coordinates of the points are the input")
    return ArrayPoints(store, variables, fields), notes


def converted_points(
    source: PointSource,
    notes: Sequence[str],
    src: str | Path | Mapping[str, Any],
    out: Path,
    points: Mapping[str, Any] | None,
    parameters: Mapping[str, Any] | None,
    *,
    without: Sequence[int],
    dtype: str | None,
    progress: Callable[[float], None] | None,
) -> dict[str, Any]:
    """Write the samples to a new file of the project, one by one; returns the report of `convert`.

    Raises:
        ValueError: a sample has no points, coordinates that are not finite or outside the box, or
            damaged cells; the message names the sample and the row. No file is left behind.
    """
    samples = kept_samples(len(source), without)
    origin = "arrays in memory" if isinstance(src, Mapping) else Path(src).name
    notes = list(notes)
    box = (points or {}).get("box", source.domain.box)
    if box is None:
        box = source.box(samples)
        notes.append("the box is the smallest that holds the points of all samples")
    domain = Points(source.domain.num_coordinates, volume=source.domain.declared_volume, box=box)
    known = with_stated(source.parameters, parameters or {}, len(source))
    fields = []
    for f in source.of_points:
        name = native_file.free_name(f.name, f.role, ragged=True)
        if name != f.name:
            notes.append(f"{f.name} is called {name}, since {f.name} is a variable of the file")
        fields.append(replace(f, name=name))
    spec = converted_spec(
        origin, fields, source.names, domain, len(samples), parameters=known, times=source.times
    )
    if dtype is None:
        dtypes = [source.variable(f.name, 0).dtype for f in source.of_points]
        dtype = str(np.result_type(np.float32, *dtypes))
        dtype = dtype if dtype in native_file.DTYPES else "float64"

    def drawn() -> Iterator[PointSample]:
        for k, i in enumerate(samples):
            yield _sample(source, spec, known, int(i))
            if progress is not None:
                progress((k + 1) / len(samples))

    write_points(out, spec, drawn(), dtype, sizes=source.sizes(samples), numbers=samples.tolist())
    return {
        "out": str(out),
        "samples": spec.num_samples,
        **{f"{role}s": [f.name for f in spec.fields if f.role == role] for role in ROLES},
        "points": source.summary(samples),
        "times": list(spec.times),
        "parameters": spec.parameters | {f.name: "one for each sample" for f in spec.per_sample},
        "dtype": dtype,
        "grid": domain.to_dict(),
        "bytes": out.stat().st_size,
        "notes": notes,
    }


def _sample(
    source: PointSource, spec: DatasetSpec, parameters: Mapping[str, Any], i: int
) -> PointSample:
    """Sample i of the source under the names of the spec."""
    of_points = [f for f in spec.fields if f.has_space]
    fields = {}
    for old, new in zip(source.of_points, of_points, strict=True):
        rows = np.ascontiguousarray(source.variable(old.name, i))
        fields[new.name] = torch.from_numpy(rows).movedim(0, -1)
    for f in spec.per_sample:
        fields[f.name] = torch.tensor(float(parameters[f.name][i]), dtype=torch.float64)
    cells = source.variable("cells", i) if source.num_cells is not None else None
    weights = source.variable("weights", i) if source.weights else None
    return PointSample(
        fields,
        torch.from_numpy(source.variable("positions", i).astype(np.float64)).mT,
        weights=None if weights is None else torch.from_numpy(weights.astype(np.float64)),
        cells=None if cells is None else torch.from_numpy(cells.astype(np.int64)),
    )
