"""Shapes of grids from the distances between coupled rows of a matrix."""

from collections.abc import Sequence
from itertools import combinations


def axis_shapes(size: int, distances: Sequence[int]) -> list[tuple[int, ...]]:
    """Shapes, in C order, whose neighbours along the axes are at these distances only, periodic
    axes included."""
    given = set(distances)
    found: list[tuple[int, ...]] = []
    if given <= {1, size - 1}:
        found.append((size,))
    divisors = [d for d in distances if d > 1 and size % d == 0]
    for m in divisors:
        if given <= {1, m - 1, m, size - m}:
            found.append((size // m, m))
    for m, plane in combinations(divisors, 2):
        if plane % m == 0 and given <= {1, m - 1, m, plane - m, plane, size - plane}:
            found.append((size // plane, plane // m, m))
    return found


def box_shapes(size: int, distances: Sequence[int]) -> list[tuple[int, ...]]:
    """Shapes of two and three axes whose neighbours, diagonal ones included, are at these distances
    only. Couplings of one kind may all be zero, as those along the axes of trilinear elements."""
    given, step = set(distances), (-1, 0, 1)
    lines = sorted({d + k for d in distances for k in step if d + k > 1 and size % (d + k) == 0})
    found: list[tuple[int, ...]] = [(size // m, m) for m in lines if given <= {1, m - 1, m, m + 1}]
    for m in lines:
        near = {m * k + j for k in step for j in step}
        for plane in sorted({d - k for d in distances for k in near}):
            divides = plane > m and plane % m == 0 and size % plane == 0
            if divides and given <= {k + plane * up for k in near for up in (0, 1)}:
                found.append((size // plane, plane // m, m))
    return found
