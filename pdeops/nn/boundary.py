"""Ghost-node padding for each boundary condition."""

from collections.abc import Sequence

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ..domain import Boundary, Grid, Placement

ZERO = "constant"  # torch's name for padding with zeros


def ghost_modes(grid: Grid) -> tuple[str, ...]:
    """The mode of `torch.nn.functional.pad` for the ghost nodes of each axis.

    Dirichlet axes are padded with zeros, periodic axes with the values at the other end, Neumann
    axes by even reflection about the end of the axis. That end is a node if the end nodes are
    stored ("reflect"); otherwise it lies beyond the last node ("replicate").
    """

    def mode(boundary: Boundary, placement: Placement) -> str:
        if boundary is Boundary.DIRICHLET:
            return ZERO
        if boundary is Boundary.PERIODIC:
            return "circular"
        return "reflect" if placement is Placement.ENDPOINTS else "replicate"

    return tuple(mode(b, p) for b, p in zip(grid.boundary, grid.placement, strict=True))


def add_ghosts(
    u: Float[Tensor, "b c *space"],
    modes: Sequence[str | None],
    left: Sequence[int],
    right: Sequence[int],
) -> Float[Tensor, "b c *extended"]:
    """u with left[i] ghost nodes before and right[i] after axis i; mode None skips the axis."""
    for i, mode in enumerate(modes):
        if mode is not None and (left[i] or right[i]):
            width = [0, 0] * len(modes)
            last = 2 * (len(modes) - 1 - i)  # torch counts axes from the last
            width[last : last + 2] = [left[i], right[i]]
            u = F.pad(u, width, mode=mode)
    return u
