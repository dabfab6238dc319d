"""Memory for large results on a CPU, and when it may be written in place."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

HUGE = 1 << 22  # bytes from which numpy asks for huge pages


def empty(shape: Sequence[int], like: Tensor) -> Tensor:
    """A tensor with undefined values, of the dtype and device of another.

    What a process has never touched costs most: the system clears and maps it page by page. numpy
    asks for huge pages, torch does not, and filling 45 MB for the first time takes 9 ms instead of
    27. Values start at 64 bytes, as products of matrices like them.
    """
    size = math.prod(shape) * like.element_size()
    if like.device.type != "cpu" or size < HUGE or traced():
        return like.new_empty(shape)
    memory = np.empty(size + 64, dtype=np.uint8)
    start = -memory.ctypes.data % 64
    return torch.from_numpy(memory[start : start + size]).view(like.dtype).view(shape)


def traced() -> bool:
    """Whether operations are recorded or mapped by autograd, torch.func or torch.compile.

    Then results must be made by operations alone, without `out=`.
    """
    return (
        torch.is_grad_enabled()
        or torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()
    )
