"""One multigrid cycle with learned stencils in plain torch: the twin of the other forms.

    u <- u + S (f - A u)            `before` times, from u = 0
    u <- u + P coarser(R (f - A u))
    u <- u + S (f - A u)            `after` times

The coarsest level applies the first line `coarse` times. All weights have 3 nodes per axis.
"""

from collections.abc import Callable, Sequence

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from .geometry import Geometry, Level
from .ghosts import add_ghosts

# Axes: b batch, f channels of the right-hand side, u of the solution, fine and coarse space.

CONVOLVE: dict[int, Callable[..., Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
CONVOLVE_TRANSPOSED: dict[int, Callable[..., Tensor]] = {
    1: F.conv_transpose1d,
    2: F.conv_transpose2d,
    3: F.conv_transpose3d,
}


def stencil(
    u: Float[Tensor, "b c *space"], W: Float[Tensor, "o c *three"], geometry: Geometry
) -> Float[Tensor, "b o *space"]:
    """W * u on the same nodes."""
    zeros, ghosts = geometry.stencil
    return CONVOLVE[geometry.ndim](add_ghosts(u, *ghosts), W, padding=zeros)


def restriction(
    u: Float[Tensor, "b c *space"], R: Float[Tensor, "o c *three"], geometry: Geometry
) -> Float[Tensor, "b o *coarse"]:
    """R u: a stencil around every second node."""
    zeros, ghosts = geometry.restriction
    return CONVOLVE[geometry.ndim](add_ghosts(u, *ghosts), R, stride=2, padding=zeros)


def prolongation(
    u: Float[Tensor, "b c *coarse"],
    P: Float[Tensor, "c o *three"],
    geometry: Geometry,
    shape: Sequence[int],
) -> Float[Tensor, "b o *space"]:
    """P u on `shape` fine nodes: a transposed stencil between the same nodes as R."""
    cut, ghosts = geometry.prolongation
    u = add_ghosts(u, *ghosts)
    # m coarse nodes give 2m + 1 fine nodes; `cut` drops the first and the last of them.
    more = missing_nodes(u.shape[2:], cut, shape)
    u = CONVOLVE_TRANSPOSED[geometry.ndim](u, P, stride=2, padding=cut, output_padding=more)
    for axis, (n, m) in enumerate(zip(shape, u.shape[2:], strict=True), 2):
        u = u if n == m else u.narrow(axis, 0, n)
    return u


def missing_nodes(coarse: Sequence[int], cut: Sequence[int], shape: Sequence[int]) -> list[int]:
    """Per axis the nodes of `shape` beyond the 2m + 1 - 2 cut of a transposed stencil."""
    reach = [2 * m + 1 - 2 * c for m, c in zip(coarse, cut, strict=True)]
    return [max(0, n - r) for n, r in zip(shape, reach, strict=True)]


def residual(
    u: Float[Tensor, "b u *space"],
    f: Float[Tensor, "b f *space"],
    A: Float[Tensor, "f u *three"],
    geometry: Geometry,
) -> Float[Tensor, "b f *space"]:
    """f - A u, in place of A u: this allocates no memory and keeps the channels-last layout."""
    return stencil(u, A, geometry).neg_().add_(f)


def cycle(
    f: Float[Tensor, "b f *space"], levels: Sequence[Level], geometry: Geometry
) -> Float[Tensor, "b u *space"]:
    """f -> u ≈ A⁻¹ f."""
    A, pre, post, R, P = levels[0]
    u = stencil(f, pre[0], geometry)  # from u = 0 the residual is f
    for S in pre[1:]:
        u = stencil(residual(u, f, A, geometry), S, geometry).add_(u)
    if R is not None:
        e = cycle(restriction(residual(u, f, A, geometry), R, geometry), levels[1:], geometry)
        u = u + prolongation(e, P, geometry, f.shape[2:])
    for S in post:
        u = stencil(residual(u, f, A, geometry), S, geometry).add_(u)
    return u
