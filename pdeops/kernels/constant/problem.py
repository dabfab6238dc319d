"""The problems of geometric multigrid, and their coarse grids."""

from dataclasses import dataclass

import torch

from ..blackbox.hierarchy import System

SMALLEST = (
    31  # an axis with at least this many unknowns is halved here; below, by black-box multigrid
)


@dataclass(frozen=True)
class Constant:
    """-a Δu + c u on a box of two or three axes with u = 0 at the boundary nodes.

    Attributes:
        shape: number of unknowns per axis.
        extent: length of the box per axis; the spacing is extent / (shape + 1).
    """

    a: float
    c: float
    shape: tuple[int, ...]
    extent: tuple[float, ...]

    def halved(self) -> list[tuple[int, ...]]:
        """The shapes of this grid and of the coarser ones while all numbers are odd and large."""
        shapes = [self.shape]
        while all(n % 2 and n >= SMALLEST for n in shapes[-1]):
            shapes.append(tuple(n // 2 for n in shapes[-1]))
        return shapes

    def couplings(self, shape: tuple[int, ...]) -> list[float]:
        """a / h² per axis on a grid of the box."""
        return [self.a * ((n + 1) / L) ** 2 for n, L in zip(shape, self.extent, strict=True)]

    def coarse_system(self, like: torch.Tensor) -> System:
        """The operator on the coarsest of these grids, on the device and in the dtype of `like`."""
        shape = self.halved()[-1]
        spacing = [L / (n + 1) for n, L in zip(shape, self.extent, strict=True)]
        strength = [self.a * (1 / h**2) for h in spacing]
        faces = [
            like.new_full([n + (a == axis) for a, n in enumerate(shape)], c)
            for axis, c in enumerate(strength)
        ]
        excess = like.new_full(shape, self.c) if self.c else None
        return System(faces, excess, [False] * len(shape), strength)
