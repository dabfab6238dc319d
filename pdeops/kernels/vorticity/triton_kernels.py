"""Triton kernels of the pointwise work of the vorticity equation (`gpu.py`).

Imported by the first launch. Complex fields are read as alternating real and imaginary parts; their
last axis is contiguous, the other strides are in complex numbers. A program of `velocity` and of
`tendency` holds BLOCK waves k of x and one wave l of y.
"""

import triton
import triton.language as tl


@triton.jit
def complex_tile(at, inside):
    """Offsets of the two parts of complex numbers at the offsets `at`, and their mask."""
    part = tl.arange(0, 2)
    return 2 * at[:, None] + part[None, :], inside[:, None] & (part < 2)[None, :]


@triton.jit
def velocity(
    w, per_x, per_y, out, num_l, num_k, stride_b, stride_m, BLOCK: tl.constexpr
):  # fmt: skip
    """ẑ of a real field's waves l of y from 0 on, and of the opposite ones, in one pass over w."""
    b, l = tl.program_id(0) // num_l, tl.program_id(0) % num_l
    k = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = k < num_k
    at, mask = complex_tile(tl.program_id(0).to(tl.int64) * num_k + k, inside)
    re, im = tl.split(tl.load(w + at, mask=mask, other=0.0))
    fx = tl.load(per_x + l * num_k + k, mask=inside, other=0.0)
    fy = tl.load(per_y + l * num_k + k, mask=inside, other=0.0)
    sample = b.to(tl.int64) * stride_b

    row = sample + (num_l - 1 + l).to(tl.int64) * stride_m
    at, mask = complex_tile(row + k, inside)
    tl.store(out + at, tl.join(fx * re - fy * im, fx * im + fy * re), mask=mask)

    row = sample + (num_l - 1 - l).to(tl.int64) * stride_m
    opposite = k < tl.where(l > 0, num_k, 0)
    at, mask = complex_tile(row + num_k - 1 - k, opposite)
    tl.store(out + at, tl.join(-fx * re - fy * im, fx * im - fy * re), mask=mask)


@triton.jit
def products(z, size, BLOCK: tl.constexpr):
    """z becomes z², in place."""
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    at, mask = complex_tile(i, i < size)
    u, v = tl.split(tl.load(z + at, mask=mask, other=0.0))
    tl.store(z + at, tl.join((u - v) * (u + v), 2 * u * v), mask=mask)


@triton.jit
def tendency(
    square, a, c, out, num_l, num_k, stride_b, stride_m, BLOCK: tl.constexpr
):  # fmt: skip
    """a (uv)^ + c (v² - u²)^ from the waves of z² and the opposite ones."""
    b, l = tl.program_id(0) // num_l, tl.program_id(0) % num_l
    k = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = k < num_k
    first = num_k // 2
    sample = b.to(tl.int64) * stride_b

    row = sample + (num_l - 1 + l).to(tl.int64) * stride_m
    at, mask = complex_tile(row + first + k, inside)
    re, im = tl.split(tl.load(square + at, mask=mask, other=0.0))
    row = sample + (num_l - 1 - l).to(tl.int64) * stride_m
    at, mask = complex_tile(row + first + num_k - 1 - k, inside)
    re_, minus_im_ = tl.split(tl.load(square + at, mask=mask, other=0.0))

    fa = tl.load(a + l * num_k + k, mask=inside, other=0.0)
    fc = tl.load(c + l * num_k + k, mask=inside, other=0.0)
    N_re = 0.25 * fa * (im + minus_im_) - 0.5 * fc * (re + re_)
    N_im = -0.25 * fa * (re - re_) - 0.5 * fc * (im - minus_im_)
    at, mask = complex_tile(tl.program_id(0).to(tl.int64) * num_k + k, inside)
    tl.store(out + at, tl.join(N_re, N_im), mask=mask)
