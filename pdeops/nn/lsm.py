"""The trunk of LSM: a U-Net with spectral blocks, on any grid and with its boundary conditions."""

import math
from collections.abc import Callable, Sequence

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ..domain import Grid, Placement
from ..kernels.multichannel_cycle import add_ghosts
from .boundary import ghost_modes
from .convolution import DROPOUT, mean_of_pairs, within
from .multigrid import Stencil
from .spectral_block import NeuralSpectralBlock
from .unet import BlockUNet, NoBlock

# Axes: b batch, c channel, *space nodes.

_BATCH_NORM = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_INTERPOLATION = {1: "linear", 2: "bilinear", 3: "trilinear"}

# Normalisation after each convolution: (number of axes, channels) -> layer.
NORMS: dict[str, Callable[[int, int], nn.Module]] = {
    "batch": lambda ndim, c: _BATCH_NORM[ndim](c),
    "instance": lambda ndim, c: nn.GroupNorm(c, c),
    "group": lambda ndim, c: nn.GroupNorm(math.gcd(8, c), c),
}


class LSMTrunk(nn.Module):
    """Latent field -> latent field on the same nodes: a `BlockUNet` with spectral blocks.

    Convolutions take their ghost nodes from the boundary condition of each axis (zeros, the other
    end, or the last node), pooling is the mean of two nodes, and upsampling is linear. On periodic
    axes the trunk commutes with shifts by multiples of 2^(levels-1) nodes that are whole patches on
    every level.

    Each axis is continued at its right end, by the same rule, to a multiple of 2^(levels-1) and of
    the number of patches, and cropped afterwards. On a periodic axis of another size this breaks
    the period.

    Args:
        levels: number of grids, each with half of the nodes of the one before.
        patches: patches per axis on the finest level, a power of two; level l has patches / 2^l, at
            least one. It is a number, not a size, so a refined grid has the same patches.
        norm: "group" (8 groups), "instance" or "batch". Only with "batch" does the output in
            training mode depend on the other samples.
        dropout: probability of dropping a whole channel after each level, in training mode.
        num_tokens: tokens per patch; 0 leaves out the spectral blocks, which gives a plain U-Net.
        num_basis, num_heads, scale: of `NeuralSpectralBlock`.

    Raises:
        ValueError: the grid has fewer nodes than the hierarchy or the patches need; patches is not
            a power of two; the norm is unknown, or leaves nothing on the coarsest level; the heads
            do not divide the channels.
    """

    def __init__(
        self,
        channels: int,
        grid: Grid,
        *,
        levels: int,
        patches: int,
        norm: str,
        dropout: float,
        num_tokens: int,
        num_basis: int,
        num_heads: int,
        scale: float | None,
    ) -> None:
        super().__init__()
        self.levels, self.patches, ndim = levels, patches, grid.ndim
        self.modes = ghost_modes(_latent(grid, grid.shape))
        self.check(grid.shape)
        if norm not in NORMS:
            raise ValueError(f"Unknown norm {norm!r}; use {', '.join(NORMS)}.")
        if norm == "instance" and math.prod(self.padded(grid.shape)) == 2 ** ((levels - 1) * ndim):
            raise ValueError(
                f"The coarsest of {levels} levels of {grid.shape} nodes has one node, of which "
                f"norm='instance' leaves zero. Use fewer levels or norm='group'."
            )
        latent = _latent(grid, self.padded(grid.shape))

        def pair(i: int, middle: int, o: int) -> nn.Sequential:
            return nn.Sequential(
                Stencil(i, middle, latent),
                NORMS[norm](ndim, middle),
                nn.GELU(),
                Stencil(middle, o, latent),
                NORMS[norm](ndim, o),
                nn.GELU(),
                DROPOUT[ndim](dropout),
            )

        def block(width: int) -> nn.Module:
            if num_tokens == 0:
                return NoBlock()
            return NeuralSpectralBlock(
                width,
                num_tokens=num_tokens,
                num_basis=num_basis,
                num_heads=num_heads,
                scale=scale,
            )

        self.unet = BlockUNet(
            channels,
            levels,
            pair=pair,
            block=block,
            pool=mean_of_pairs,
            upsample=Upsample(self.modes),
        )

    def forward(self, u: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        shape = u.shape[2:]
        self.check(shape)
        added = [N - n for n, N in zip(shape, self.padded(shape), strict=True)]
        extended = add_ghosts(u, self.modes, [0] * len(added), added)
        patches = [[max(1, self.patches >> l)] * len(added) for l in range(self.levels)]
        return self.unet(extended, patches)[within(u)]

    def padded(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The nodes per axis on which the U-Net runs."""
        unit = max(2 ** (self.levels - 1), self.patches)
        return tuple(-(-n // unit) * unit for n in shape)

    def check(self, shape: Sequence[int]) -> None:
        """Raise a ValueError if a grid of this shape is too small."""
        if self.levels < 1:
            raise ValueError(f"LSM needs one level at least; got {self.levels}.")
        if self.patches < 1 or self.patches & (self.patches - 1):
            raise ValueError(
                f"The number of patches per axis is halved from level to level, so it is a power "
                f"of two; got {self.patches}. Use 1, 2, 4, 8 or 16."
            )
        unit = max(2 ** (self.levels - 1), self.patches)
        if min(shape) < unit:
            raise ValueError(
                f"LSM with {self.levels} levels and {self.patches} patches needs {unit} nodes per "
                f"axis at least; got {' x '.join(map(str, shape))}. Use fewer levels and patches, "
                f"or a finer grid."
            )


def _latent(grid: Grid, shape: Sequence[int]) -> Grid:
    """Cells of the same box and boundary: halving them needs no node at the ends."""
    return Grid(shape, grid.extent, grid.boundary, Placement.CENTERS)


class Upsample(nn.Module):
    """u -> linear interpolation at the centres of half cells.

    Args:
        modes: `ghost_modes` of the axes. A periodic axis wraps; another is constant beyond its last
            node.
    """

    def __init__(self, modes: Sequence[str]) -> None:
        super().__init__()
        self.wrapped = tuple(m if m == "circular" else None for m in modes)

    def forward(self, u: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *fine"]:
        ones = (1,) * len(self.wrapped)
        u = add_ghosts(u, self.wrapped, ones, ones)
        mode = _INTERPOLATION[len(ones)]
        u = F.interpolate(u, scale_factor=2, mode=mode, align_corners=False)
        for axis, wraps in enumerate(self.wrapped, 2):
            u = u.narrow(axis, 2, u.shape[axis] - 4) if wraps else u
        return u


def default_levels(grid: Grid) -> int:
    """5, or as many levels as the shortest axis can be halved to one node: 16 -> 5, 8 -> 4."""
    return min(5, min(grid.shape).bit_length())
