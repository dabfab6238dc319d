"""Triangulation of points of the plane for pictures: by the cells of their mesh, else Delaunay."""

from typing import TYPE_CHECKING

import numpy as np

from ..domain import Points

if TYPE_CHECKING:
    from matplotlib.tri import Triangulation

NEIGHBOURS = 6  # nearest points whose distance measures the spacing at a point
LONGEST = 3.0  # longest edge of a triangle in units of that spacing


def triangulate(points: Points) -> "Triangulation":
    """The triangles of one cloud of points in the plane.

    A mesh of triangles or quadrilaterals gives its cells, quadrilaterals cut along a diagonal.
    Other points have a Delaunay triangulation. Its triangles fill the convex hull, so those with an
    edge longer than LONGEST spacings are masked: voids and bays of the domain stay empty. The
    spacing at a point is the distance to its NEIGHBOURS-th nearest point; of a triangle, that of
    its corner with the largest.

    Raises:
        ValueError: the points are not in the plane, or lie on one line.
    """
    import matplotlib.tri as tri

    x, y = _coordinates(points)
    cells = None if points.cells is None else points.cells.cpu().numpy()
    if cells is not None and cells.shape[1] in (3, 4):
        triangles = cells[:, :3]
        if cells.shape[1] == 4:
            triangles = np.concatenate([triangles, cells[:, [0, 2, 3]]])
        return tri.Triangulation(x, y, triangles)
    _check_plane(x, y)
    found = tri.Triangulation(x, y)
    found.set_mask(_longest_edges(found) > LONGEST * _spacing(x, y)[found.triangles].max(axis=1))
    return found


def _coordinates(points: Points) -> tuple[np.ndarray, np.ndarray]:
    nodes = points.nodes().cpu().numpy()
    if nodes.ndim != 2 or len(nodes) != 2:
        raise ValueError(
            f"Points of one sample with two coordinates have a triangulation; got {points} of "
            f"shape {nodes.shape}."
        )
    return nodes[0], nodes[1]


def _check_plane(x: np.ndarray, y: np.ndarray) -> None:
    centred = np.stack([x - x.mean(), y - y.mean()])
    sizes = np.linalg.svd(centred, compute_uv=False)
    if len(x) < 3 or sizes[-1] <= 1e-10 * sizes[0]:
        raise ValueError(
            f"Three points that are not on one line have a triangulation; got {len(x)} points. "
            f"Draw them as points."
        )


def _longest_edges(found: "Triangulation") -> np.ndarray:
    corners = np.stack([found.x[found.triangles], found.y[found.triangles]], axis=-1)
    edges = corners - np.roll(corners, 1, axis=1)
    return np.linalg.norm(edges, axis=-1).max(axis=1)


def _spacing(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Distance of each point to its NEIGHBOURS-th nearest other point."""
    from scipy.spatial import cKDTree

    nodes = np.stack([x, y], axis=-1)
    k = min(NEIGHBOURS, len(nodes) - 1)
    distances: np.ndarray = cKDTree(nodes).query(nodes, k=[k + 1])[0]
    return distances[:, 0]
