"""Transolver: attention among slices of the nodes of a grid or of points (Wu et al., ICML 2024)."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...domain import Boundary, Grid, Points
from ...nn.convolution import CHANNELS_LAST
from ...nn.coordinates import (
    num_position_channels,
    position_channels,
    reference_distances,
    unit_coordinates,
)
from ...nn.domains import check_domain
from ...nn.heads import check_width
from ...nn.interpolation import through_grid
from ...nn.physics_attention import PhysicsAttention, StencilProjection
from ...nn.point_box import PointBox
from ...nn.pointwise import PointwiseMLP

# Axes: b batch, c channel, p position channel, *space nodes, n points.


class Transolver(nn.Module):
    """Field -> field on the same nodes of a grid or a cloud of points, by physics attention.

        u_n = lift(x_n, position of n)
        u  <- u + attention(norm(u));  u <- u + mlp(norm(u))        n_layers times
        y_n = head(norm(u_n))

    norm is over the channels of a node. The attention (`nn.physics_attention`) divides the nodes
    among num_slices slices, and attends among the means over slices. On points its projections are
    maps of each node; on grids they are convolutions of 3 nodes per axis.

    The model of the paper, with these differences from the authors' code: convolutions take their
    ghost nodes from the boundary condition (zeros, as theirs, on Dirichlet axes); the slice means
    have no added 1e-5; the temperature is clamped on points as on grids; there is no learned
    constant vector after the lift, because the bias of the lift has the same effect. Points
    have a mask, so clouds of different size may stand in one batch.

    On points the output commutes with permutations, and is unchanged if every point is doubled.
    Doubling some of them moves the slice means towards these, unless quadrature is true and the
    weights are divided among the copies.

    Resolution: with kernel_size = 1 the layers run on the grid of the input. Convolutions of 3
    nodes are valid for one spacing only, so with kernel_size = 3 a field on another grid is
    interpolated to the training grid and the prediction back, as in `MgNO`.

    Good values: hidden_channels 64 to 256, 8 layers and heads, 32 or 64 slices. The authors'
    model for Darcy has 128 channels, 64 slices and 2.8 million parameters.

    Args:
        domain: training grid with one to three axes, or points.
        n_layers: number of blocks.
        num_slices: slices per head.
        num_heads: heads of the attention; divides hidden_channels.
        mlp_ratio: channels of the hidden layer of each mlp, divided by hidden_channels.
        kernel_size: nodes per axis of the projections, 3 (default on grids) or 1 (on points).
        reference_nodes: nodes per axis of a reference grid; the position of a node is its distances
            to them (`nn.coordinates.reference_distances`). 0 takes coordinates. By default 8 on
            grids and 0 on points, as the authors.
        quadrature: whether the slice means are weighted by the quadrature weights of the nodes;
            otherwise all nodes count the same, as in the paper.
        box: of points: lower and upper corner, two sequences of d numbers; by default that of the
            points, or the smallest box of the points of training.
        dropout: of the attention among tokens and after it, in training mode.

    Raises:
        ValueError: the domain is neither a box nor points, has too many axes, or a hyperparameter
            is out of range; box is missing.
    """

    domains: ClassVar[tuple[type, ...]] = (Grid, Points)
    position: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        domain: Grid | Points,
        *,
        hidden_channels: int = 128,
        n_layers: int = 8,
        num_slices: int = 64,
        num_heads: int = 8,
        mlp_ratio: float = 1.0,
        kernel_size: int | None = None,
        reference_nodes: int | None = None,
        quadrature: bool = False,
        box: Sequence[Sequence[float | int]] | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_domain(type(self), domain)
        on_grid, c = isinstance(domain, Grid), hidden_channels
        kernel_size = (3 if on_grid else 1) if kernel_size is None else kernel_size
        reference_nodes = (8 if on_grid else 0) if reference_nodes is None else reference_nodes
        _check(domain, c, n_layers, kernel_size, reference_nodes, box)
        project: Callable[[], nn.Module] = partial(nn.Linear, c, c)
        if isinstance(domain, Grid):
            self.box = None
            d, num_positions = domain.ndim, num_position_channels(domain)
            if kernel_size == 3:
                project = partial(StencilProjection, c, domain)
        else:
            self.box = PointBox(domain, box, model="Transolver")
            d = num_positions = domain.num_coordinates
        if reference_nodes:
            num_positions = reference_nodes**d
        self.arguments: dict[str, Any] = {
            "hidden_channels": hidden_channels,
            "n_layers": n_layers,
            "num_slices": num_slices,
            "num_heads": num_heads,
            "mlp_ratio": mlp_ratio,
            "kernel_size": kernel_size,
            "reference_nodes": reference_nodes,
            "quadrature": quadrature,
            "box": None if self.box is None else self.box.corners,
            "dropout": dropout,
        }
        self.grid, self.kernel_size, self.quadrature = domain, kernel_size, quadrature
        self.reference_nodes = reference_nodes
        self.lift = PointwiseMLP(in_channels + num_positions, 2 * c, c)
        self.blocks = nn.ModuleList(
            Block(
                PhysicsAttention(
                    c, project, num_slices=num_slices, num_heads=num_heads, dropout=dropout
                ),
                c,
                round(mlp_ratio * c),
            )
            for _ in range(n_layers)
        )
        self.norm = nn.LayerNorm(c)
        self.head = nn.Linear(c, out_channels)
        self.apply(_initialise)
        if isinstance(domain, Grid):
            self.to(memory_format=CHANNELS_LAST[domain.ndim])  # type: ignore[call-overload]
            self.register_buffer("position", self._on_grid(domain).float(), persistent=False)

    def forward(
        self, x: Float[Tensor, "b c *space"], points: Points | None = None
    ) -> Float[Tensor, "b c_out *space"]:
        """Args:
            points: of these samples, `domain.at(batch)`; None for those that all samples share, and
                on grids.

        Raises:
            ValueError: x does not fit the points; a point lies outside of the box, or has a
                coordinate that is no number.
        """
        if isinstance(self.grid, Grid):
            if self.kernel_size == 3:
                return through_grid(self._on_training_grid, x, self.grid)
            grid = self.grid.with_shape(x.shape[2:])
            return self._layers(x, self._on_grid(grid)[None], self._weights(grid, x))
        points = points or self.grid
        points.check(x)
        assert self.box is not None
        xi = self.box(points, x)
        if self.reference_nodes:
            position = reference_distances(xi, self.reference_nodes, [False] * xi.shape[-2])
        else:
            position = 2 * xi - 1
        y = self._layers(points.mask_padding(x), position, self._weights(points, x))
        return points.mask_padding(y)

    def _on_training_grid(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c_out *space"]:
        return self._layers(x, self.position[None], self._weights(self.grid, x))

    def _layers(
        self,
        x: Float[Tensor, "b c *space"],
        position: Float[Tensor, "#b p *space"],
        w: Float[Tensor, "#b n"],
    ) -> Float[Tensor, "b c_out *space"]:
        """The network for nodes with these positions and weights."""
        position = position.to(x).expand(x.shape[0], *position.shape[1:])
        u = torch.cat([x, position], dim=1).movedim(1, -1)
        u = self.lift.channels_last(u, u.shape[1:-1])
        for block in self.blocks:
            u = block(u, w)
        return self.head(self.norm(u)).movedim(-1, 1)

    def _on_grid(self, grid: Grid) -> Float[Tensor, "p *space"]:
        """The position channels of the nodes of a grid."""
        if not self.reference_nodes:
            return position_channels(grid)
        periodic = [b is Boundary.PERIODIC for b in grid.boundary]
        xi = unit_coordinates(grid).flatten(1)
        return reference_distances(xi, self.reference_nodes, periodic).unflatten(-1, grid.shape)

    def _weights(self, domain: Grid | Points, x: Tensor) -> Float[Tensor, "#b n"]:
        """Weights of the nodes in the slice means; their sum is one."""
        if self.quadrature:
            w = domain.quadrature().to(x)
        else:
            w = domain.mask_padding(x.new_ones(x.shape[0], 1, *x.shape[2:]))
        w = w.flatten()[None] if w.ndim == domain.ndim else w.flatten(1)
        return w / w.sum(-1, keepdim=True)


class Block(nn.Module):
    """u <- u + attention(norm(u)), then u <- u + mlp(norm(u)), channels last."""

    def __init__(self, attention: PhysicsAttention, channels: int, width: int) -> None:
        super().__init__()
        self.norm_attention, self.norm_mlp = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.attention = attention
        self.mlp = PointwiseMLP(channels, width, channels)

    def forward(
        self, u: Float[Tensor, "b *space c"], w: Float[Tensor, "#b n"]
    ) -> Float[Tensor, "b *space c"]:
        u = u + self.attention(self.norm_attention(u), w)
        return u + self.mlp.channels_last(self.norm_mlp(u), u.shape[1:-1])


def _initialise(layer: nn.Module) -> None:
    """Matrices from a normal distribution with deviation 0.02, biases zero, as the authors."""
    if isinstance(layer, nn.Linear | nn.Conv1d):
        nn.init.trunc_normal_(layer.weight, std=0.02)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def _check(
    domain: Grid | Points,
    channels: int,
    n_layers: int,
    kernel_size: int,
    reference_nodes: int,
    box: Sequence[Sequence[float | int]] | None,
) -> None:
    on_grid = isinstance(domain, Grid)
    if on_grid and domain.ndim not in CHANNELS_LAST:
        raise ValueError(f"Transolver needs one to three axes; got a grid of shape {domain.shape}.")
    check_width(channels, "Transolver")
    if n_layers < 1:
        raise ValueError(f"Transolver needs one layer at least; got n_layers={n_layers}.")
    if kernel_size not in ((1, 3) if on_grid else (1,)):
        raise ValueError(
            f"The projections of Transolver have kernel_size 1 or, on grids, 3; got {kernel_size} "
            f"on {domain}."
        )
    if reference_nodes < 0 or reference_nodes == 1:
        raise ValueError(
            f"The reference grid of Transolver has 2 or more nodes per axis, or 0 for coordinates; "
            f"got reference_nodes={reference_nodes}."
        )
    if on_grid and box is not None:
        raise ValueError(f"Only points need a box; a grid has its own. Got box={box}. Remove it.")
