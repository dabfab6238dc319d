"""The Triton kernel of `recording.py`: all steps of the small levels in one launch.

A program has one sample and computes one step after another. Its fields are a few ten thousand
numbers, which stay in the cache of its multiprocessor and in that of the device; registers hold one
tile of nodes of one step. `tl.debug_barrier` orders the stores of a step before the loads of the
next one.
"""

import triton
import triton.language as tl

from .triton_kernels import ghost, product


@triton.jit
def run_table(
    fields, weights, table, B, num_steps, KX, KY,
    COLUMNS: tl.constexpr, MODE_X: tl.constexpr, MODE_Y: tl.constexpr, ROWS: tl.constexpr,
    PC: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Each line of the table: out = sign W * u + the terms. See `recording.Line`."""
    b = tl.program_id(0).to(tl.int64)
    i, o = tl.arange(0, PC), tl.arange(0, PC)
    for step in range(num_steps):
        line = table + step * COLUMNS
        kind, sign = tl.load(line), tl.load(line + 1).to(tl.float32)
        u_at, UX, UY, I = tl.load(line + 2), tl.load(line + 3), tl.load(line + 4), tl.load(line + 5)
        out_at, X, Y, O = tl.load(line + 6), tl.load(line + 7), tl.load(line + 8), tl.load(line + 9)
        term_at, term_2_at = tl.load(line + 10), tl.load(line + 11)
        w_at, w_k = tl.load(line + 12), tl.load(line + 13)
        w_i, w_o = tl.load(line + 14), tl.load(line + 15)
        u = fields + u_at.to(tl.int64) * B + b * (UX * UY * I)
        out = fields + out_at.to(tl.int64) * B + b * (X * Y * O)
        term = fields + term_at.to(tl.int64) * B + b * (X * Y * O)
        term_2 = fields + term_2_at.to(tl.int64) * B + b * (X * Y * O)
        places = tl.where(kind == 3, 0, 9)
        # p, the node of out, reads node (double p + shift + turn k) / divisor of u.
        double, divisor = tl.where(kind == 1, 2, 1), tl.where(kind == 2, 2, 1)
        turn = tl.where(kind == 2, -1, 1)
        shift_x = tl.where(kind == 0, -1, tl.where(kind == 1, -KX, KX))
        shift_y = tl.where(kind == 0, -1, tl.where(kind == 1, -KY, KY))
        for start in range(0, X * Y, ROWS):
            row = start + tl.arange(0, ROWS)
            px, py = row // Y, row % Y
            total = tl.zeros((ROWS, PC), tl.float32)
            for k in range(places):
                x = double * px + shift_x + turn * (k // 3)
                y = double * py + shift_y + turn * (k % 3)
                whole = (x % divisor == 0) & (y % divisor == 0)
                x, inside_x = ghost(x // divisor, UX, MODE_X)
                y, inside_y = ghost(y // divisor, UY, MODE_Y)
                inside = (row < X * Y) & whole & inside_x & inside_y
                at = ((x * UY + y) * I)[:, None] + i[None, :]
                tile = tl.load(u + at, mask=inside[:, None] & (i < I)[None, :], other=0.0)
                at = w_at + k * w_k + i[:, None] * w_i + o[None, :] * w_o
                mask = (i < I)[:, None] & (o < O)[None, :]
                w = tl.load(weights + at, mask=mask, other=0.0).to(tile.dtype)
                total = product(tile, w, total, PRECISION)
            to = (row * O)[:, None] + o[None, :]
            mask = (row < X * Y)[:, None] & (o < O)[None, :]
            # A term that is missing has no channels.
            channels, channels_2 = tl.where(term_at < 0, 0, O), tl.where(term_2_at < 0, 0, O)
            added = tl.load(term + to, mask=mask & (o < channels)[None, :], other=0.0)
            total = total * sign + added.to(tl.float32)
            added = tl.load(term_2 + to, mask=mask & (o < channels_2)[None, :], other=0.0)
            total += added.to(tl.float32)
            tl.store(out + to, total.to(fields.dtype.element_ty), mask=mask)
        tl.debug_barrier()
