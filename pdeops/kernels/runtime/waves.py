"""Launches of the Triton kernels on fields per wave (`triton_waves.py`), and what these can take.

A field is (..., *waves), real or complex; a factor is (*waves), the same for every sample and
channel.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .tiles import FUSION, cdiv, rounded

REAL, COMPLEX = (torch.float32, torch.float64), (torch.complex64, torch.complex128)
THREADS = 128  # of a program
LARGEST = 1024  # waves of a program
OPTIONS = {"num_warps": THREADS // 32, **FUSION}


def unfit(u: Tensor, factor: Tensor) -> str | None:
    """Why the kernels cannot update u with such factors; None: they can."""
    if reason := unfit_dtype(u.dtype):
        return reason
    if factor.is_complex() and not u.is_complex():
        return "real fields with complex factors have no Triton kernel"
    if not u.is_contiguous():
        return "fields that are not contiguous have no Triton kernel"
    if factor.shape != u.shape[u.ndim - factor.ndim :]:
        return f"factors {tuple(factor.shape)} are not those of the last axes of {tuple(u.shape)}"
    return None


def unfit_dtype(dtype: torch.dtype) -> str | None:
    """Why fields of this dtype have no kernels; None: they have."""
    if dtype in (*REAL, *COMPLEX):
        return None
    return f"{dtype} has no Triton kernel (float32, float64 and their complex numbers have)"


def launch(
    kernel: Any,
    written: Sequence[Tensor],
    factors: Sequence[Tensor],
    fields: Sequence[Tensor],
    **constants: Any,
) -> None:
    """kernel(*written, *factors, *fields, size, ...) for each tile of the fields.

    Args:
        kernel: see `triton_waves.py`.
        constants: further constants of the kernel.

    Raises:
        ValueError: a field that is written is not contiguous.
    """
    require_contiguous(*written)
    out, size = written[0], factors[0].numel()
    if not out.numel():
        return
    block = block_of(size)
    with torch.cuda.device_of(out):
        kernel[(out.numel() // size * cdiv(size, block),)](
            *map(numbers, (*written, *factors, *fields)), size, BLOCK=block,
            PARTS=2 if out.is_complex() else 1, COMPLEX=factors[0].is_complex(),
            **constants, **OPTIONS,
        )  # fmt: skip


def numbers(z: Tensor) -> Tensor:
    """z in contiguous memory, as real numbers."""
    return torch.view_as_real(z.contiguous()) if z.is_complex() else z.contiguous()


def block_of(size: int) -> int:
    """Waves of a program: a power of 2, and one per thread at least, so that no thread reads what
    another one has written in place."""
    return max(THREADS, min(LARGEST, rounded(size)))


def require_contiguous(*fields: Tensor) -> None:
    """Raise a ValueError unless all the fields, which a kernel writes, are contiguous."""
    for z in fields:
        if not z.is_contiguous():
            raise ValueError(
                f"A kernel writes contiguous fields; got {tuple(z.shape)} with the strides "
                f"{z.stride()}. Make a copy first."
            )
