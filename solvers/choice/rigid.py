"""Rigid-body modes: the near-null space of linear elasticity."""

import numpy as np
from numpy import ndarray


def rigid_body_modes(coordinates: ndarray) -> ndarray:
    """The modes u(x) = a + ω × x of a body with two or three displacements per node.

    They have no strain, so they are the kernel of the elasticity operator of a free body (Braess
    2007, ch. VI), and smoothed aggregation needs them as its near-null space. Unknowns are ordered
    node by node: node i has the rows d i, ..., d i + d - 1. The columns are orthonormal, and x is
    taken from the centre.

    Args:
        coordinates: positions of the nodes, (nodes, 2) or (nodes, 3).

    Returns:
        (d nodes, 3) in the plane and (d nodes, 6) in space.

    Raises:
        ValueError: the shape is another, or a position is not finite.
    """
    x = np.asarray(coordinates, dtype="float64")
    if x.ndim != 2 or x.shape[1] not in (2, 3) or not len(x):
        raise ValueError(
            f"Coordinates are an array of one row of 2 or 3 numbers per node; got shape {x.shape}."
        )
    if not np.isfinite(x).all():
        raise ValueError("The coordinates hold NaN or infinity.")
    x = x - x.mean(axis=0)
    size = np.abs(x).max() or 1.0
    x = x / size
    nodes, d = x.shape
    planes = [(0, 1)] if d == 2 else [(0, 1), (1, 2), (2, 0)]
    modes = np.zeros((nodes, d, d + len(planes)))
    for axis in range(d):
        modes[:, axis, axis] = 1
    for k, (i, j) in enumerate(planes, start=d):
        modes[:, i, k], modes[:, j, k] = -x[:, j], x[:, i]
    U, sizes, _ = np.linalg.svd(modes.reshape(nodes * d, -1), full_matrices=False)
    return U[:, sizes > 1e-10 * sizes[0]]  # nodes on one line have a rotation less
