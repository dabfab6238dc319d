"""Meshes of quadrilaterals between a closed curve and the sides of a square (O-grids)."""
# Axes: d coordinates, n nodes, e elements, a nodes of an element.

from collections.abc import Callable
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

# Angles (n,) -> distance (n,) of a closed curve from the centre.
Curve = Callable[[ndarray], ndarray]

SIDES = ("top", "left", "bottom", "right")  # counter-clockwise from the corner (1, 1)
FIRST_ANGLE = np.pi / 4  # of the ray to that corner


def unit_square(angle: Float[ndarray, " n"]) -> Float[ndarray, " n"]:
    """Distance of the sides of the unit square from its centre."""
    return 0.5 / np.maximum(np.abs(np.cos(angle)), np.abs(np.sin(angle)))


class RingMesh:
    """Quadrilaterals between an inner and an outer closed curve, by the map

        x(θ, s) = centre + ((1 - σ) r(θ) + σ R(θ)) (cos θ, sin θ),    σ = (1 - γ) s + γ s²,

    with the inner curve r and the outer curve R at distances 0 < r(θ) < R(θ). The cells are of
    equal size in θ and in s; γ > 0 makes them thinner at the inner curve. Two opposite edges of a
    cell lie on rays, each on one side of the line through the other, so that every cell with
    straight edges is convex and positively oriented, for all such curves.

    The nodes are those of polynomials of degree `order` on each cell. They form a lattice: node
    i (order · across + 1) + j lies on ray i, in layer j. Meshes of different `shape` are images of
    the same (θ, s); if the numbers of cells are multiples, the nodes are nested. Corners of the
    square lie on rays between cells, because the number of cells around is a multiple of four.

    Args:
        inner, outer: the curves, which map angles to distances from the centre.
        shape: numbers of cells around and across.
        order: degree of the elements, 1 or 2; of degree 2 they follow the curves quadratically.
        grading: γ, from 0 to 1 exclusive.
        centre: of both curves.

    Raises:
        ValueError: an argument is out of range, or the curves meet.
    """

    def __init__(
        self,
        inner: Curve,
        outer: Curve = unit_square,
        *,
        shape: tuple[int, int],
        order: int = 2,
        grading: float = 0.5,
        centre: tuple[float, float] = (0.5, 0.5),
    ) -> None:
        around, across = shape
        if around < 8 or around % 4 or across < 1 or order not in (1, 2) or not 0 <= grading < 1:
            raise ValueError(
                f"A ring mesh has at least 8 cells around, a multiple of 4, at least one across, "
                f"order 1 or 2 and a grading in [0, 1); got shape {shape}, order {order}, grading "
                f"{grading}."
            )
        self.shape, self.order = (around, across), order
        self.lattice = (order * around, order * across + 1)
        angle = FIRST_ANGLE + 2 * np.pi * np.arange(self.lattice[0]) / self.lattice[0]
        r, R = inner(angle), outer(angle)
        if not ((r > 0) & (r < R)).all():
            worst = int(np.argmax(r / R))
            raise ValueError(
                f"The inner curve of a ring mesh lies inside the outer one; at angle "
                f"{angle[worst]:.3f} their distances from the centre are {r[worst]:.3g} and "
                f"{R[worst]:.3g}. Make the inner curve smaller."
            )
        s = np.linspace(0, 1, self.lattice[1])
        sigma = (1 - grading) * s + grading * s**2
        distance = (1 - sigma) * r[:, None] + sigma * R[:, None]
        rays = np.stack([np.cos(angle), np.sin(angle)])[:, :, None]
        self.nodes: Float[ndarray, "d n"] = np.reshape(centre, (2, 1)) + (rays * distance).reshape(
            2, -1
        )

    @cached_property
    def elements(self) -> Int[ndarray, "e a"]:
        """The nodes of each cell; node (order + 1) k + l is the l-th across on its k-th ray."""
        p, (rays, layers) = self.order, self.lattice
        i = p * np.arange(self.shape[0])[:, None, None, None] + np.arange(p + 1)[:, None]
        j = p * np.arange(self.shape[1])[:, None, None] + np.arange(p + 1)
        return ((i % rays) * layers + j).reshape(-1, (p + 1) ** 2)

    @property
    def cells(self) -> Int[ndarray, "e 4"]:
        """The corners of each cell, counter-clockwise."""
        p = self.order
        last = (p + 1) * p
        return self.elements[:, [0, p, last + p, last]]

    def side(self, name: str) -> Int[ndarray, " k"]:
        """The nodes on one side of the outer curve, counter-clockwise, both ends included.

        Raises:
            ValueError: there is no such side.
        """
        if name not in SIDES:
            raise ValueError(f"The sides are {', '.join(SIDES)}; got {name!r}.")
        per_side = self.lattice[0] // 4
        i = per_side * SIDES.index(name) + np.arange(per_side + 1)
        return (i % self.lattice[0]) * self.lattice[1] + self.lattice[1] - 1

    @property
    def inner(self) -> Int[ndarray, " k"]:
        """The nodes on the inner curve, clockwise, so that the mesh lies to the left of them; the
        first node is also the last."""
        return self.lattice[1] * (np.arange(self.lattice[0], -1, -1) % self.lattice[0])

    def angles(self) -> Float[ndarray, "e 4"]:
        """Interior angles of the cells between straight edges, in degrees; negative at the corners
        of inverted cells."""
        corners = self.nodes[:, self.cells]
        after = np.roll(corners, -1, axis=-1) - corners
        before = np.roll(corners, 1, axis=-1) - corners
        cross = after[0] * before[1] - after[1] * before[0]
        return np.degrees(np.arctan2(cross, (after * before).sum(0)))
