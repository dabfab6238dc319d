"""Less memory for gradients: intermediate results are computed twice instead of kept."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint


def recomputed(f: Callable[..., Tensor], *arguments: Any) -> Tensor:
    """f(*arguments), whose intermediate results are computed again when a gradient needs them.

    Only the arguments are kept for the backward pass. Values and gradients of any order are those
    of f, which must have no other effect: batch normalisation would update its statistics twice.
    Under torch.compile, which chooses itself what it keeps, and under torch.func, f is called as it
    is.
    """
    if (
        not torch.is_grad_enabled()
        or torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()
    ):
        return f(*arguments)
    result: Tensor = checkpoint(f, *arguments, use_reentrant=False, preserve_rng_state=False)
    return result
