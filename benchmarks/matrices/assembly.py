"""Finite-element matrices: linear triangles, and multilinear elements on a grid of nodes.

Multilinear elements on a box are tensor products of linear elements in one dimension. With the
hat functions φ_i of spacing h,

    M_ij = ∫ φ_i φ_j,    K_ij = ∫ φ_i' φ_j',    C_ij = ∫ φ_i' φ_j,

the form ∫ ∂_p v ∂_q u is the Kronecker product over the axes of K (axis p = q), C (axis p), Cᵀ
(axis q) and M (other axes). Unknowns are in C order, the components of a node together.
"""

from collections.abc import Sequence
from functools import reduce

import numpy as np
import scipy.sparse
import scipy.spatial


class Line:
    """The matrices M, K and C of linear elements on n nodes of spacing h.

    `held_low`, `held_high`: the first or last node is removed (u = 0 there) after assembly, so that
    n unknowns remain.
    """

    def __init__(
        self, n: int, h: float, *, held_low: bool = False, held_high: bool = False
    ) -> None:
        self.n = n
        before, after = float(not held_low), float(not held_high)  # elements cut off at free ends
        ends = np.full(n, 2.0)
        ends[0] -= before
        ends[-1] -= after
        skew = np.zeros(n)
        skew[0] -= before
        skew[-1] += after
        # On one element: ∫φ0'φ0 = -1/2, ∫φ0'φ1 = -1/2, ∫φ1'φ0 = ∫φ1'φ1 = 1/2.
        self.M = self._banded(h * ends / 3, h / 6, h / 6)
        self.K = self._banded(ends / h, -1 / h, -1 / h)
        self.C = self._banded(skew / 2, -0.5, 0.5)

    def _banded(self, main: np.ndarray, upper: float, lower: float) -> scipy.sparse.csr_array:
        """A tridiagonal matrix that stores zeros too: M, K and C have one pattern."""
        i = np.arange(self.n)
        rows = np.concatenate([i, i[:-1], i[1:]])
        columns = np.concatenate([i, i[1:], i[:-1]])
        values = np.concatenate([main, np.full(self.n - 1, upper), np.full(self.n - 1, lower)])
        return scipy.sparse.coo_array((values, (rows, columns)), shape=(self.n,) * 2).tocsr()


def form(lines: Sequence[Line], p: int, q: int) -> scipy.sparse.csr_array:
    """∫ ∂_p v ∂_q u with the test function v in the rows; zeros of the pattern are stored."""
    factors = []
    for axis, line in enumerate(lines):
        if axis == p == q:
            factors.append(line.K)
        elif axis == p:
            factors.append(line.C)
        elif axis == q:
            factors.append(line.C.T.tocsr())
        else:
            factors.append(line.M)
    product = reduce(lambda a, b: scipy.sparse.kron(a, b, format="coo"), factors).tocsr()
    product.sort_indices()
    return product


def diffusion(lines: Sequence[Line], tensor: np.ndarray) -> scipy.sparse.csr_matrix:
    """∫ ∇v · D ∇u for a constant symmetric tensor D, (ndim, ndim)."""
    ndim = len(lines)
    pairs = [(p, q) for p in range(ndim) for q in range(ndim) if tensor[p, q] != 0]
    A = form(lines, *pairs[0]) * tensor[pairs[0]]
    for pair in pairs[1:]:
        A.data += tensor[pair] * form(lines, *pair).data  # the same pattern
    A.eliminate_zeros()
    return scipy.sparse.csr_matrix(A)


def rotated_tensor(ratio: float, degrees: float) -> np.ndarray:
    """D = d dᵀ + ratio e eᵀ with d at this angle from the first axis and e normal to d."""
    angle = np.radians(degrees)
    d, e = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    return np.outer(d, d) + ratio * np.outer(e, e)


