"""The ghost nodes of each boundary condition."""

from ..domain import Boundary, Grid, Placement
from ..kernels.multichannel_cycle import ZERO


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
