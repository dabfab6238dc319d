"""Random simplicial meshes of a box, and matrices of linear elements on them."""
# Axes: t simplices, v corners of a simplex, d coordinates.

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

if TYPE_CHECKING:
    import scipy.sparse


@dataclass(frozen=True)
class Mesh:
    """Triangles (d = 2) or tetrahedra (d = 3) of the unit box.

    Attributes:
        corners: points of each simplex.
        unknowns: the first points, which are inside the box; u = 0 at the others.
        centres: centroids.
        gradients: ∇φ of the linear basis function of each corner.
        volumes: of the simplices.
    """

    corners: Int[ndarray, "t v"]
    unknowns: int
    centres: Float[ndarray, "t d"]
    gradients: Float[ndarray, "t v d"]
    volumes: Float[ndarray, " t"]


def delaunay(unknowns: int, random: np.random.Generator, ndim: int = 2) -> Mesh:
    """The Delaunay mesh of random points in the unit box and of lattice points on its sides.

    The density of the points is graded along each axis, x -> x^g with g in [1, 1.5].
    """
    from scipy.spatial import Delaunay

    inside = random.random((unknowns, ndim)) ** random.uniform(1.0, 1.5, ndim)
    t = np.linspace(0, 1, round(unknowns ** (1 / ndim)) + 2)
    lattice = np.stack(np.meshgrid(*[t] * ndim, indexing="ij"), axis=-1).reshape(-1, ndim)
    sides = lattice[((lattice == 0) | (lattice == 1)).any(axis=1)]
    points = np.concatenate([inside, sides])
    corners = Delaunay(points).simplices
    corners = corners[(corners < unknowns).any(axis=1)]  # the others may be flat
    x = points[corners]
    edges = x[:, 1:] - x[:, :1]
    # φ_v of corner v >= 1 is the barycentric coordinate; all φ sum to 1.
    slopes = np.linalg.inv(edges).transpose(0, 2, 1)
    gradients = np.concatenate([-slopes.sum(axis=1, keepdims=True), slopes], axis=1)
    volumes = np.abs(np.linalg.det(edges)) / (2.0 if ndim == 2 else 6.0)
    return Mesh(corners, unknowns, x.mean(axis=1), gradients, volumes)


def diffusion(mesh: Mesh, tensors: Float[ndarray, "t d d"]) -> "scipy.sparse.csr_array":
    """∫ ∇v · D ∇u with D constant on each simplex."""
    D = tensors * mesh.volumes[:, None, None]
    local = mesh.gradients @ D @ mesh.gradients.transpose(0, 2, 1)
    return _assembled(local, mesh.corners, mesh.unknowns)


def elasticity(mesh: Mesh, lam: float, mu: float) -> "scipy.sparse.csr_array":
    """∫ 2μ ε(v) : ε(u) + λ div v div u; unknown d k + i is component i of point k.

    The block of components (i, j) is λ ∫∂_i v ∂_j u + μ ∫∂_j v ∂_i u + δ_ij μ ∫∇v·∇u.
    """
    g = mesh.gradients
    ndim = g.shape[2]
    outer = np.einsum("tai,tbj->taibj", g, g)
    both = lam * outer + mu * outer.transpose(0, 1, 4, 3, 2)
    both += mu * np.einsum("tak,tbk,ij->taibj", g, g, np.eye(ndim))
    size = g.shape[1] * ndim
    local = (both * mesh.volumes[:, None, None, None, None]).reshape(-1, size, size)
    freedoms = (ndim * mesh.corners[:, :, None] + np.arange(ndim)).reshape(-1, size)
    return _assembled(local, freedoms, ndim * mesh.unknowns)


def _assembled(
    local: Float[ndarray, "t k k"], freedoms: Int[ndarray, "t k"], unknowns: int
) -> "scipy.sparse.csr_array":
    """The sum of the matrices of the elements, for the first unknowns."""
    import scipy.sparse

    k = freedoms.shape[1]
    rows, columns = np.repeat(freedoms, k, axis=1).ravel(), np.tile(freedoms, k).ravel()
    size = int(freedoms.max()) + 1
    A = scipy.sparse.coo_array((local.ravel(), (rows, columns)), shape=(size, size)).tocsr()
    return A[:unknowns, :unknowns].tocsr()