def elasticity(
    lines: Sequence[Line], *, young: float = 1.0, poisson: float = 0.3
) -> scipy.sparse.csr_matrix:
    """∫ 2μ ε(v) : ε(u) + λ div v div u, linear isotropic elasticity.

    The block of components (i, j) is λ ∫∂_i v ∂_j u + μ ∫∂_j v ∂_i u + δ_ij μ ∫∇v·∇u.
    """
    ndim = len(lines)
    mu = young / (2 * (1 + poisson))
    lam = young * poisson / ((1 + poisson) * (1 - 2 * poisson))
    forms = {(p, q): form(lines, p, q) for p in range(ndim) for q in range(ndim)}
    pattern = forms[0, 0]
    blocks = np.empty((pattern.nnz, ndim, ndim))
    laplace = sum(forms[p, p].data for p in range(ndim))
    for i in range(ndim):
        for j in range(ndim):
            blocks[:, i, j] = lam * forms[i, j].data + mu * forms[j, i].data
        blocks[:, i, i] += mu * laplace
    A = scipy.sparse.bsr_matrix((blocks, pattern.indices, pattern.indptr)).tocsr()
    A.eliminate_zeros()
    A.sort_indices()
    return A


def nodes(lines: Sequence[Line], h: float) -> np.ndarray:
    """Coordinates of the nodes from the first unknown on, (nodes, ndim)."""
    axes = np.meshgrid(*(h * np.arange(line.n) for line in lines), indexing="ij")
    return np.stack([axis.ravel() for axis in axes], axis=1)


def rigid_body_modes(coordinates: np.ndarray) -> np.ndarray:
    """Translations and linearised rotations, (nodes · ndim, ndim (ndim + 1) / 2).

    The rotation in the plane (p, q) is u_p = -x_q, u_q = x_p; coordinates are taken from their
    mean, so that rotations and translations are orthogonal.
    """
    count, ndim = coordinates.shape
    x = coordinates - coordinates.mean(axis=0)
    planes = [(p, q) for p in range(ndim) for q in range(p + 1, ndim)]
    modes = np.zeros((count, ndim, ndim + len(planes)))
    for axis in range(ndim):
        modes[:, axis, axis] = 1.0
    for column, (p, q) in enumerate(planes, start=ndim):
        modes[:, p, column] = -x[:, q]
        modes[:, q, column] = x[:, p]
    return modes.reshape(count * ndim, -1)


def triangulation(interior: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Delaunay triangles of random points in the unit square and of equidistant ones on its sides.

    Returns points (points, 2), the interior ones first; triangles (triangles, 3) that have a corner
    in the interior (those along a side may be flat); and the number of interior points.
    """
    random = np.random.default_rng(seed)
    t = np.linspace(0, 1, round(interior**0.5) + 2)[:-1]
    zero, one = np.zeros_like(t), np.ones_like(t)
    sides = [(t, zero), (one, t), (1 - t, one), (zero, 1 - t)]
    boundary = np.concatenate([np.stack(side, axis=1) for side in sides])
    points = np.concatenate([random.random((interior, 2)), boundary])
    triangles = scipy.spatial.Delaunay(points).simplices
    return points, triangles[(triangles < interior).any(axis=1)], interior


def linear_triangles(
    points: np.ndarray, triangles: np.ndarray, k: np.ndarray, unknowns: int
) -> scipy.sparse.csr_matrix:
    """∫ k ∇v · ∇u with linear triangles, k constant on each, u = 0 at points from `unknowns` on.

    With the edge e_i opposite to corner i, ∇φ_i is e_i turned by 90° over twice the area, so that
    the matrix of an element is k e_i · e_j / (4 area) (Braess 2007, sec. II.8).
    """
    corners = points[triangles]
    edges = np.roll(corners, -2, axis=1) - np.roll(corners, -1, axis=1)
    area = element_areas(points, triangles)
    local = np.einsum("tix,tjx,t->tij", edges, edges, k / (4 * area))
    rows = np.repeat(triangles, 3, axis=1).ravel()
    columns = np.tile(triangles, 3).ravel()
    shape = (len(points),) * 2
    A = scipy.sparse.coo_matrix((local.ravel(), (rows, columns)), shape=shape).tocsr()
    return A[:unknowns, :unknowns].tocsr()


def element_areas(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    a, b = (points[triangles[:, i]] - points[triangles[:, 0]] for i in (1, 2))
    return abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) / 2
