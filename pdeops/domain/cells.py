"""Geometry of the cells of a mesh: Jacobians, volumes, and quadrature weights of the nodes.

A cell is known by the number of its corners and of its coordinates, with the corners in the order
of VTK: 2 line, 3 triangle, 4 quadrilateral in the plane and tetrahedron in space, 8 hexahedron.
"""

# Axes: m cells, k corners, d coordinates, n points, q reference points, r reference coordinates.

import itertools
import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

# Kinds of cells: (number of coordinates, corners) -> name.
KINDS = {
    (1, 2): "line",
    (2, 2): "line",
    (3, 2): "line",
    (2, 3): "triangle",
    (3, 3): "triangle",
    (2, 4): "quadrilateral",
    (3, 4): "tetrahedron",
    (3, 8): "hexahedron",
}
# Reference corners of products of intervals, in the order of VTK.
_PRODUCTS = {
    "quadrilateral": ((0, 0), (1, 0), (1, 1), (0, 1)),
    "hexahedron": (
        *((0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)),
        *((0, 0, 1), (1, 0, 1), (1, 1, 1), (0, 1, 1)),
    ),
}


def kind_of(num_coordinates: int, corners: int) -> str:
    """The name of the cells.

    Raises:
        ValueError: no such cells are known.
    """
    if (num_coordinates, corners) not in KINDS:
        known = ", ".join(f"{k} in {d}D ({name})" for (d, k), name in KINDS.items())
        raise ValueError(
            f"Cells have these numbers of corners: {known}; got {corners} in {num_coordinates}D. "
            f"Split other cells into triangles or tetrahedra, or leave the cells out."
        )
    return KINDS[num_coordinates, corners]


def corner_jacobians(
    positions: Float[Tensor, "d n"], cells: Int[Tensor, "m k"]
) -> Float[Tensor, "m q"]:
    """Jacobians of the map from the reference cell at its corners; one for a simplex, where it is
    constant. They are signed where the cells fill the space, else positive."""
    x = _corners(positions, cells)
    kind = kind_of(positions.shape[0], cells.shape[1])
    if kind not in _PRODUCTS:
        return _of_simplex(x)[:, None]
    return _of_product(x, torch.tensor(_PRODUCTS[kind], dtype=x.dtype))


def cell_volumes(positions: Float[Tensor, "d n"], cells: Int[Tensor, "m k"]) -> Float[Tensor, " m"]:
    """Length, area or volume of each cell, with the sign of its orientation where the cells fill
    the space. Quadrilaterals are bilinear, hexahedra trilinear."""
    return _integrals(positions, cells).sum(1)


def node_weights(positions: Float[Tensor, "d n"], cells: Int[Tensor, "m k"]) -> Float[Tensor, " n"]:
    """Quadrature weights w_i = ∫ φ_i of the nodes, φ_i the linear (bilinear, trilinear) hat
    function of node i: Σ w u is the integral of the interpolated field. Nodes of no cell have
    weight 0."""
    integrals = _integrals(positions, cells)
    integrals = integrals * integrals.sum(1, keepdim=True).sign()
    out = positions.new_zeros(positions.shape[-1])
    return out.index_add_(0, cells.flatten(), integrals.flatten())


def _integrals(positions: Tensor, cells: Tensor) -> Float[Tensor, "m k"]:
    """∫ φ_i over each cell, for its corners i."""
    x = _corners(positions, cells)
    d, k = positions.shape[0], cells.shape[1]
    kind = kind_of(d, k)
    if kind not in _PRODUCTS:
        return (_of_simplex(x) / math.factorial(k))[:, None].expand(-1, k)
    node = 0.5 / math.sqrt(3)  # two Gauss points per axis are exact up to degree three
    gauss = torch.tensor(list(itertools.product((0.5 - node, 0.5 + node), repeat=d)), dtype=x.dtype)
    return _of_product(x, gauss) @ _shape_functions(kind, gauss)[0] / len(gauss)


def _corners(positions: Tensor, cells: Tensor) -> Float[Tensor, "m k d"]:
    return positions.mT[cells]


def _of_simplex(x: Float[Tensor, "m k d"]) -> Float[Tensor, " m"]:
    """The determinant of the edges from the first corner, or the root of Gram's determinant where
    there are fewer edges than coordinates."""
    edges = x[:, 1:] - x[:, :1]
    if edges.shape[1] == edges.shape[2]:
        return torch.linalg.det(edges)
    return torch.linalg.det(edges @ edges.mT).clamp(min=0).sqrt()


def _of_product(x: Float[Tensor, "m k d"], at: Float[Tensor, "q d"]) -> Float[Tensor, "m q"]:
    """The Jacobian of Σ_i φ_i x_i at reference points."""
    kind = "quadrilateral" if x.shape[1] == 4 else "hexahedron"
    gradients = _shape_functions(kind, at)[1]
    return torch.linalg.det(torch.einsum("qkr,mkd->mqrd", gradients, x))


def _shape_functions(
    kind: str, at: Float[Tensor, "q r"]
) -> tuple[Float[Tensor, "q k"], Float[Tensor, "q k r"]]:
    """φ_i = Π_a (ξ_a or 1 - ξ_a) and their derivatives."""
    corners = torch.tensor(_PRODUCTS[kind], dtype=at.dtype)
    sign = 2 * corners - 1
    factors = (1 - corners) + sign * at[:, None]  # (q, k, r)
    derivatives = []
    for a in range(at.shape[1]):
        changed = factors.clone()
        changed[..., a] = sign[:, a]
        derivatives.append(changed.prod(-1))
    return factors.prod(-1), torch.stack(derivatives, -1)
