"""Input of the set-up of multigrid for stencils, and the order of a smoothing sweep."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor

from ..stencil import paired, stencil_offsets
from .layout import Grid, Index, levels


@dataclass(frozen=True)
class Line:
    """One colour of lines in a plane: the nodes whose j - slope i is `colour` modulo `colours`.

    A line goes from (i, j) to (i + 1, j + slope). Lines of one colour are not coupled: with slope 0
    every other line, with slope 1 or -1 every third one, because the offset (1, -slope) leads to
    the second next line.
    """

    slope: int
    colour: int

    @property
    def colours(self) -> int:
        return 3 if self.slope else 2


Colour = Index | Line  # points with these indices modulo 2, or lines


@dataclass(frozen=True)
class StencilSystem:
    """A symmetric positive definite stencil of 3^d points on a box of one to three axes.

    Attributes:
        diagonal, couplings: the entries (`kernels/stencil/problem.py`).
        strength: per axis, the mean coupling.
        lines: the directions of lines that a sweep solves, offsets in a plane; none for points.
    """

    diagonal: Float[Tensor, "*space"]
    couplings: Float[Tensor, "k *space"]
    strength: Sequence[float]
    lines: tuple[Index, ...] = ()

    @property
    def order(self) -> Index:
        """The axes in the order of the loops: lines lead from row to row; otherwise the axis of
        strongest coupling, which is coarsened first, is that of the rows."""
        axes = tuple(range(self.diagonal.ndim))
        if self.lines:
            return axes[::-1] if (0, 1) in self.lines else axes
        if min(self.strength) < max(self.strength) / 2:
            return tuple(sorted(axes, key=lambda a: -self.strength[a]))
        return axes

    def grids(self) -> list[Grid]:
        """The grids of all levels, axes in the order of the loops."""
        n = [self.diagonal.shape[a] for a in self.order]
        return levels(n, [self.strength[a] for a in self.order], bool(self.lines))

    def sweep(self) -> list[Colour]:
        """The colours of a sweep."""
        if not self.lines:
            return list(product((0, 1), repeat=self.diagonal.ndim))
        turned = self.order != (0, 1)
        colours: list[Colour] = []
        for line in self.lines:
            i, j = line[::-1] if turned else line
            one = Line(i * j, 0)
            colours += [Line(one.slope, c) for c in range(one.colours)]
        return colours

    def entries(self, grid: Grid) -> Float[Tensor, "k *stored"]:
        """The entries in the arrays of the finest level."""
        axes, offsets = self.order, stencil_offsets(self.diagonal.ndim)
        result = self.diagonal.new_zeros((len(offsets) + 1, *grid.size))
        inside = grid.inside()
        result[-1][inside] = self.diagonal.detach().permute(axes)
        for k, offset in enumerate(offsets):
            given = tuple(offset[axes.index(a)] for a in range(len(axes)))
            if given in offsets:
                a = self.couplings[offsets.index(given)].detach()
                result[k][inside] = a.permute(axes)
            else:  # the opposite offset is stored, at the neighbour
                a = self.couplings[offsets.index(tuple(-o for o in given))].detach().permute(axes)
                here, there = paired(offset, grid.n)
                result[k][inside][here] = a[there]
        return result


def checked(lines: tuple[Index, ...], ndim: int) -> None:
    """Raise where a sweep cannot solve these lines.

    Raises:
        ValueError: lines outside a plane, or along both axes.
    """
    if lines and (ndim != 2 or {(0, 1), (1, 0)} <= set(lines)):
        raise ValueError(
            f"Lines of a stencil are solved in 2D, along directions that lead from row to row: (1, "
            f"0) or (0, 1), (1, 1), (1, -1); got {lines} on {ndim} axes. Use GaussSeidel()."
        )


def inverse(matrix: Float[Tensor, "n n"]) -> Float[Tensor, "n n"] | None:
    """The inverse of the coarsest matrix, symmetric to the last bit; None if it is not positive
    definite. A row of zeros, of a coarse node without fine nodes, becomes one of the identity."""
    empty = matrix.diagonal() == 0
    factor, failed = torch.linalg.cholesky_ex(matrix.double() + torch.diag(empty.double()))
    if failed.item():
        return None
    result = torch.cholesky_inverse(factor)
    return ((result + result.T) / 2).to(matrix.dtype)
