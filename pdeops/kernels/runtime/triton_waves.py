"""Tiles of fields per wave, for Triton kernels that multiply a field by one factor per wave.

A field (..., *waves) is read as rows of `size` waves: its samples and channels, which have the same
factors. A complex field is read as real numbers, of which PARTS = 2 alternate. A program holds
BLOCK waves of one row; factors are real, or complex if COMPLEX. `waves.py` launches the kernels.

Imported by the first launch, because importing Triton takes a second and it may be missing.
"""

import triton
import triton.language as tl


@triton.jit
def waves_of_program(size, BLOCK: tl.constexpr, PARTS: tl.constexpr):
    """Waves k, the offsets of a tile (waves, parts), and whether each lies in the field."""
    # One axis of programs: the others hold no more than 65535.
    blocks = tl.cdiv(size, BLOCK)
    k = tl.program_id(0) % blocks * BLOCK + tl.arange(0, BLOCK)
    part = tl.arange(0, PARTS)
    row = (tl.program_id(0) // blocks).to(tl.int64) * size
    at = (row + k)[:, None] * PARTS + part[None, :]
    inside = (k < size)[:, None] & (part < PARTS)[None, :]
    return k, at, inside


@triton.jit
def product(f, k, z, size, COMPLEX: tl.constexpr):
    """f_k z_k for a tile z (waves, parts)."""
    inside = k < size
    if COMPLEX:
        re, im = tl.split(z)
        f_re = tl.load(f + 2 * k, mask=inside, other=0.0)
        f_im = tl.load(f + 2 * k + 1, mask=inside, other=0.0)
        return tl.join(f_re * re - f_im * im, f_re * im + f_im * re)
    return tl.load(f + k, mask=inside, other=0.0)[:, None] * z
