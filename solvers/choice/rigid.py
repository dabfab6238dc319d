"""Rigid-body modes: the near-null space of linear elasticity."""

from typing import TYPE_CHECKING

import numpy as np
from numpy import ndarray

if TYPE_CHECKING:
    import scipy.sparse

POOR = 0.05  # of |A| |b| in a row: vectors in another order have 0.1 to 0.6
BALANCED, MOMENT = 1e-8, 1e-4  # of |A| |b| in a row: round-off, and what is none


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
        turned = x.ndim == 2 and x.shape[0] in (2, 3)
        raise ValueError(
            f"Coordinates are an array of one row of 2 or 3 numbers per node; got shape {x.shape}."
            f"{' Transpose it.' if turned else ''}"
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


def doubts(csr: "scipy.sparse.csr_array", B: ndarray, dimension: int | None = None) -> str:
    """Why the columns of B are hardly a near-null space of A; "" where nothing speaks against it.

    A row of A B is compared with that of |A| |B|, which bounds it. Where less than half of the rows
    nearly vanish, A does not nearly annihilate B. In a row in which translations vanish, no support
    acts, and rotations vanish too: there the forces of a rigid body are in equilibrium, moments
    included. Axes that are exchanged or scaled show in such rows at a free boundary only.

    Args:
        csr: A.
        B: (n, m), near-null vectors.
        dimension: d, if B are the rigid-body modes of nodes with d displacements.
    """
    left = unbalanced(csr, B)
    if dimension is None:
        poor = np.flatnonzero(left > POOR)
        if 2 * len(poor) <= len(left):
            return ""
        return (
            f"A does not nearly annihilate the near-null space: |A B| > {POOR} |A| |B| in "
            f"{_rows(poor, len(left))}. Check that its rows are in the order of A's."
        )
    translations = np.tile(np.eye(dimension), (len(B) // dimension, 1))
    moved = unbalanced(csr, translations)
    poor = np.flatnonzero(moved > POOR)
    if 2 * len(poor) > len(left):
        return (
            f"A does not nearly annihilate translations, in {_rows(poor, len(left))}: number the "
            f"unknowns node by node (node i has the rows {dimension} i, ..., {dimension} i + "
            f"{dimension - 1}), or omit the coordinates if A is no elasticity."
        )
    wrong = np.flatnonzero((left > MOMENT) & (moved <= BALANCED))
    if not len(wrong):
        return ""
    return (
        f"A annihilates translations but not the rotations of these coordinates in "
        f"{_rows(wrong, len(left))}: give one row of coordinates per node in the order of A's "
        f"nodes, its axes in the order of the displacements, all in one unit."
    )


def unbalanced(csr: "scipy.sparse.csr_array", B: ndarray) -> ndarray:
    """The largest |A B| / |A| |B| of each row, between 0 and 1."""
    bound = abs(csr) @ abs(B)
    return (abs(csr @ B) / np.where(bound > 0, bound, 1.0)).max(axis=1)


def _rows(found: ndarray, size: int) -> str:
    first = ", ".join(map(str, found[:3]))
    more = ", ..." if len(found) > 3 else ""
    return f"{len(found)} of {size} rows ({first}{more})"
