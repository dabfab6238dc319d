"""Triton kernels of line smoothing: tridiagonal systems along an axis by parallel prefix.

With inverse pivots p and couplings c along a line, T x = f is solved by two recurrences,

    v_i = p_i (f_i + c_(i-1) v_(i-1)),    x_i = v_i + p_i c_i x_(i+1),

which are prefix sums of the maps v -> a v + g under composition. A program solves a block of lines
in chunks, of which each takes the last value of the one before it.

A line is addressed by its numbers on the two other axes, of which it takes every STEP-th from a
first index on; `_i` is along the line, `_a` and `_b` are across it. Other conventions as in
`triton_kernels.py`.
"""

import triton
import triton.language as tl


@triton.jit
def after(a1, g1, a2, g2):
    """The map v -> a2 (a1 v + g1) + g2."""
    return a1 * a2, a2 * g1 + g2


@triton.jit
def line_starts(block, num_a, num_b, first_a, first_b, STEP: tl.constexpr, LINES: tl.constexpr):
    """The indices across of a block of lines, and which of them exist."""
    line = block * LINES + tl.arange(0, LINES)
    return first_a + line // num_b * STEP, first_b + line % num_b * STEP, line < num_a * num_b


@triton.jit
def pivots(d, c, p, n_i, s_i, s_a, s_b, c_i, c_a, c_b, num_a, num_b, first_a, first_b, small,
           LINES: tl.constexpr):  # fmt: skip
    """p_i = 1 / (d_i - c_(i-1)² p_(i-1)), 0 where a pivot is round-off, along all lines."""
    a, b, exists = line_starts(tl.program_id(0), num_a, num_b, first_a, first_b, 1, LINES)
    at = a.to(tl.int64) * s_a + b * s_b
    of_c = a.to(tl.int64) * c_a + b * c_b
    last = tl.zeros((LINES,), p.dtype.element_ty)
    for i in range(1, n_i + 1):
        diagonal = tl.load(d + at + i * s_i, mask=exists, other=0.0)
        coupling = tl.load(c + of_c + (i - 1) * c_i, mask=exists, other=0.0)
        pivot = diagonal - coupling * coupling * last
        sound = pivot > small * diagonal
        last = tl.where(sound, 1.0 / tl.where(sound, pivot, 1.0), 0.0)
        tl.store(p + at + i * s_i, last, mask=exists)


@triton.jit
def solve(f, c, p, out, num, size, n_i, s_i, s_a, s_b, c_i, c_a, c_b,
          num_a, num_b, first_a, first_b,
          STEP: tl.constexpr, LINES: tl.constexpr, CHUNK: tl.constexpr):  # fmt: skip
    """out += T⁻¹ f on lines; v is written to f."""
    field, block = tl.program_id(0) % num, tl.program_id(0) // num
    a, b, exists = line_starts(block, num_a, num_b, first_a, first_b, STEP, LINES)
    start = field.to(tl.int64) * size
    f += start
    out += start
    at = (a.to(tl.int64) * s_a + b * s_b)[:, None]
    of_c = (a.to(tl.int64) * c_a + b * c_b)[:, None]
    column = tl.arange(0, CHUNK)[None, :]
    carried = tl.zeros((LINES,), out.dtype.element_ty)
    chunks = tl.cdiv(n_i, CHUNK)
    for chunk in range(chunks):
        i = 1 + chunk * CHUNK + column
        mask = exists[:, None] & (i <= n_i)
        pivot = tl.load(p + at + i * s_i, mask=mask, other=0.0)
        factor = pivot * tl.load(c + of_c + (i - 1) * c_i, mask=mask, other=0.0)
        part = pivot * tl.load(f + at + i * s_i, mask=mask, other=0.0)
        factor, part = tl.associative_scan((factor, part), 1, after)
        v = factor * carried[:, None] + part
        tl.store(f + at + i * s_i, v, mask=mask)
        carried = tl.sum(tl.where(column == CHUNK - 1, v, 0.0), 1)
    tl.debug_barrier()
    carried = tl.zeros((LINES,), out.dtype.element_ty)
    for back in range(chunks):
        i = 1 + (chunks - 1 - back) * CHUNK + column
        mask = exists[:, None] & (i <= n_i)
        factor = tl.load(p + at + i * s_i, mask=mask, other=0.0)
        factor *= tl.load(c + of_c + i * c_i, mask=mask, other=0.0)
        v = tl.load(f + at + i * s_i, mask=mask, other=0.0)
        factor, v = tl.associative_scan((factor, v), 1, after, reverse=True)
        x = factor * carried[:, None] + v
        place = out + at + i * s_i
        tl.store(place, tl.load(place, mask=mask, other=0.0) + x, mask=mask)
        carried = tl.sum(tl.where(column == 0, x, 0.0), 1)
