"""neuraloperator's car files: a list with a dict for each car, of which vertices (n, 3), scaled to
the unit cube, and the pressure press (1, n) at the vertices are read.

The files have no cells: centres, areas and normals of triangles are listed, but not which vertices
they join, so there are no quadrature weights of the vertices. The coordinates are the input, unless
the normals at the vertices are named as one.
"""

import re

from ..containers.store import Store
from ..spec import Field
from .on_points import PointContent
from .point_arrays import GroupedPoints, Stored

_MEMBERS = {
    "vertices": ("positions", ("point", "coordinate")),
    "press": ("press", ("single", "point")),
    "vertex_normals": ("vertex_normals", ("point", "channel")),
}


def recognises(store: Store) -> bool:
    """Whether the arrays are those of samples 0, 1, ..., with vertices (n, 3) and press (1, n)."""
    if not {"0/vertices", "0/press"} <= set(store.arrays):
        return False
    n, *rest = store.arrays["0/vertices"].shape
    return rest == [3] and store.arrays["0/press"].shape == (1, n)


def content(store: Store) -> PointContent:
    """The pressure on the vertices of each car."""
    numbers = sorted(
        int(m[1]) for m in (re.fullmatch(r"(\d+)/vertices", name) for name in store.arrays) if m
    )
    groups = [
        {
            variable: Stored(f"{i}/{name}", axes)
            for name, (variable, axes) in _MEMBERS.items()
            if f"{i}/{name}" in store.arrays
        }
        for i in numbers
    ]
    fields = [
        Field("press", "target", "pressure at the vertices", "unknown"),
        Field("vertex_normals", "input", "normals at the vertices", "1", ("x", "y", "z")),
    ]
    present = [f for f in fields if f.name in groups[0]]
    note = (
        "read as neuraloperator's cars: the coordinates of the vertices are the input; the file "
        "does not list which vertices form a triangle, so there are no quadrature weights"
    )
    return PointContent(GroupedPoints(store, groups, present), {"target": ["press"]}, (note,))
