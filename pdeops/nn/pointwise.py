"""Maps that act on the channels of each node alone, in any dimension of space."""

from jaxtyping import Float
from torch import Tensor, nn


class Pointwise(nn.Conv1d):
    """u(x) -> W u(x) + b, the same W at every node (a 1x1 convolution in any dimension)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 1)

    def forward(self, u: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c_out *space"]:
        return super().forward(u.flatten(2)).unflatten(2, u.shape[2:])


def pointwise_mlp(in_channels: int, width: int, out_channels: int) -> nn.Sequential:
    """u(x) -> W₂ gelu(W₁ u(x) + b₁) + b₂ at every node."""
    return nn.Sequential(Pointwise(in_channels, width), nn.GELU(), Pointwise(width, out_channels))
