"""Ghost nodes beyond the ends of an axis, and the adjoint of adding them."""

from collections.abc import Sequence

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def add_ghosts(
    u: Float[Tensor, "b c *space"],
    modes: Sequence[str | None],
    left: Sequence[int],
    right: Sequence[int],
) -> Float[Tensor, "b c *extended"]:
    """u with left[i] ghost nodes before and right[i] after axis i; mode None skips the axis."""
    for i, mode in enumerate(modes):
        if mode is not None and (left[i] or right[i]):
            width = [0, 0] * len(modes)
            last = 2 * (len(modes) - 1 - i)  # torch counts axes from the last
            width[last : last + 2] = [left[i], right[i]]
            u = F.pad(u, width, mode=mode)
    return u


def fold_ghosts(
    u: Float[Tensor, "b c *extended"],
    modes: Sequence[str | None],
    left: Sequence[int],
    right: Sequence[int],
) -> Float[Tensor, "b c *space"]:
    """The adjoint of `add_ghosts` for at most one ghost node at each end: the value at a ghost node
    is added to the node that it is a copy of."""
    for i, mode in reversed(list(enumerate(modes))):
        if mode is None or not (left[i] or right[i]):
            continue
        axis, n = i + 2, u.shape[i + 2] - left[i] - right[i]
        inner = u.narrow(axis, left[i], n).clone()
        first, last = {
            "constant": (None, None),
            "circular": (n - 1, 0),
            "reflect": (1, n - 2),
            "replicate": (0, n - 1),
        }[mode]
        if left[i] and first is not None:
            inner.select(axis, first).add_(u.select(axis, 0))
        if right[i] and last is not None:
            inner.select(axis, last).add_(u.select(axis, -1))
        u = inner
    return u
