"""Files of The Well (Ohana et al. 2024): one file, several fields of one simulation.

    /                     n_trajectories, grid_type, simulation_parameters, an attribute for each
    /dimensions           spatial_dims; time (time) or (sample, time); one vector for each dimension
    /boundary_conditions  groups with associated_dims and bc_type (wall, open or periodic)
    /scalars              numbers, or one for each sample (sample_varying)
    /t0_fields            scalars (sample, time, *space)
    /t1_fields            vectors (sample, time, *space, D)
    /t2_fields            tensors (sample, time, *space, D, D), or D² in one axis

An axis along which a field does not vary (sample_varying, time_varying, dim_varying) is absent;
here the values repeat along it, without being copied. Fields that do not vary in time are inputs,
all others are states. A batch reads its samples and frames only. Components have the order of the
axes in a batch: x before y, also where spatial_dims is y, x.
"""
# Axes: n samples, t time, *space, D components.

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ...domain import Latitudes, Sphere
from ..containers.store import Store
from ..containers.virtual import Shaped, VirtualStore
from .chosen import SPACE, Chosen
from .content import Content, numbers, text, texts
from .coordinate_arrays import whole
from .coordinates import GridLike

_GROUPS = ("t0_fields", "t1_fields", "t2_fields")  # by the order of their tensors
_COMPONENT_AXES = ((0,), (1,), (1, 2))  # numbers of axes of components, by the same order


def recognises(store: Store) -> bool:
    """Whether the file has groups of fields and of dimensions with the names of The Well."""
    names = store.members()
    return "dimensions" in names and any(group in names for group in _GROUPS)


def content(store: Store) -> Content:
    """All fields; those that are constant in time as inputs.

    Raises:
        ValueError: an array does not have the axes that its attributes state, or coordinates differ
            between samples.
    """
    dims = _dims(store)
    sizes = {dim: _size(store, dim) for dim in dims}
    num_samples = int(numbers(store.attributes_of("/")).get("n_trajectories", 0))
    num_samples = num_samples or _num_samples(store)
    grid, questions = _grid(store, dims)
    notes = ["read as a file of The Well"]
    fields, virtual = [], {}
    for order, group in enumerate(_GROUPS):
        for name in store.members(group):
            path = f"{group}/{name}"
            if path in store.arrays:
                c, shaped = _field(store, path, order, sizes, num_samples)
                fields.append(c)
                virtual[path] = shaped
            else:
                notes.append(f"{path} is not read: {store.refused.get(path, 'it is no array')}")
    if isinstance(grid, Sphere):  # its nodes are checked; names would lead to them once more
        virtual = {path: replace(shaped, dims=None) for path, shaped in virtual.items()}
    parameters, unread = _parameters(store, num_samples)
    return Content(
        VirtualStore(store, virtual),
        tuple(fields),
        grid=grid,
        questions=questions,
        parameters=parameters,
        notes=(*notes, *unread),
        read=(*(f"dimensions/{dim}" for dim in dims), *(f"scalars/{name}" for name in parameters)),
    )


def _dims(store: Store) -> list[str]:
    """Names of the dimensions of space, in the order of the axes."""
    stated = store.attributes_of("dimensions").get("spatial_dims")
    if stated is not None:
        return texts(stated)
    names = [name for name in store.members("dimensions") if name != "time"]
    return sorted(names, key=lambda d: (SPACE.index(d) if d in SPACE else len(SPACE), d))


def _size(store: Store, dim: str) -> int:
    array = store.arrays.get(f"dimensions/{dim}")
    if array is None or len(array.shape) != 1:
        raise ValueError(
            f"dimensions/{dim} in {store.title} must be one vector of coordinates for all samples "
            f"and times; got {'nothing' if array is None else array.shape}. Interpolate the fields "
            f"to a common grid."
        )
    return array.shape[0]


def _num_samples(store: Store) -> int:
    """The length of the first axis of a field that varies between samples."""
    for name, array in store.arrays.items():
        if name.startswith(_GROUPS) and _flag(store.attributes_of(name), "sample_varying"):
            return array.shape[0]
    return 1


def _flag(attributes: Mapping[str, Any], name: str) -> bool:
    """Whether a field varies; true if the attribute is absent."""
    return bool(np.all(attributes.get(name, True)))


def _field(
    store: Store, path: str, order: int, sizes: Mapping[str, int], num_samples: int
) -> tuple[Chosen, Shaped]:
    """A field with all axes of its samples and nodes, and of its times if it varies in time."""
    array, varies = store.arrays[path], _varies(store, path, list(sizes))
    lengths = {"sample": num_samples, "time": None, **sizes}  # None: any number of times
    axes = [axis for axis in lengths if axis != "time" or varies["time"]]
    present = [axis for axis in axes if varies[axis]]
    stored, components = array.shape[: len(present)], array.shape[len(present) :]
    if (
        len(stored) < len(present)
        or any(lengths[a] not in (None, n) for a, n in zip(present, stored, strict=True))
        or len(components) not in _COMPONENT_AXES[order]
    ):
        missing = ", ".join(a for a in lengths if not varies[a]) or "no axis"
        raise ValueError(
            f"{path} {array.shape} in {store.title} must have the axes of {num_samples} samples, "
            f"times and {' x '.join(map(str, sizes.values()))} nodes, without those along which "
            f"its attributes state that it does not vary ({missing}), then {order} axes of "
            f"components. Download or write the file again."
        )
    channel = ("channel",) if order else ()
    num_components = int(np.prod(components, dtype=np.int64))
    names, order_in_file = _components(list(sizes), order, num_components)
    shaped = Shaped(
        path,
        tuple(None if varies[axis] else lengths[axis] for axis in axes),
        len(components),
        dims=(*axes, *channel),
        order=order_in_file,
    )
    leading = ("sample", *(("time",) if varies["time"] else ()))
    chosen = Chosen(
        path,
        "state" if varies["time"] else "input",
        (*leading, *_space(list(sizes)), *channel),
        shaped.described(store, path).shape,
        names,
    )
    return chosen, shaped


