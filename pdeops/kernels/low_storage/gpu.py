"""A stage of a low-storage implicit-explicit step by one Triton kernel.

Twin: `low_storage/reference.py`. Fields and factors are those of `etdrk4/gpu.py`. u, h and N are
read once, u and h written once. The operation is registered with torch (`torch.ops.pdeops`).
"""

import torch
from torch import Tensor

from ..runtime.registration import nothing, register
from ..runtime.waves import launch, unfit

__all__ = ["unfit", "update"]


def update(u: Tensor, h: Tensor, N: Tensor, beta: float, decay: Tensor, gain: Tensor) -> None:
    """Same as `reference.update`."""
    torch.ops.pdeops.low_storage_update(u, h, N, beta, decay, gain)


def _update(u: Tensor, h: Tensor, N: Tensor, beta: float, decay: Tensor, gain: Tensor) -> None:
    from .triton_kernels import update

    launch(update, (u, h), (decay, gain), (N,), BETA=beta)


_LIBRARY = register(
    {
        "low_storage_update(Tensor(a!) u, Tensor(b!) h, Tensor N, float beta, Tensor decay,"
        " Tensor gain) -> ()": (_update, nothing)
    }
)
