"""Position as channels, and a bias that is a function of position."""

import math

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
