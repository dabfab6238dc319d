"""Meshes that meshio reads, one file for each sample, or a folder of them (`containers.mesh`): the
fields are the data at the points that all files have.

The files do not define which fields are targets, so the caller names them. The coordinates are the
input unless a field is named as one, and the quadrature weights are those of the cells.
"""

from ..containers.mesh import MeshStore
from ..containers.store import Store
from ..spec import Field
from .on_points import PointContent
from .point_arrays import GroupedPoints, Stored


def recognises(store: Store) -> bool:
    """Whether these are meshes."""
    return isinstance(store, MeshStore)


def content(store: Store) -> PointContent:
    """The data at the points of all meshes.

    Raises:
        ValueError: no field is in all files.
    """
    assert isinstance(store, MeshStore)
    groups = []
    for sample in store.samples:
        points, cells = f"{sample}/points", f"{sample}/cells"
        group = {"positions": Stored(points, ("point", "coordinate"))}
        if cells in store.arrays:
            group["cells"] = Stored(cells, ("cell", "corner"))
        for name in store.fields:
            array = store.arrays[f"{sample}/{name}"]
            axes = ("point", "channel")[: len(array.shape)]
            group[name] = Stored(array.name, axes)
        groups.append(group)
    fields = []
    for name in store.fields:
        shape = store.arrays[f"{store.samples[0]}/{name}"].shape
        components = tuple(map(str, range(shape[1]))) if len(shape) == 2 else ()
        fields.append(Field(name, "target", f"{name} of the mesh files", "unknown", components))
    return PointContent(GroupedPoints(store, groups, fields), None, store.notes)
