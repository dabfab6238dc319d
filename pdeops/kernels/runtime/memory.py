"""Allocation of large results on a CPU, and the test whether a result may be written in place."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

HUGE = 1 << 22  # bytes from which numpy asks for huge pages


def empty(shape: Sequence[int], like: Tensor) -> Tensor:
    """A tensor with undefined values, of the dtype and device of another.

    The first access to new memory is expensive: the system clears and maps it page by page. numpy
    requests huge pages and torch does not; filling 45 MB for the first time takes 9 ms instead of
    27 ms. Values are aligned to 64 bytes, which matrix products prefer.
    """
    size = math.prod(shape) * like.element_size()
    if like.device.type != "cpu" or size < HUGE or traced():
        return like.new_empty(shape)
    memory = np.empty(size + 64, dtype=np.uint8)
    start = -memory.ctypes.data % 64
    return torch.from_numpy(memory[start : start + size]).view(like.dtype).view(shape)


def traced() -> bool:
    """Whether operations are recorded or mapped by autograd, torch.func or torch.compile.

    If so, results must come from differentiable operations, without `out=`.
    """
    return (
        torch.is_grad_enabled()
        or torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()
    )


def zeros(size: int, dtype: torch.dtype) -> Tensor:
    """A vector of zeros on the CPU, in memory from numpy (see `empty`)."""
    return torch.from_numpy(np.zeros(size, dtype=torch.empty(0, dtype=dtype).numpy().dtype))
