"""The neural spectral block of LSM: project to latent tokens, solve there, project back."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .heads import channels_per_head
from .trigonometric_series import series

# Axes: b batch, c channel, *space nodes, g patches of all samples, s nodes of a patch, h head,
# t token, e channel of a head (c = h·e), m basis function.


class NeuralSpectralBlock(nn.Module):
    """u -> u + decode(solve(encode(u))) in each patch (Wu et al., ICML 2023, section 3.2).

    With learned tokens L, a patch x_s of nodes, and z one value per token and channel:

        encode   z = L + softmax_s(scale · L W_k x_s) (W_v x_s + b_v)       per head
        solve    z <- z + Σ_{m=1}^{M-1} a_m sin(π m z / M) + Σ_{m=0}^{M-1} b_m cos(π m z / M)
        decode   x_s <- x_s + softmax_t(scale · (W_q x_s + b_q) z_t) z_t    per head

    a and b have one value per channel. Nodes of different patches do not interact, and the block
    commutes with permutations of the nodes of a patch. Encoding is a weighted average over nodes,
    so its tokens converge where the grid is refined and the number of patches is kept.

    The projections are absorbed: L W_k is one vector per token, W_v acts on the average of x_s, and
    W_q on z. The cost per node is O(h·t·c), against O(c²) of projecting each node. `plain` is the
    same map with a projection per node. A bias of the keys, and a sine with m = 0, would have no
    effect, so there are none.

    Args:
        num_tokens: t, tokens per patch.
        num_basis: M; 0 leaves out the solve step.
        num_heads: h, which divides the number of channels.
        scale: factor of the scores in both attentions; None for 1/√e.

    Raises:
        ValueError: num_heads does not divide channels, or a number is out of range.
    """

    def __init__(
        self,
        channels: int,
        *,
        num_tokens: int = 4,
        num_basis: int = 12,
        num_heads: int = 8,
        scale: float | None = None,
    ) -> None:
        super().__init__()
        per_head = channels_per_head(channels, num_heads, "the spectral block")
        if num_tokens < 1 or num_basis < 0:
            raise ValueError(
                f"The spectral block needs one token at least, and 0 or more basis functions; got "
                f"{num_tokens} and {num_basis}."
            )
        self.num_heads = num_heads
        self.scale = 1 / math.sqrt(per_head) if scale is None else scale
        self.tokens = nn.Parameter(torch.rand(num_heads, num_tokens, per_head) / channels)
        self.key = nn.Linear(channels, channels, bias=False)
        self.value = nn.Linear(channels, channels)
        self.query = nn.Linear(channels, channels)
        self.sine = nn.Parameter(torch.rand(channels, max(num_basis - 1, 0)) / channels)
        self.cosine = nn.Parameter(torch.rand(channels, num_basis) / channels)

    def forward(
        self, u: Float[Tensor, "b c *space"], patches: Sequence[int]
    ) -> Float[Tensor, "b c *space"]:
        """Args:
        patches: number of patches per axis; each divides the number of nodes.
        """
        x = to_patches(u, patches)
        return from_patches(self.decode(x, self.solve(self.encode(x))), u.shape, patches)

    def encode(self, x: Float[Tensor, "g s c"]) -> Float[Tensor, "g h t e"]:
        """The tokens of each patch."""
        K = self._per_head(self.key.weight)
        L = torch.einsum("hte,hec->htc", self.tokens * self.scale, K).flatten(0, 1)
        weights = torch.softmax(x @ L.T, dim=1)
        mean = (weights.mT @ x).unflatten(1, self.tokens.shape[:2])
        z = torch.einsum("ghtc,hec->ghte", mean, self._per_head(self.value.weight))
        return z + (self.value.bias.unflatten(0, (self.num_heads, 1, -1)) + self.tokens)

    def solve(self, z: Float[Tensor, "g h t e"]) -> Float[Tensor, "g h t e"]:
        """One step in the basis of sines and cosines of the token values."""
        if not self.cosine.shape[1]:
            return z
        a, b = (self._per_head(weight)[:, None] for weight in (self.sine, self.cosine))
        return z + series(z, a, b)

    def solve_plain(self, z: Float[Tensor, "g h t e"]) -> Float[Tensor, "g h t e"]:
        """`solve` as in its equation: all sines and cosines of each token value."""
        num_basis = self.cosine.shape[1]
        theta = z[..., None] * (math.pi / max(num_basis, 1)) * torch.arange(num_basis).to(z)
        basis = torch.cat([theta[..., 1:].sin(), theta.cos()], dim=-1)
        weights = self._per_head(torch.cat([self.sine, self.cosine], dim=1))
        return z + torch.einsum("ghtem,hem->ghte", basis, weights)

    def decode(
        self, x: Float[Tensor, "g s c"], z: Float[Tensor, "g h t e"]
    ) -> Float[Tensor, "g s c"]:
        """x plus, at each node, an average of the tokens."""
        h, t = z.shape[1:3]
        Q = self._per_head(self.query.weight)
        keys = torch.einsum("ghte,hec->ghtc", z * self.scale, Q).flatten(1, 2)
        offset = torch.einsum("ghte,he->ght", z * self.scale, self._per_head(self.query.bias))
        scores = torch.baddbmm(offset.flatten(1)[:, None].to(x), x, keys.mT.to(x))
        weights = torch.softmax(scores.unflatten(-1, (h, t)), dim=-1).flatten(2)
        # The tokens of all heads as one matrix (h·t, c), zero outside the channels of the head.
        matrix = torch.diag_embed(z.permute(0, 2, 3, 1), dim1=1, dim2=3).flatten(3).flatten(1, 2)
        return torch.baddbmm(x, weights.to(x), matrix.to(x))

    def plain(
        self, u: Float[Tensor, "b c *space"], patches: Sequence[int]
    ) -> Float[Tensor, "b c *space"]:
        """`forward` as in the equations: keys, values and queries at each node, and the basis."""
        x = to_patches(u, patches)
        h = self.num_heads
        k, v, q = (
            layer(x).unflatten(-1, (h, -1)).transpose(1, 2)
            for layer in (self.key, self.value, self.query)
        )
        z = self.tokens + torch.softmax(self.scale * self.tokens @ k.mT, dim=-1) @ v
        z = self.solve_plain(z)
        y = torch.softmax(self.scale * q @ z.mT, dim=-1) @ z
        return from_patches(x + y.transpose(1, 2).flatten(2), u.shape, patches)

    def _per_head(self, weight: Float[Tensor, "c *i"]) -> Float[Tensor, "h e *i"]:
        return weight.unflatten(0, (self.num_heads, -1))


def to_patches(u: Float[Tensor, "b c *space"], patches: Sequence[int]) -> Float[Tensor, "g s c"]:
    """The nodes of each patch; patches of a sample are adjacent, in the order of the axes.

    Raises:
        ValueError: there is not one number of patches per axis, or it does not divide the nodes.
    """
    shape = u.shape[2:]
    if len(shape) != len(patches) or any(n % P for n, P in zip(shape, patches, strict=True)):
        raise ValueError(
            f"Patches divide the nodes of each axis into equal parts; got {tuple(shape)} nodes and "
            f"{tuple(patches)} patches."
        )
    x = u.movedim(1, -1)
    for axis, P in enumerate(patches):
        x = x.unflatten(1 + 2 * axis, (P, shape[axis] // P))
    d, num_patches = len(shape), math.prod(patches)
    outer, inner = range(1, 2 * d, 2), range(2, 2 * d + 1, 2)
    nodes = math.prod(shape) // num_patches
    return x.permute(0, *outer, *inner, -1).reshape(len(u) * num_patches, nodes, u.shape[1])


def from_patches(
    x: Float[Tensor, "g s c"], shape: Sequence[int], patches: Sequence[int]
) -> Float[Tensor, "b c *space"]:
    """The inverse of `to_patches`, for a field of this shape."""
    b, c, *space = shape
    d = len(space)
    inner = [n // P for n, P in zip(space, patches, strict=True)]
    order = [axis for i in range(d) for axis in (1 + i, 1 + d + i)]
    return (
        x.reshape(b, *patches, *inner, c)
        .permute(0, *order, -1)
        .reshape(b, *space, c)
        .movedim(-1, 1)
    )
