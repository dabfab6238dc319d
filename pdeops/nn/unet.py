"""A U-Net whose skip connections carry a block, the hierarchy of LSM."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

# Axes: b batch, c channel, *space nodes; levels are counted from the finest.


class NoBlock(nn.Module):
    """u -> u, in place of the blocks of a plain U-Net."""

    def forward(
        self, u: Float[Tensor, "b c *space"], patches: Sequence[int]
    ) -> Float[Tensor, "b c *space"]:
        return u


class BlockUNet(nn.Module):
    """u -> U-Net(u), with one block of each level between its two paths.

        x_0 = pair(u),   x_{l+1} = pair(pool(x_l))                  to the coarsest level
        y   = block(x_l) there,   y <- join([block(x_l), upsample(y)])   back to the finest

    Widths are c·(1, 2, 4, ..., 2^{levels-2}, 2^{levels-2}): the coarsest level is as wide as the
    one before.

    Args:
        channels: c, the width of the finest level and of the result.
        pair: (in, middle, out) -> a map of as many nodes, such as two convolutions.
        block: width -> a block, called as block(u, patches).
        pool, upsample: field -> field on half and on twice as many nodes per axis.
    """

    def __init__(
        self,
        channels: int,
        levels: int,
        *,
        pair: Callable[[int, int, int], nn.Module],
        block: Callable[[int], nn.Module],
        pool: Callable[[Tensor], Tensor],
        upsample: Callable[[Tensor], Tensor],
    ) -> None:
        super().__init__()
        widths = [channels * 2**l for l in range(levels - 1)]
        widths += [widths[-1] if widths else channels]
        self.pairs = nn.ModuleList(pair(i, o, o) for i, o in pairwise([channels, *widths]))
        self.blocks = nn.ModuleList(block(w) for w in widths)
        joins, incoming = [], widths[-1]
        for l in reversed(range(levels - 1)):  # coarsest first
            width, outgoing = widths[l] + incoming, widths[max(l - 1, 0)]
            joins.append(pair(width, width // 2, outgoing))
            incoming = outgoing
        self.joins = nn.ModuleList(joins)
        self.pool, self.upsample = pool, upsample

    def forward(
        self, u: Float[Tensor, "b c *space"], patches: Sequence[Sequence[int]]
    ) -> Float[Tensor, "b c *space"]:
        """Args:
        patches: for each level the number of patches per axis, see `NeuralSpectralBlock`.
        """
        skips: list[Tensor] = []
        for pair in self.pairs:
            u = pair(self.pool(u) if skips else u)
            skips.append(u)
        y = self.blocks[-1](skips.pop(), patches[-1])
        for join in self.joins:
            l = len(skips) - 1
            y = join(torch.cat([self.blocks[l](skips.pop(), patches[l]), self.upsample(y)], dim=1))
        return y
