"""Physics attention: attention among learned slices of the nodes of a domain."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ..domain import Grid
from .heads import channels_per_head
from .multigrid import Stencil

# Axes: b batch, c channel, *space nodes, n nodes in one axis, h head, e channel of a head
# (c = h·e), g slice.

TEMPERATURES = (0.1, 5.0)  # a learned temperature is clamped to these, as by the authors
SMALLEST_SHARE = 1e-12


class PhysicsAttention(nn.Module):
    """u -> v by attention among slices of the nodes (Wu et al., ICML 2024, section 3.2).

    Per head, with two projections x and f of u and node weights w with Σ w = 1:

        a_ng = softmax_g((W x_n + b) / τ)                share of node n in slice g
        z_g  = Σ_n w_n a_ng f_n / Σ_n w_n a_ng           token of a slice: a weighted mean
        z    <- softmax(Q z (K z)ᵀ / √e) V z             attention among the tokens
        v_n  = Σ_g a_ng z_g

    and a linear map of the channels of all heads. The shares of a node add up to one. W, b, Q, K
    and V are shared by the heads; each head has a temperature τ. Nodes interact only through the
    tokens and through the projections. The cost is O(n·g·c) instead of the O(n²·c) of attention
    among the nodes.

    A slice whose share of all nodes is below 1e-12 has a token near zero, not 0/0.

    Args:
        project: makes a projection, a map of fields (b, *space, c) to such fields.
        num_slices: number of slices.
        num_heads: number of heads; divides the number of channels.
        dropout: of the attention among tokens and of the output, in training mode.

    Raises:
        ValueError: num_heads does not divide channels, or num_slices is not positive.
    """

    def __init__(
        self,
        channels: int,
        project: Callable[[], nn.Module],
        *,
        num_slices: int,
        num_heads: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        e = channels_per_head(channels, num_heads, "physics attention")
        if num_slices < 1:
            raise ValueError(f"Physics attention needs one slice at least; got {num_slices}.")
        self.num_heads = num_heads
        self.coordinate, self.feature = project(), project()
        self.slice = nn.Linear(e, num_slices)
        self.temperature = nn.Parameter(torch.full((num_heads, 1, 1), 0.5))
        self.query, self.key, self.value = (nn.Linear(e, e, bias=False) for _ in range(3))
        self.output = nn.Linear(channels, channels)
        self.dropout = dropout

    def forward(
        self, u: Float[Tensor, "b *space c"], w: Float[Tensor, "#b n"]
    ) -> Float[Tensor, "b *space c"]:
        a = self.shares(u)
        z = self.tokens(a, self._per_head(self.feature(u)), w)
        p = self.dropout if self.training else 0.0
        z = F.scaled_dot_product_attention(self.query(z), self.key(z), self.value(z), dropout_p=p)
        v = self.output((a @ z).transpose(1, 2).flatten(2))
        return F.dropout(v, self.dropout, self.training).view(u.shape)

    def shares(self, u: Float[Tensor, "b *space c"]) -> Float[Tensor, "b h n g"]:
        """a: the shares of each node in the slices."""
        scores = self.slice(self._per_head(self.coordinate(u)))
        return torch.softmax(scores / self.temperature.clamp(*TEMPERATURES), dim=-1)

    def tokens(
        self, a: Float[Tensor, "b h n g"], f: Float[Tensor, "b h n e"], w: Float[Tensor, "#b n"]
    ) -> Float[Tensor, "b h g e"]:
        """z before the attention: the mean of f over each slice."""
        w = w.to(f)[:, None, :, None]
        sums = a.mT @ torch.cat([w * f, w.expand(*f.shape[:3], 1)], dim=-1)
        return sums[..., :-1] / sums[..., -1:].clamp_min(SMALLEST_SHARE)

    def _per_head(self, u: Float[Tensor, "b *space c"]) -> Float[Tensor, "b h n e"]:
        return u.flatten(1, -2).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


class StencilProjection(nn.Module):
    """u -> W * u + b with 3 nodes per axis, for fields with channels last (`Stencil`)."""

    def __init__(self, channels: int, grid: Grid) -> None:
        super().__init__()
        self.stencil = Stencil(channels, channels, grid)
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, u: Float[Tensor, "b *space c"]) -> Float[Tensor, "b *space c"]:
        return self.stencil(u.movedim(-1, 1)).movedim(1, -1) + self.bias
