"""Basis functions, quadrature and numbering of quadrilateral elements, from scikit-fem."""
# Axes: e elements, q points of quadrature, a nodes of an element, d coordinates.

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from .ring_mesh import RingMesh


@dataclass(frozen=True)
class Table:
    """Basis functions of an element at points of its reference cell or edge.

    Attributes:
        values: of the basis functions.
        slopes: their derivatives, along the reference coordinates across and around.
        weights: quadrature weights of the points.
    """

    values: Float[ndarray, "q a"]
    slopes: Float[ndarray, "q a d"]
    weights: Float[ndarray, " q"]


@lru_cache
def reference(order: int) -> Table:
    """The quadrilateral element of this degree at Gauss points, order + 1 per axis."""
    _, refdom = _skfem()
    from skfem.quadrature import get_quadrature

    return _table(order, *get_quadrature(refdom.RefQuad, 2 * order))


@lru_cache
def at_barlow_points(order: int) -> Table:
    """The element at its Barlow points, the Gauss points of `order` points per axis, where the
    stress is of one order more than elsewhere; points around first, then across."""
    t, _ = gauss(order)
    around, across = np.meshgrid(t, t, indexing="ij")
    points = np.stack([across.ravel(), around.ravel()])
    return _table(order, points, np.full(points.shape[1], np.nan))


@lru_cache
def on_edge(order: int) -> Table:
    """The basis functions of an edge from node 0 to node `order`, at order + 1 Gauss points."""
    skfem, refdom = _skfem()
    from skfem.quadrature import get_quadrature

    points, weights = get_quadrature(refdom.RefLine, 2 * order + 1)
    element = {1: skfem.ElementLineP1, 2: skfem.ElementLineP2}[order]()
    place = np.rint(order * element.doflocs[:, 0]).astype(int)
    return _ordered(element, points, weights, place)


def gauss(count: int) -> tuple[Float[ndarray, " q"], Float[ndarray, " q"]]:
    """Gauss points of the unit interval and their weights."""
    t, w = np.polynomial.legendre.leggauss(count)
    return (1 + t) / 2, w / 2


def gradients(
    mesh: RingMesh, table: Table
) -> tuple[Float[ndarray, "e q a d"], Float[ndarray, "e q"]]:
    """Gradients of the basis functions and the determinant of the map, at the points of the table.

    Raises:
        ValueError: the map of an element is not invertible at a point.
    """
    x = mesh.nodes.T[mesh.elements]
    J = np.einsum("ead,qak->eqdk", x, table.slopes)
    det = J[..., 0, 0] * J[..., 1, 1] - J[..., 0, 1] * J[..., 1, 0]
    if not (det > 0).all():
        bad = int((det <= 0).any(1).sum())
        raise ValueError(
            f"{bad} of {len(det)} cells are inverted or too strongly curved for elements of order "
            f"{mesh.order}. Use more cells, or order 1."
        )
    inverse = np.empty_like(J)
    inverse[..., 0, 0], inverse[..., 1, 1] = J[..., 1, 1], J[..., 0, 0]
    inverse[..., 0, 1], inverse[..., 1, 0] = -J[..., 0, 1], -J[..., 1, 0]
    return table.slopes @ (inverse / det[..., None, None]), det


def _table(order: int, points: ndarray, weights: ndarray) -> Table:
    skfem, _ = _skfem()
    element = {1: skfem.ElementQuad1, 2: skfem.ElementQuad2}[order]()
    across, around = np.rint(order * element.doflocs).astype(int).T
    return _ordered(element, points, weights, (order + 1) * around + across)


def _ordered(element: Any, points: ndarray, weights: ndarray, place: ndarray) -> Table:
    """The table of an element of scikit-fem whose function k is that of our node place[k]."""
    values = np.empty((points.shape[1], len(place)))
    slopes = np.empty((points.shape[1], len(place), len(points)))
    for k, a in enumerate(place):
        values[:, a], slope = element.lbasis(points, k)
        slopes[:, a] = slope.T
    return Table(values, slopes, weights)


def _skfem() -> tuple[Any, Any]:
    """scikit-fem and its reference domains.

    Raises:
        ImportError: it is not installed.
    """
    try:
        import skfem
        from skfem import refdom
    except ImportError as error:
        raise ImportError(
            "Finite elements need scikit-fem, which is not installed. Install it with: "
            "pip install 'pdeops[fem]'"
        ) from error
    return skfem, refdom
