"""MgNO: each layer is one linear multigrid cycle (He, Liu & Xu, ICLR 2024)."""

import copy
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ...domain import Grid
from ...nn.convolution import CHANNELS_LAST, CONV, DROPOUT
from ...nn.coordinates import BiasFunction, position_channels
from ...nn.domains import check_domain
from ...nn.interpolation import through_grid
from ...nn.multigrid import MultigridCycle, default_levels


class MgNOLayer(nn.Module):
    """u -> W_Mg u + W_1x1 u + b(x): a multigrid cycle, a pointwise map, a function of position."""

    def __init__(self, in_channels: int, channels: int, grid: Grid, **cycle: Any) -> None:
        super().__init__()
        self.multigrid = MultigridCycle(in_channels, channels, grid, **cycle)
        self.pointwise = CONV[grid.ndim](in_channels, channels, 1, bias=False)
        self.bias = BiasFunction(grid, channels)

    def forward(
        self, u: Float[Tensor, "b c *space"], position: Float[Tensor, "p *space"]
    ) -> Float[Tensor, "b c_out *space"]:
        return self.multigrid(u).add_(self.pointwise(u)).add_(self.bias(position))


class MgNO(nn.Module):
    """Input field -> output field by n_layers of u <- gelu(W_Mg u + W_1x1 u + b(x)) and a 1x1 map.

    W_Mg is one linear multigrid cycle on many channels (`nn.multigrid`), whose ghost nodes follow
    the boundary condition of each axis. There is no lifting: the first layer maps in_channels to
    hidden_channels. The cycle is the paper's. The authors' code (`mgno_published.py`) differs: it
    restricts f instead of the residual, adds all of the coarse u instead of a correction, has
    one A per sweep instead of per level and one bias per channel instead of b(x), and some of its
    networks have a LayerNorm, which fixes the grid.

    Resolution: a learned stencil is valid for one spacing only, so the layers always run on the
    training grid `grid`. A field on another grid of the same box is restricted to it (injection if
    nodes nest, else linear interpolation), and the prediction is interpolated back by cubics. The
    prediction then has the error of the training grid plus O(h^4) where it is smooth: details of
    the input between the nodes of `grid` are ignored, and a finer grid gives no smaller error.
    `on(other)` runs the same stencils on another grid, where they need further training.

    Good values: hidden_channels 16 to 32, n_layers 4. Parameters grow with hidden_channels² and the
    number of levels, time with hidden_channels² and the number of nodes.

    Args:
        grid: training grid, one to three axes, of any size and any boundary per axis.
        levels: number of grids in the cycle; by default the coarsest has 3 to 5 nodes along its
            shortest axis.
        sweeps: smoothing steps before and after the coarse correction; (1, 0) is the backslash
            cycle.
        coarse_sweeps: smoothing steps on the coarsest level.
        dropout: probability of dropping a whole channel after each layer, in training mode.

    Raises:
        ValueError: the domain is not a box, the grid has more than three axes, or too few nodes for
            `levels`.
    """

    domains: ClassVar[tuple[type, ...]] = (Grid,)
    position: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        grid: Grid,
        *,
        hidden_channels: int = 24,
        n_layers: int = 4,
        levels: int | None = None,
        sweeps: Sequence[int] = (1, 1),
        coarse_sweeps: int = 2,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_domain(type(self), grid)
        levels = default_levels(grid) if levels is None else levels
        self.grid = grid
        self.arguments: dict[str, Any] = {
            "hidden_channels": hidden_channels,
            "n_layers": n_layers,
            "levels": levels,
            "sweeps": list(sweeps),
            "coarse_sweeps": coarse_sweeps,
            "dropout": dropout,
        }
        widths = [in_channels] + [hidden_channels] * n_layers
        self.layers = nn.ModuleList(
            MgNOLayer(i, o, grid, levels=levels, sweeps=sweeps, coarse_sweeps=coarse_sweeps)
            for i, o in pairwise(widths)
        )
        self.dropout = DROPOUT[grid.ndim](dropout)
        self.head = CONV[grid.ndim](hidden_channels, out_channels, 1)
        self.to(memory_format=CHANNELS_LAST[grid.ndim])  # type: ignore[call-overload]
        self.register_buffer("position", position_channels(grid), persistent=False)

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c_out *space"]:
        return through_grid(self.on_compute_grid, x, self.grid)

    def on_compute_grid(self, u: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c_out *space"]:
        """The network itself, on fields of shape `grid.shape`."""
        u = u.clone(memory_format=CHANNELS_LAST[self.grid.ndim])  # one channel needs the copy
        for layer in self.layers:
            u = self.dropout(F.gelu(layer(u, self.position)))
        return self.head(u)

    def on(self, grid: Grid) -> "MgNO":
        """A copy with the same weights, whose layers run on another grid of the box."""
        model = copy.deepcopy(self)
        model.grid = grid
        model.position = position_channels(grid).to(self.position)
        return model
