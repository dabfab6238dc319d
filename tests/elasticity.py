"""Linear elasticity on a small mesh."""

import numpy as np
import scipy.sparse as sp


def triangle_elasticity(n, clamped):
    """Plane strain on n x n nodes, two P1 triangles per cell, λ = μ = 1, node by node."""
    side = np.linspace(0, 1, n)
    points = np.stack(np.meshgrid(side, side, indexing="ij"), -1).reshape(-1, 2)
    index = np.arange(n * n).reshape(n, n)
    corners = [index[:-1, :-1], index[1:, :-1], index[:-1, 1:], index[1:, 1:]]
    a, b, c, d = (corner.ravel() for corner in corners)
    mesh = np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)])
    one = np.concatenate([np.ones((len(mesh), 3, 1)), points[mesh]], axis=2)
    G = np.linalg.inv(one)[:, 1:, :]  # gradients of the three shape functions
    area = np.abs(np.linalg.det(one)) / 2
    B = np.zeros((len(mesh), 3, 6))
    B[:, 0, 0::2], B[:, 1, 1::2] = G[:, 0], G[:, 1]
    B[:, 2, 0::2], B[:, 2, 1::2] = G[:, 1], G[:, 0]
    D = np.array([[3.0, 1.0, 0.0], [1.0, 3.0, 0.0], [0.0, 0.0, 1.0]])
    K = np.einsum("tai,ab,tbj,t->tij", B, D, B, area)
    dofs = (2 * mesh[:, :, None] + np.arange(2)).reshape(len(mesh), 6)
    where = np.repeat(dofs, 6, axis=1).ravel(), np.tile(dofs, (1, 6)).ravel()
    A = sp.coo_array((K.ravel(), where), shape=(2 * n * n,) * 2).tocsr()
    if not clamped:
        return sp.csr_array(A), points
    free = np.arange(2 * n, 2 * n * n)  # the nodes with x = 0 come first
    return sp.csr_array(A[free][:, free]), points[n:]