def _varies(store: Store, path: str, dims: list[str]) -> dict[str, bool]:
    """Whether a field varies between samples, in time and along each dimension; true for absent
    attributes."""
    stated = store.attributes_of(path)
    along = np.broadcast_to(np.asarray(stated.get("dim_varying", True), dtype=bool), len(dims))
    return {
        "sample": _flag(stated, "sample_varying"),
        "time": _flag(stated, "time_varying"),
        **dict(zip(dims, along.tolist(), strict=True)),
    }


def _space(dims: list[str]) -> tuple[str, ...]:
    """The axes x, y, z: by their names, else in their order."""
    return tuple(dims) if set(dims) <= set(SPACE) else SPACE[: len(dims)]


def _in_batch(dims: list[str]) -> list[str]:
    """The dimensions in the order of the axes of a batch; see `Chosen.space_axes`."""
    return sorted(dims, key=SPACE.index) if set(dims) <= set(SPACE) else dims


def _components(
    dims: list[str], order: int, number: int
) -> tuple[tuple[str, ...], tuple[int, ...] | None]:
    """Names of the components in the order of the axes of a batch: x, y; xx, xy, yx, yy; and their
    numbers in the file. If there are others, their numbers are their names."""
    if order == 0:
        return (), None
    in_file, in_batch = (
        list(names) if order == 1 else [f"{a}{b}" for a in names for b in names]
        for names in (dims, _in_batch(dims))
    )
    if len(in_file) != number:
        return tuple(map(str, range(number))), None
    return tuple(in_batch), tuple(map(in_file.index, in_batch))


def _parameters(store: Store, num_samples: int) -> tuple[dict[str, float | np.ndarray], list[str]]:
    """Parameters of the simulation and scalars, and notes on scalars that change in time."""
    root, notes = store.attributes_of("/"), []
    listed = texts(root.get("simulation_parameters", []))
    found: dict[str, float | np.ndarray] = dict(numbers({n: root[n] for n in listed if n in root}))
    for name in store.members("scalars"):
        path = f"scalars/{name}"
        if path not in store.arrays:
            continue
        stated, values = store.attributes_of(path), whole(store, store.arrays[path])
        if values.size == 1:
            found[name] = float(values.ravel()[0])
        elif _flag(stated, "time_varying") or values.shape != (num_samples,):
            notes.append(f"{path} {values.shape} changes in time, and is not read")
        else:
            found[name] = values
    return found, notes


def _grid(store: Store, dims: list[str]) -> tuple[GridLike, dict[str, str]]:
    """The domain, or the arguments of a grid, and what the file leaves open."""
    kind = text(store.attributes_of("/").get("grid_type", "cartesian")).lower()
    if kind != "cartesian":
        sphere = _sphere(store, dims)
        if sphere is not None:
            return sphere, {}
        return {}, {
            name: f"the grid is {kind}, with the axes {', '.join(dims)}: give those of the box of "
            f"coordinates on which the fields are to be read as if it were cartesian"
            for name in ("extent", "boundary", "placement")
        }
    sides = _boundaries(store, dims)
    if all(side == {"periodic"} for side in sides.values()):
        return {"boundary": "periodic"}, {}
    each = ", ".join(
        f"{dim} {' and '.join(sorted(sides[dim])) or 'not stated'}" for dim in _in_batch(dims)
    )
    return {}, {
        "boundary": f"the file states {each}; periodic, dirichlet or neumann for each axis, with "
        f"commas between them"
    }


def _boundaries(store: Store, dims: list[str]) -> dict[str, set[str]]:
    """The kinds of boundary of each dimension, in lower case."""
    sides: dict[str, set[str]] = {dim: set() for dim in dims}
    for name in store.members("boundary_conditions"):
        stated = store.attributes_of(f"boundary_conditions/{name}")
        for dim in texts(stated.get("associated_dims", [])):
            if dim in sides and "bc_type" in stated:
                sides[dim].add(text(stated["bc_type"]).lower())
    return sides


def _sphere(store: Store, dims: list[str]) -> Sphere | None:
    """The sphere whose nodes are the file's colatitudes and longitudes; None for other nodes."""
    if len(dims) != 2:
        return None
    theta, phi = (whole(store, store.arrays[f"dimensions/{dim}"]) for dim in dims)
    for latitudes in Latitudes:
        sphere = Sphere((len(theta), len(phi)), latitudes)
        nodes = (sphere.axis(0).numpy(), sphere.axis(1).numpy())
        if all(
            np.allclose(x, y, rtol=0, atol=1e-4) for x, y in zip((theta, phi), nodes, strict=True)
        ):
            return sphere
    return None
