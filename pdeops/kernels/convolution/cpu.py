"""The 3D convolution of one field by oneDNN, for any size of the field; no gradient."""

from collections.abc import Sequence

import torch
from torch import Tensor


def conv3d(
    u: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> Tensor:
    """Same as `reference.conv3d`."""
    if bias is not None:
        bias = bias.contiguous()  # torch 2.13 reads a strided bias as if it were contiguous
    return torch.mkldnn_convolution(u, weight, bias, padding, stride, dilation, groups)
