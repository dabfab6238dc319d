"""Convolutions, pooling and padding for one to three axes of space."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ..kernels.convolution import conv3d


class Conv3d(nn.Conv3d):
    """`torch.nn.Conv3d`, computed by the operation of `kernels/convolution`."""

    def forward(self, u: Tensor) -> Tensor:
        padding = self.padding
        if isinstance(padding, str) or self.padding_mode != "zeros" or u.ndim != 5:
            return super().forward(u)
        window = (self.stride, padding, self.dilation, self.groups)
        return conv3d(u, self.weight, self.bias, *window)


CONV: dict[int, type[nn.Conv1d] | type[nn.Conv2d] | type[nn.Conv3d]] = {
    1: nn.Conv1d,
    2: nn.Conv2d,
    3: Conv3d,
}
CONV_TRANSPOSE: dict[
    int, type[nn.ConvTranspose1d] | type[nn.ConvTranspose2d] | type[nn.ConvTranspose3d]
] = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
POOL: dict[int, Callable[..., Tensor]] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
DROPOUT: dict[int, type[nn.Module]] = {1: nn.Dropout1d, 2: nn.Dropout2d, 3: nn.Dropout3d}
# Memory layout: the convolutions of oneDNN are about twice as fast with channels last, a layout
# that torch offers for two and three axes.
CHANNELS_LAST: dict[int, torch.memory_format] = {
    1: torch.contiguous_format,
    2: torch.channels_last,
    3: torch.channels_last_3d,
}


def pad_to_even(u: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *even"]:
    """u with one zero appended to each axis of odd length."""
    pad = [p for n in reversed(u.shape[2:]) for p in (0, n % 2)]
    return F.pad(u, pad) if any(pad) else u


def mean_of_pairs(u: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *coarse"]:
    """The mean over two cells per axis; the missing cell at an odd end counts as zero."""
    return POOL[u.ndim - 2](pad_to_even(u), 2)


def within(u: Tensor) -> tuple[slice, ...]:
    """The index that crops a larger field to the shape of u; it inverts an
    extension at the right ends, as of `pad_to_even`."""
    return tuple(slice(n) for n in u.shape)
