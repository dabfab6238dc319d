"""Pointwise maps: one map of the channels for all nodes, in any dimension of space."""

from collections.abc import Sequence

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ..kernels.fno import pointwise_mlp


class Pointwise(nn.Conv1d):
    """u(x) -> W u(x) + b, the same W at every node (a 1x1 convolution in any dimension).

    With channels last in memory this is one matrix product, several times faster than a convolution
    with channels first.
    """

    bias: nn.Parameter

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 1)

    def keep_variance(self, gain: float = 1.0) -> None:
        """Draw W from N(0, gain / c) and set b to 0.

        Independent channels u_i of variance s then give W u the variance gain·s. torch draws W from
        a third of that (gain 1/3), so that the part of a field that depends on the input fades from
        layer to layer while the biases stay. Use gain 2 before an activation that removes half of
        the variance (He et al. 2015).
        """
        nn.init.normal_(self.weight, std=(gain / self.in_channels) ** 0.5)
        nn.init.zeros_(self.bias)

    @property
    def matrix(self) -> Float[Tensor, "c_out c"]:
        """W."""
        return self.weight[..., 0]

    def forward(self, u: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c_out *space"]:
        return self.channels_last(u.movedim(1, -1)).movedim(-1, 1)

    def channels_last(self, u: Float[Tensor, "*b c"]) -> Float[Tensor, "*b c_out"]:
        """`forward` for fields with channels last."""
        return F.linear(u, self.matrix, self.bias)


class PointwiseMLP(nn.Sequential):
    """u(x) -> W₂ gelu(W₁ u(x) + b₁) + b₂ at every node."""

    def __init__(self, in_channels: int, width: int, out_channels: int) -> None:
        super().__init__(Pointwise(in_channels, width), nn.GELU(), Pointwise(width, out_channels))

    def forward(self, u: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c_out *space"]:
        return self.channels_last(u.movedim(1, -1), u.shape[2:]).movedim(-1, 1)

    def channels_last(
        self, u: Float[Tensor, "b *space c"], shape: Sequence[int]
    ) -> Float[Tensor, "b *shape c_out"]:
        """`forward` for fields with channels last, then cropped or zero-padded to `shape`."""
        return pointwise_mlp(u, shape, *self.maps())

    def maps(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """W₁, b₁, W₂, b₂."""
        first, second = self._layers()
        return first.matrix, first.bias, second.matrix, second.bias

    def keep_variance(self) -> None:
        """Initial weights with which the output has about the variance of the input."""
        first, second = self._layers()
        first.keep_variance(2.0)
        second.keep_variance()

    def _layers(self) -> tuple[Pointwise, Pointwise]:
        first, _, second = self
        assert isinstance(first, Pointwise)
        assert isinstance(second, Pointwise)
        return first, second
