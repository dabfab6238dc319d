"""Triton kernels of the sums of an ETDRK4 step (`gpu.py`), on the tiles of
`kernels/runtime/triton_waves.py`."""

import triton
import triton.language as tl

from ..runtime.triton_waves import product, waves_of_program


@triton.jit
def pair(
    out, f, g, u, v, size, BLOCK: tl.constexpr, PARTS: tl.constexpr, COMPLEX: tl.constexpr
):  # fmt: skip
    """out = f u + g v."""
    k, at, inside = waves_of_program(size, BLOCK, PARTS)
    total = product(f, k, tl.load(u + at, mask=inside, other=0.0), size, COMPLEX)
    total += product(g, k, tl.load(v + at, mask=inside, other=0.0), size, COMPLEX)
    tl.store(out + at, total, mask=inside)


@triton.jit
def last_stage(
    out, E2, Q, a, Nb, Nu, size, BLOCK: tl.constexpr, PARTS: tl.constexpr, COMPLEX: tl.constexpr
):  # fmt: skip
    """out = E2 a + Q (2 Nb - Nu)."""
    k, at, inside = waves_of_program(size, BLOCK, PARTS)
    total = product(E2, k, tl.load(a + at, mask=inside, other=0.0), size, COMPLEX)
    change = 2 * tl.load(Nb + at, mask=inside, other=0.0)
    change -= tl.load(Nu + at, mask=inside, other=0.0)
    tl.store(out + at, total + product(Q, k, change, size, COMPLEX), mask=inside)


@triton.jit
def update(
    u, E, f1, f2, f3, Nu, Na, Nb, Nc, size,
    BLOCK: tl.constexpr, PARTS: tl.constexpr, COMPLEX: tl.constexpr,
):  # fmt: skip
    """u = E u + f1 Nu + 2 f2 (Na + Nb) + f3 Nc, in place."""
    k, at, inside = waves_of_program(size, BLOCK, PARTS)
    total = product(E, k, tl.load(u + at, mask=inside, other=0.0), size, COMPLEX)
    total += product(f1, k, tl.load(Nu + at, mask=inside, other=0.0), size, COMPLEX)
    middle = tl.load(Na + at, mask=inside, other=0.0) + tl.load(Nb + at, mask=inside, other=0.0)
    total += product(f2, k, 2 * middle, size, COMPLEX)
    total += product(f3, k, tl.load(Nc + at, mask=inside, other=0.0), size, COMPLEX)
    tl.store(u + at, total, mask=inside)
