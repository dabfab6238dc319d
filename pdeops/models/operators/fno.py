"""FNO: the Fourier neural operator (Li et al., ICLR 2021)."""

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ...domain import Boundary, Grid
from ...kernels.runtime.slabs import Slabs
from ...nn.coordinates import num_position_channels, position_channels
from ...nn.domains import check_domain
from ...nn.pointwise import Pointwise, PointwiseMLP
from ...nn.spectral_conv import SpectralConv


class FNO(nn.Module):
    """Input field -> output field by n_layers of u <- gelu(M(K u) + W u + b), K a SpectralConv.

    M is a pointwise network of width mlp_channels, as in the authors' later code. With
    mlp_channels = 0 it is the identity, which gives the paper's layer (on 16 x 16 Darcy, M reduces
    the error from 8.7 % to 8.2 %). A pointwise network lifts the input and the position of each
    node to hidden_channels, another projects to out_channels; the last layer has no gelu. The
    dimension is arbitrary, and so is the size of the grid, odd or even.

    Non-periodic axes are padded with zeros to the period (1 + padding) L, rounded up to an
    even number of cells of `grid`. The period, and hence each Fourier mode, is the same at every
    resolution (up to rounding to whole cells, which is exact on refined grids).

    Good values: n_modes 16 to 24, on coarse grids as many as fit; hidden_channels 24 to 64;
    padding 0.1 to 0.3.

    Args:
        grid: training grid; defines the box and the period.
        n_modes: modes per axis, even, counted as in neuraloperator: (24, 24) keeps 24 x 13.
        mlp_channels: hidden width of the pointwise network in each layer; 0 for none.
        padding: length of the zero padding relative to the box, on axes that are not periodic.
        dropout: probability of dropping a whole channel after each layer, in training mode.

    Raises:
        ValueError: the domain is not a box; n_modes does not fit the dimension, or exceeds the
            nodes of one period.
    """

    domains: ClassVar[tuple[type, ...]] = (Grid,)
    slabs: Slabs | None = None
    position: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        grid: Grid,
        *,
        n_modes: Sequence[int] = (16, 16),
        hidden_channels: int = 32,
        n_layers: int = 4,
        mlp_channels: int = 32,
        padding: float = 0.125,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_domain(type(self), grid)
        self.grid = grid
        self.arguments: dict[str, Any] = {
            "n_modes": list(n_modes),
            "hidden_channels": hidden_channels,
            "n_layers": n_layers,
            "mlp_channels": mlp_channels,
            "padding": padding,
            "dropout": dropout,
        }
        # Period of each axis in cells of the training grid.
        self.period_cells = tuple(
            m if b is Boundary.PERIODIC else max(n, _ceil(m * (1 + padding)))
            for n, m, b in zip(grid.shape, grid.cells, grid.boundary, strict=True)
        )
        _check_modes(n_modes, self.period_cells, grid)
        lifted = in_channels + num_position_channels(grid)
        width = hidden_channels
        self.lifting = PointwiseMLP(lifted, 2 * width, width)
        self.convolutions = nn.ModuleList(
            SpectralConv(width, width, n_modes) for _ in range(n_layers)
        )
        self.mlps = nn.ModuleList(
            PointwiseMLP(width, mlp_channels, width) if mlp_channels else nn.Identity()
            for _ in range(n_layers)
        )
        self.skips = nn.ModuleList(Pointwise(width, width) for _ in range(n_layers))
        self.projection = PointwiseMLP(width, 2 * width, out_channels)
        self.dropout = nn.Dropout1d(dropout)
        self.register_buffer("position", position_channels(grid), persistent=False)

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c_out *space"]:
        shape, padded, position = self.grid.shape, self.period_cells, self.position
        if x.shape[2:] != shape:
            grid = self.grid.with_shape(x.shape[2:])
            shape, padded = grid.shape, self.padded_shape(grid)
            position = position_channels(grid).to(position)
        if self.slabs is not None:
            rows = self.slabs.rows(shape[0], padded[0])
            mine = rows[self.slabs.rank]
            x, position = self.slabs.take(x, rows, 2), position[:, mine]
            shape = (mine.stop - mine.start, *shape[1:])
            padded = (padded[0] // self.slabs.size, *padded[1:])
        # Channels are the last axis from here on.
        position = position.to(x).movedim(0, -1).expand(x.shape[0], *shape, -1)
        u = self.lifting.channels_last(torch.cat([x.movedim(1, -1), position], dim=-1), padded)
        parts: Iterable[Any] = zip(self.convolutions, self.mlps, self.skips, strict=True)
        for l, (K, M, W) in enumerate(parts):
            u = self.layer(u, K, M, W, activate=l < len(self.skips) - 1)
            u = self.drop_channels(u)
        y = self.projection.channels_last(u, shape).movedim(-1, 1)
        return y if self.slabs is None else self.slabs.gather(y, rows, 2)

    def layer(
        self,
        u: Float[Tensor, "b *space c"],
        K: SpectralConv,
        M: nn.Module,
        W: Pointwise,
        *,
        activate: bool,
    ) -> Float[Tensor, "b *space c"]:
        """M(K u) + W u + b, then gelu."""
        if isinstance(M, PointwiseMLP):
            return K.layer(u, M, W, activate=activate)
        v = K.channels_last(u) + W.channels_last(u)
        return F.gelu(v) if activate else v

    def drop_channels(self, u: Float[Tensor, "b *space c"]) -> Float[Tensor, "b *space c"]:
        """Dropout of whole channels."""
        if not (self.training and self.dropout.p):
            return u
        kept = self.dropout(u.new_ones(u.shape[0], u.shape[-1], 1))
        return u * kept.view(u.shape[0], *[1] * (u.ndim - 2), -1)

    def split(self, slabs: Slabs) -> None:
        """Share each field among processes, as slabs of the padded period along the first axis.

        Every process calls `forward` with the same whole input and gets the whole output. The
        hidden fields, which take the memory, are slabs.

        Raises:
            ValueError: the number of processes does not divide the period, or a slab holds no node.
        """
        slabs.rows(self.grid.shape[0], self.period_cells[0])
        self.slabs = slabs
        for convolution in self.convolutions:
            assert isinstance(convolution, SpectralConv)
            convolution.slabs = slabs

    def padded_shape(self, grid: Grid) -> tuple[int, ...]:
        """Nodes of one period on another grid of the same box."""
        return tuple(
            max(n, round(N * m / m0))
            for n, N, m, m0 in zip(
                grid.shape, self.period_cells, grid.cells, self.grid.cells, strict=True
            )
        )


def _ceil(cells: float) -> int:
    """The smallest even number of cells >= `cells`, up to round-off."""
    return 2 * int(-(-cells * (1 - 1e-12) // 2))


def _check_modes(n_modes: Sequence[int], padded: Sequence[int], grid: Grid) -> None:
    if len(n_modes) != grid.ndim:
        raise ValueError(
            f"n_modes needs one number per axis of the grid ({grid.ndim}); got {tuple(n_modes)}."
        )
    if any(m > n for m, n in zip(n_modes, padded, strict=True)):
        raise ValueError(
            f"n_modes {tuple(n_modes)} exceed the {tuple(padded)} nodes of one period of the grid "
            f"{grid.shape}, which holds as many modes as nodes. Use fewer modes or a finer grid."
        )
