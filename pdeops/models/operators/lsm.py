"""LSM: latent spectral models on grids (Wu et al., ICML 2023)."""

import copy
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...domain import Grid
from ...nn.convolution import CHANNELS_LAST
from ...nn.coordinates import num_position_channels, position_channels
from ...nn.domains import check_domain
from ...nn.heads import check_width
from ...nn.interpolation import through_grid
from ...nn.lsm import LSMTrunk, default_levels
from ...nn.pointwise import Pointwise, PointwiseMLP

# Axes: b batch, c channel, p position channel, *space nodes.


class LSM(nn.Module):
    """Input field -> output field by a U-Net whose skip connections solve in a latent space.

    A pointwise map lifts the input and the position of each node to hidden_channels. On each level
    of the U-Net (`nn.unet`), the field is projected to a few tokens per patch, a step in a basis of
    sines and cosines updates the tokens, and they are projected back (`nn.spectral_block`). Another
    pointwise network maps the finest level to the output. The dimension is 1, 2 or 3, and each axis
    has any size and boundary condition.

    The U-Net holds about nine tenths of the parameters. Differences from the authors' code
    (`lsm_published.py`): patches are counted, not sized; ghost nodes follow the boundary condition;
    any grid is padded and cropped; the normalisation is a choice, and the default does not depend
    on the batch; attention is scaled; pooling is a mean, activations are gelu; no parameter is
    without effect.

    Resolution: convolutions of 3 nodes are valid for one spacing only. The layers always run on the
    training grid `grid`. A field on another grid of the same box is interpolated linearly to
    `grid`, and the prediction back by cubics, as in `MgNO`. `on(other)` runs the same layers on
    another grid, with the same number of patches; they need further training there.

    Good values: hidden_channels 16 to 64, a multiple of num_heads. Parameters and time grow with
    hidden_channels²; 32 gives 4.8 million parameters with 5 levels.

    Args:
        grid: training grid, one to three axes.
        levels: grids of the U-Net; by default 5, if the shortest axis has 16 nodes.
        patches: patches per axis on the finest level, a power of two; each coarser level has half
            as many. The authors have 16. 1 makes the attention global.
        num_tokens: tokens per patch; 0 leaves out the spectral blocks: a plain U-Net.
        num_basis: sines and cosines of the latent step; 0 for none.
        num_heads: heads of the attention; divides hidden_channels.
        scale: factor of the scores; None for one over the root of the channels of a head.
        norm: "group", "instance" or "batch".
        dropout: probability of dropping a whole channel after each level, in training mode.

    Raises:
        ValueError: the domain is not a box, the grid has more than three axes or too few nodes, or
            a hyperparameter is out of range.
    """

    domains: ClassVar[tuple[type, ...]] = (Grid,)
    position: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        grid: Grid,
        *,
        hidden_channels: int = 32,
        levels: int | None = None,
        patches: int = 4,
        num_tokens: int = 4,
        num_basis: int = 12,
        num_heads: int = 8,
        scale: float | None = None,
        norm: str = "group",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_domain(type(self), grid)
        if grid.ndim not in CHANNELS_LAST:
            raise ValueError(f"LSM needs one to three axes; got a grid of shape {grid.shape}.")
        check_width(hidden_channels, "LSM")
        levels = default_levels(grid) if levels is None else levels
        trunk: dict[str, Any] = {
            "levels": levels,
            "patches": patches,
            "num_tokens": num_tokens,
            "num_basis": num_basis,
            "num_heads": num_heads,
            "scale": scale,
            "norm": norm,
            "dropout": dropout,
        }
        self.arguments: dict[str, Any] = {"hidden_channels": hidden_channels, **trunk}
        self.grid = grid
        self.lift = Pointwise(in_channels + num_position_channels(grid), hidden_channels)
        self.trunk = LSMTrunk(hidden_channels, grid, **trunk)
        self.head = PointwiseMLP(hidden_channels, 2 * hidden_channels, out_channels)
        self.to(memory_format=CHANNELS_LAST[grid.ndim])  # type: ignore[call-overload]
        self.register_buffer("position", position_channels(grid), persistent=False)

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c_out *space"]:
        return through_grid(self.on_compute_grid, x, self.grid)

    def on_compute_grid(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c_out *space"]:
        """The network itself, on fields of shape `grid.shape`."""
        position = self.position.to(x).expand(x.shape[0], *self.position.shape)
        u = self.lift(torch.cat([x, position], dim=1))  # channels are last in memory
        return self.head(self.trunk(u))

    def on(self, grid: Grid) -> "LSM":
        """A copy with the same weights, whose layers run on another grid of the box.

        Raises:
            ValueError: the grid has another box or boundary, or too few nodes.
        """
        if grid.region != self.grid.region:
            raise ValueError(
                f"The layers run on grids of their box, {self.grid}; got {grid}. Make the grid "
                f"with grid.with_shape(shape)."
            )
        model = copy.deepcopy(self)
        model.grid = grid
        model.trunk.check(grid.shape)
        model.position = position_channels(grid).to(self.position)
        return model
