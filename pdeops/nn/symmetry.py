"""The symmetries of a box, and equivariant models by averaging over the symmetries."""

from itertools import permutations, product
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..domain import Grid, check_kind

_ADVICE = "Set data.symmetries and data.average_symmetries to false."
Isometry = tuple[tuple[int, ...], tuple[int, ...]]  # order of the axes, and the axes to reflect


def isometries(grid: Any) -> list[Isometry]:
    """The symmetries of the grid, the identity first: 8 for a square, 4 for another rectangle.

    Raises:
        ValueError: the domain is not a box.
    """
    check_kind(grid, (Grid,), "Transforming fields by the symmetries of a box", _ADVICE)
    axes = range(grid.ndim)
    like = list(zip(grid.shape, grid.extent, grid.boundary, grid.placement, strict=True))
    return [
        (order, tuple(a for a, flip in zip(axes, flips, strict=True) if flip))
        for order in permutations(axes)
        if [like[a] for a in order] == like
        for flips in product((False, True), repeat=grid.ndim)
    ]


def reflect(u: Tensor, dim: int, *, half_open: bool, first: int) -> Tensor:
    """u reflected along a dimension; on half-open nodes, line 0 is copied from line `first`."""
    if not half_open:
        return u.flip(dim)
    n = u.shape[dim]
    return u.index_select(dim, torch.tensor([first % n, *range(n - 1, 0, -1)], device=u.device))


class SymmetricAverage(nn.Module):
    """x -> mean of g⁻¹ model(g x) over the symmetries g of the box: M(g x) = g M(x) exactly.

    It applies to scalar fields and to isotropic equations, such as -div(k grad p) = 1 with p = 0 on
    the boundary. Averaging removes the part of the error that is not symmetric, and takes 8
    evaluations on a square. In training mode the module is the model itself: the data loader
    transforms the samples at random, and each takes one evaluation.

    Args:
        grid: defines the box; the symmetries also apply to fields on its other grids.
        half_open: the nodes are i/n without the right end, and i -> n - i reflects them. Line 0
            would be the reflection of line n, which is not stored: the reflected input copies the
            nearest stored line, the reflected output keeps its line 0.
    """

    def __init__(self, model: nn.Module, grid: Any, *, half_open: bool = False) -> None:
        super().__init__()
        self.model, self.half_open = model, half_open
        self.isometries = isometries(grid)

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c_out *space"]:
        if self.training:
            return self.model(x)
        total = torch.zeros((), dtype=x.dtype, device=x.device)
        for order, reflected in self.isometries:
            moved = x.permute(0, 1, *(a + 2 for a in order))
            for axis in reflected:
                moved = reflect(moved, axis + 2, half_open=self.half_open, first=-1)
            y = self.model(moved)
            for axis in reflected:
                y = reflect(y, axis + 2, half_open=self.half_open, first=0)
            back = sorted(range(len(order)), key=order.__getitem__)
            total = total + y.permute(0, 1, *(a + 2 for a in back))
        return total / len(self.isometries)
