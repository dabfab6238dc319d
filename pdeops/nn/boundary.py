"""What a stencil sees beyond the last node."""

from collections.abc import Sequence

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ..domain import Boundary, Grid, Placement

ZERO = "constant"  # torch's name for padding with zeros


def ghost_modes(grid: Grid) -> tuple[str, ...]:
    """How each axis continues beyond its ends, as a mode of `torch.nn.functional.pad`.

    Dirichlet: zeros. Periodic: the other end. Neumann: even reflection about the end of the axis,
        which is the end node where that is stored ("reflect") and lies beyond it otherwise
        ("replicate").
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
    """u with left[i], right[i] ghost nodes before and after axis i; mode None skips the axis."""
    for i, mode in enumerate(modes):
        if mode is not None and (left[i] or right[i]):
            width = [0, 0] * len(modes)
            last = 2 * (len(modes) - 1 - i)  # torch counts axes from the last
            width[last : last + 2] = [left[i], right[i]]
            u = F.pad(u, width, mode=mode)
    return u
