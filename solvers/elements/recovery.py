"""Stress at the nodes of a mesh from the Barlow points of its elements."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from .plane_strain import PlaneStrain
from .ring_mesh import SIDES
from .tables import at_barlow_points, gauss

DEGREE = 3  # of the interpolation


def recovered_stress(
    problem: PlaneStrain, u: Float[ndarray, "d n"], shape: tuple[int, int]
) -> Float[ndarray, "3 m"]:
    """(σ_xx, σ_yy, σ_xy) at the nodes of the mesh of order 1 with this many cells, whose curves are
    those of the problem's mesh.

    At the Barlow points the stress of an element of order p converges with h^(p+1) where the mesh
    is smooth, elsewhere with h^p (Barlow 1976, *Int. J. Numer. Meth. Eng.* 10). In θ and s these
    points form a lattice, on which the stress is interpolated by cubic Lagrange polynomials through
    the nearest points, extrapolated to the curves. On the rays to the corners of the square the map
    has a kink: each side is interpolated alone, and both values are averaged.
    """
    (around, across), p = problem.mesh.shape, problem.mesh.order
    at_points = problem.stresses(u, at_barlow_points(p))
    # (3, around, across, p, p) -> (3, side, points around, points across).
    field = at_points.reshape(3, around, across, p, p).transpose(0, 1, 3, 2, 4)
    field = field.reshape(3, len(SIDES), p * around // len(SIDES), p * across)
    wanted = shape[0] // len(SIDES)
    along = _interpolation(around // len(SIDES), p, wanted)
    field = along @ field @ _interpolation(across, p, shape[1]).T
    start, end = field[:, :, 0], field[:, :, -1]
    field[:, :, 0] = (start + np.roll(end, 1, axis=1)) / 2
    return field[:, :, :-1].reshape(3, -1)


def _interpolation(cells: int, p: int, wanted: int) -> Float[ndarray, "w k"]:
    """The matrix from values at the p Gauss points of each of `cells` intervals that divide [0, 1]
    to values at the ends of `wanted` intervals."""
    t, _ = gauss(p)
    known = ((np.arange(cells)[:, None] + t) / cells).ravel()
    count = min(DEGREE + 1, len(known))
    x = np.linspace(0, 1, wanted + 1)
    # The nearest points, as many on each side as the ends of the interval allow.
    first = np.clip(np.searchsorted(known, x) - count // 2, 0, len(known) - count)
    matrix = np.zeros((len(x), len(known)))
    for row, (start, at) in enumerate(zip(first, x, strict=True)):
        nearest = known[start : start + count]
        for k, node in enumerate(nearest):
            others = np.delete(nearest, k)
            matrix[row, start + k] = np.prod((at - others) / (node - others))
    return matrix
