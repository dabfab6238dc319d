"""Constant matrices of a model, computed once for each device and precision."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


def full(dtype: torch.dtype) -> torch.dtype:
    """The precision of transforms: at least float32."""
    return torch.promote_types(dtype, torch.float32)


def constant(
    build: Callable[..., np.ndarray], arguments: tuple[Any, ...], like: Tensor
) -> Float[Tensor, "*rows columns"]:
    """The matrix build(*arguments), computed once, on the device and in the dtype of `like`, or
    float32 if that is lower.

    torch.compile ignores the cache and traces `build`, so it fails where Dynamo cannot trace it.
    Marking a function as constant is no way out: Dynamo gives all its results one name, and
    refuses the second."""
    return _constant(build, arguments, full(like.dtype), like.device)


@lru_cache(maxsize=256)
def _constant(
    build: Callable[..., np.ndarray],
    arguments: tuple[Any, ...],
    dtype: torch.dtype,
    device: torch.device,
) -> Tensor:
    with torch.inference_mode(False):
        return torch.from_numpy(np.ascontiguousarray(build(*arguments))).to(device, dtype)
