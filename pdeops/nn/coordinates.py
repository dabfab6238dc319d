"""Position as channels, and a bias that is a function of position."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..domain import Boundary, Grid


def position_channels(grid: Grid) -> Float[Tensor, "p *space"]:
    """The position of each node, as smooth functions on the grid's domain (float32).

    An axis with two ends has the channel 2x/L − 1. A periodic axis has two channels, cos 2πx/L and
    sin 2πx/L.
    """
    channels = []
    for x, L, boundary in zip(grid.nodes(), grid.extent, grid.boundary, strict=True):
        if boundary is Boundary.PERIODIC:
            channels += [torch.cos(2 * math.pi * x / L), torch.sin(2 * math.pi * x / L)]
        else:
            channels += [2 * x / L - 1]
    return torch.stack(channels).float()


def num_position_channels(grid: Grid) -> int:
    """Number of channels of `position_channels`: two per periodic axis, one per other axis."""
    return grid.ndim + sum(b is Boundary.PERIODIC for b in grid.boundary)


def unit_coordinates(grid: Grid) -> Float[Tensor, "d *space"]:
    """The position of each node divided by the extent of the box, per axis (float64)."""
    return torch.stack([x / L for x, L in zip(grid.nodes(), grid.extent, strict=True)])


def reference_distances(
    xi: Float[Tensor, "*b d n"], per_axis: int, periodic: Sequence[bool]
) -> Float[Tensor, "*b r n"]:
    """Distances from points ξ of the unit box to the r = per_axis^d nodes of a reference grid.

    The position of Transolver (Wu et al., 2024): the nodes of an axis are i / (per_axis - 1). On a
    periodic axis they are i / per_axis, and the distance along it is sin(π |Δξ|) / π, which is
    smooth over the period. At a node of the reference grid the distance has no derivative; its
    gradient there is 0.
    """
    squares: Tensor | float = 0.0
    for axis, wraps in enumerate(periodic):
        nodes = torch.arange(per_axis, dtype=xi.dtype, device=xi.device)
        nodes = nodes / (per_axis if wraps else per_axis - 1)
        delta = xi[..., axis, None, :] - nodes[:, None]
        if wraps:
            delta = torch.sin(math.pi * delta) / math.pi
        shape = [1] * len(periodic)
        shape[axis] = per_axis
        squares = squares + delta.square().view(*xi.shape[:-2], *shape, -1)
    assert isinstance(squares, Tensor)
    apart = squares > 0
    distances = torch.where(apart, torch.where(apart, squares, 1.0).sqrt(), 0.0)
    return distances.flatten(-1 - len(periodic), -2)


class BiasFunction(nn.Module):
    """Position channels -> b(x), by a small network; the function b is the same on every grid.

    Unlike a scalar bias, b can depend on the distance to the boundary. The layers after it can thus
    make a field vanish on a Dirichlet boundary.
    """

    def __init__(self, grid: Grid, channels: int, *, width: int = 32) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Linear(num_position_channels(grid), width), nn.GELU(), nn.Linear(width, channels)
        )

    def forward(self, position: Float[Tensor, "p *space"]) -> Float[Tensor, "c *space"]:
        return self.network(position.movedim(0, -1)).movedim(-1, 0)
