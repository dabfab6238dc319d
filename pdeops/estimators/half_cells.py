"""Piecewise multilinear fields on the half cells of a grid, with one coefficient per node."""
# Axes: b is no axis here; *space nodes, *points ends of half cells, *halves half cells.

import itertools
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ..domain import Boundary, Grid, Placement


class HalfCells:
    """The half cells of a grid: the node at x_i owns [x_i - h/2, x_i + h/2] of each axis; a half
    cell is one of its halves. Per axis, m cells of a grid have 2m half cells and 2m + 1 points:
    nodes, and the faces midway between them.

    A coefficient a is constant on the cell of each node. Fields are continuous, and multilinear on
    each half cell; they are given by their values at the points.

    Args:
        grid: axes that store both ends (Dirichlet or Neumann), or periodic axes that store the left
            one.

    Raises:
        ValueError: the nodes of an axis are placed elsewhere.
    """

    def __init__(self, grid: Grid) -> None:
        for axis, (b, p) in enumerate(zip(grid.boundary, grid.placement, strict=True)):
            wanted = Placement.LEFT if b is Boundary.PERIODIC else Placement.ENDPOINTS
            if p is not wanted:
                raise ValueError(
                    f"Error bounds need nodes at the ends of each axis (placement "
                    f"{wanted.value!r} on a {b.value} axis); axis {axis} has {p.value!r}. Resample "
                    f"the field."
                )
        self.grid = grid
        self.sides = [h / 2 for h in grid.spacing]
        self.volume = 1.0
        for h in self.sides:
            self.volume *= h
        self.known = torch.zeros([2 * m + 1 for m in grid.cells], dtype=torch.bool)
        for axis, b in enumerate(grid.boundary):
            if b is Boundary.DIRICHLET:
                self.known.index_fill_(axis, torch.tensor([0, 2 * grid.cells[axis]]), True)

    def closed(self, u: Float[Tensor, "*space"]) -> Float[Tensor, "*closed"]:
        """u at m + 1 nodes per axis: on a periodic axis the first value is appended."""
        for axis, b in enumerate(self.grid.boundary):
            if b is Boundary.PERIODIC:
                u = torch.cat([u, u.narrow(axis, 0, 1)], axis)
        return u

    def of_nodes(self, u: Float[Tensor, "*space"]) -> Float[Tensor, "*halves"]:
        """The value of its node on each half cell."""
        return self.spread(self.closed(u), range(self.grid.ndim))

    def spread(self, u: Tensor, axes: Sequence[int]) -> Tensor:
        """Values of m + 1 nodes on 2m half cells, along these axes."""
        for axis in axes:
            u = u.repeat_interleave(2, axis).narrow(axis, 1, 2 * u.shape[axis] - 2)
        return u

    def conforming(
        self, u: Float[Tensor, "*space"], a: Float[Tensor, "*space"]
    ) -> Float[Tensor, "*points"]:
        """The continuous field with the values u at the nodes, and at each other point the mean of
        the 2^k nodes around it with weights a. So the flux a ∂u is continuous midway between two
        nodes. Values at Dirichlet ends are replaced by zero."""
        a, u = self.closed(a), self.closed(u)
        return (_refined(a * u) / _refined(a)).masked_fill(self.known, 0.0)

    def gradient(self, v: Float[Tensor, "*points"], axis: int) -> Tensor:
        """∂v along an axis: constant along it on each half cell, linear along the others."""
        return v.diff(dim=axis) / self.sides[axis]

    def energy(self, v: Float[Tensor, "*points"], a: Float[Tensor, "*halves"]) -> Tensor:
        """∫ a |∇v|², exact."""
        total = v.new_zeros(())
        for axis in range(self.grid.ndim):
            others = [i for i in range(self.grid.ndim) if i != axis]
            total = total + (a * mean_square(self.gradient(v, axis), others)).sum()
        return self.volume * total

    def diagonal(self, a: Float[Tensor, "*halves"]) -> Float[Tensor, "*points"]:
        """∫ a |∇φ|² of the field φ that is one at a point and zero at all others."""
        ndim = self.grid.ndim
        share = sum(h**-2 for h in self.sides) / 3 ** (ndim - 1)
        total = a.new_zeros(self.known.shape)
        for corner in itertools.product((0, 1), repeat=ndim):
            part = total
            for axis, start in enumerate(corner):
                part = part.narrow(axis, start, a.shape[axis])
            part += self.volume * share * a
        return self._sum_of_copies(total)

    def folded(self, functional: Float[Tensor, "*points"]) -> Float[Tensor, "*points"]:
        """The values of a functional on the field of each point: contributions to both copies of a
        point on a periodic axis are added, and Dirichlet ends get zero."""
        return self._sum_of_copies(functional.clone()).masked_fill(self.known, 0.0)

    def _sum_of_copies(self, u: Tensor) -> Tensor:
        for axis, b in enumerate(self.grid.boundary):
            if b is Boundary.PERIODIC:
                n = u.shape[axis] - 1
                both = u.narrow(axis, 0, 1) + u.narrow(axis, n, 1)
                u.narrow(axis, 0, 1).copy_(both)
                u.narrow(axis, n, 1).copy_(both)
        return u

    def load(self, v: Float[Tensor, "*points"], f: Float[Tensor, "*halves"]) -> Tensor:
        """∫ f v, exact, for f constant on half cells."""
        return self.volume * (f * mean(v, range(self.grid.ndim))).sum()

    def misfit(
        self, v: Float[Tensor, "*points"], sigma: Sequence[Tensor], a: Float[Tensor, "*halves"]
    ) -> Tensor:
        """∫ |σ - a ∇v|² / a, exact.

        Args:
            sigma: per axis the component of σ along it, at the 2m + 1 points of the axis and on the
                half cells of the others; linear along the axis between points.
        """
        total = v.new_zeros(())
        for axis, component in enumerate(sigma):
            others = [i for i in range(self.grid.ndim) if i != axis]
            slope = self.gradient(v, axis)
            middle = mean(slope, others)
            # σ varies along the axis only, ∂v along the others only: the variations do not mix.
            variation = mean_square(slope, others) - middle**2
            flux, step = mean(component, [axis]), component.diff(dim=axis) / 2
            total = total + (((flux - a * middle) ** 2 + step**2 / 3) / a + a * variation).sum()
        return self.volume * total


def mean(v: Tensor, axes: Sequence[int]) -> Tensor:
    """Mean of a multilinear function over each cell, from its values at the corners."""
    for axis in axes:
        n = v.shape[axis] - 1
        v = (v.narrow(axis, 0, n) + v.narrow(axis, 1, n)) / 2
    return v


def mean_square(v: Tensor, axes: Sequence[int]) -> Tensor:
    """Mean over each cell of the square of a multilinear function, from its values at the corners.

    Along an axis, with ends l and r: ((l + r)/2)² + ((r - l)/2)²/3.
    """
    if not axes:
        return v**2
    axis, *others = axes
    return mean_square(mean(v, [axis]), others) + mean_square(v.diff(dim=axis) / 2, others) / 3


def _refined(u: Tensor) -> Tensor:
    """u and its means between neighbours, along every axis."""
    for axis in range(u.ndim):
        n = u.shape[axis]
        middle = mean(u, [axis])
        pairs = torch.stack([u.narrow(axis, 0, n - 1), middle], axis + 1)
        u = torch.cat([pairs.flatten(axis, axis + 1), u.narrow(axis, n - 1, 1)], axis)
    return u
