"""The neural spectral block of LSM: project to latent tokens, solve there, project back."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .heads import channels_per_head
from .trigonometric_series import series

# Axes: b batch, c channel, *space nodes, g patches of all samples, s nodes of a patch, h head,
# t token, e channel of a head (c = h·e), m basis function.

# Entries of the keys and scores of the samples that are solved at a time. Other devices than CPUs
# start a kernel for each operation of a part, so their parts are larger.
_LARGEST_BLOCK = {"cpu": 1 << 21}
_LARGEST_ELSEWHERE = 1 << 25


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
        return _in_parts(u, self._weights(), self.scale, patches)

    def encode(self, x: Float[Tensor, "g s c"]) -> Float[Tensor, "g h t e"]:
        """The tokens of each patch."""
        return _encode(x, self._weights(), self.scale)

    def solve(self, z: Float[Tensor, "g h t e"]) -> Float[Tensor, "g h t e"]:
        """One step in the basis of sines and cosines of the token values."""
        return _solve(z, self._weights())

    def solve_plain(self, z: Float[Tensor, "g h t e"]) -> Float[Tensor, "g h t e"]:
        """`solve` as in its equation: all sines and cosines of each token value."""
        num_basis = self.cosine.shape[1]
        theta = z[..., None] * (math.pi / max(num_basis, 1)) * torch.arange(num_basis).to(z)
        basis = torch.cat([theta[..., 1:].sin(), theta.cos()], dim=-1)
        weights = self._per_head(torch.cat([self.sine, self.cosine], dim=1))
        return z + torch.einsum("ghtem,hem->ghte", basis, weights)

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

    def _weights(self) -> "_Weights":
        maps = (self.key.weight, self.value.weight, self.value.bias, self.query.weight)
        others = (self.query.bias, self.sine, self.cosine)
        return _Weights(self.tokens, *map(self._per_head, (*maps, *others)))

    def _per_head(self, weight: Float[Tensor, "c *i"]) -> Float[Tensor, "h e *i"]:
        return weight.unflatten(0, (self.num_heads, -1))


class _Weights(NamedTuple):
    """The parameters of a block, per head."""

    tokens: Float[Tensor, "h t e"]
    key: Float[Tensor, "h e c"]
    value: Float[Tensor, "h e c"]
    value_bias: Float[Tensor, "h e"]
    query: Float[Tensor, "h e c"]
    query_bias: Float[Tensor, "h e"]
    sine: Float[Tensor, "h e n"]
    cosine: Float[Tensor, "h e m"]


def _encode(x: Float[Tensor, "g s c"], w: _Weights, scale: float) -> Float[Tensor, "g h t e"]:
    L = torch.einsum("hte,hec->htc", w.tokens * scale, w.key).flatten(0, 1)
    weights = torch.softmax(x @ L.T, dim=1)
    mean = (weights.mT @ x).unflatten(1, w.tokens.shape[:2])
    z = torch.einsum("ghtc,hec->ghte", mean, w.value)
    return z + (w.value_bias[:, None] + w.tokens)


def _solve(z: Float[Tensor, "g h t e"], w: _Weights) -> Float[Tensor, "g h t e"]:
    return z + series(z, w.sine[:, None], w.cosine[:, None]) if w.cosine.shape[-1] else z


def _decode(
    x: Float[Tensor, "g s c"], z: Float[Tensor, "g h t e"], w: _Weights, scale: float
) -> Float[Tensor, "g s c"]:
    """x plus, at each node, an average of the tokens."""
    h, t = z.shape[1:3]
    keys = torch.einsum("ghte,hec->ghtc", z * scale, w.query).flatten(1, 2)
    offset = torch.einsum("ghte,he->ght", z * scale, w.query_bias).flatten(1)
    # Nodes are the last axis of the scores: a softmax over the few tokens is fast in front of it.
    scores = torch.baddbmm(offset[..., None].to(x), keys.to(x), x.mT)
    weights = torch.softmax(scores.unflatten(1, (h, t)), dim=2).flatten(1, 2)
    # The tokens of all heads as one matrix (h·t, c), zero outside the channels of the head.
    matrix = torch.diag_embed(z.permute(0, 2, 3, 1), dim1=1, dim2=3).flatten(3).flatten(1, 2)
    return torch.baddbmm(x, weights.mT.to(x), matrix.to(x))


def _in_patches(
    u: Float[Tensor, "b c *space"], w: _Weights, scale: float, patches: Sequence[int]
) -> Float[Tensor, "b c *space"]:
    """decode(solve(encode(x))) of the patches x of u."""
    x = to_patches(u, patches)
    y = _decode(x, _solve(_encode(x, w, scale), w), w, scale)
    return from_patches(y, u.shape, patches)


def _in_parts(
    u: Float[Tensor, "b c *space"], w: _Weights, scale: float, patches: Sequence[int]
) -> Float[Tensor, "b c *space"]:
    """`_in_patches`; of many samples some at a time, so that memory is bounded.

    Where patches are small, the keys and the scores have more entries than u. Then only u is kept
    for gradients, and they are computed again.
    """
    entries = w.tokens.shape[:2].numel() * (
        math.prod(u.shape[2:]) + math.prod(patches) * u.shape[1]
    )
    largest = _LARGEST_BLOCK.get(u.device.type, _LARGEST_ELSEWHERE)
    size = max(1, largest // max(1, entries))
    if (
        torch.compiler.is_compiling()  # first: a comparison would bound the size of a batch
        or len(u) <= size
        or torch._C._are_functorch_transforms_active()
        or torch.is_autocast_enabled(u.device.type)
    ):
        return _in_patches(u, w, scale, patches)
    found: Tensor = _InParts.apply(size, scale, tuple(patches), u, *w)
    return found


class _InParts(torch.autograd.Function):
    """`_in_patches` of `size` samples at a time."""

    @staticmethod
    def forward(
        ctx: Any, size: int, scale: float, patches: tuple[int, ...], u: Tensor, *weights: Tensor
    ) -> Tensor:
        ctx.save_for_backward(u, *weights)
        ctx.size, ctx.given = size, (scale, patches)
        w, out = _Weights(*weights), torch.empty_like(u)
        for part, of_part in zip(u.split(size), out.split(size), strict=True):
            of_part.copy_(_in_patches(part, w, scale, patches))
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        u, *weights = ctx.saved_tensors
        if torch.is_grad_enabled():  # for a derivative of higher order
            y = _in_patches(u, _Weights(*weights), *ctx.given)
            return None, None, None, *_gradients(y, (u, *weights), grad, create_graph=True)
        weights = [v.detach().requires_grad_(v.requires_grad) for v in weights]
        of_u, of_weights = torch.empty_like(u), [torch.zeros_like(v) for v in weights]
        for part, of_part, g in zip(*(v.split(ctx.size) for v in (u, of_u, grad)), strict=True):
            v = part.detach().requires_grad_()
            with torch.enable_grad():
                y = _in_patches(v, _Weights(*weights), *ctx.given)
            found, *others = _gradients(y, (v, *weights), g)
            of_part.copy_(found)
            for total, value in zip(of_weights, others, strict=True):
                if value is not None:
                    total += value
        return None, None, None, of_u, *of_weights


def _gradients(
    y: Tensor, of: Sequence[Tensor], grad: Tensor, *, create_graph: bool = False
) -> list[Tensor | None]:
    """Of Σ (y, grad) with respect to each tensor; None for those that need none."""
    wanted = [v for v in of if v.requires_grad]
    made = iter(torch.autograd.grad(y, wanted, grad, create_graph=create_graph, allow_unused=True))
    return [next(made) if v.requires_grad else None for v in of]


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
    return x.permute(0, *outer, *inner, -1).reshape(u.shape[0] * num_patches, nodes, u.shape[1])


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
