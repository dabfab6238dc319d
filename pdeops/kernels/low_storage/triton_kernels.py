"""Triton kernel of a stage of a low-storage step (`gpu.py`), on the tiles of
`kernels/runtime/triton_waves.py`."""

import triton
import triton.language as tl

from ..runtime.triton_waves import product, waves_of_program


@triton.jit
def update(
    u, h, decay, gain, N, size,
    BLOCK: tl.constexpr, PARTS: tl.constexpr, COMPLEX: tl.constexpr, BETA: tl.constexpr,
):  # fmt: skip
    """h = N + BETA h, u = decay u + gain h, in place.

    BETA is a constant of the kernel, because Triton would pass a number as float32. If it is 0, h
    is not read.
    """
    k, at, inside = waves_of_program(size, BLOCK, PARTS)
    rate = tl.load(N + at, mask=inside, other=0.0)
    if BETA != 0:
        rate += BETA * tl.load(h + at, mask=inside, other=0.0)
    tl.store(h + at, rate, mask=inside)
    total = product(decay, k, tl.load(u + at, mask=inside, other=0.0), size, COMPLEX)
    tl.store(u + at, total + product(gain, k, rate, size, COMPLEX), mask=inside)
