"""Triton kernels of `gpu.py`: truncated transforms of fields and the product of modes.

Imported by the first launch, because importing Triton takes a second and it may be missing.

A field is addressed as (plane, x, y, c): y and x are its last two axes, a plane is a sample or, in
3D, a sample and a value of the first axis. A program holds `BX` rows x of `BC` channels as one
matrix of BX·BC rows; the numbers of nodes, modes and channels need not divide the tiles. Tables are
those of `matrices.py`:

    A_y (2 KY, Y): cos, then -sin;    A_x (2 KX, 2 X): in its upper half cos and sin alternate.

All products are of float32 numbers; PRECISION is that of `tl.dot`: ieee, tf32x3 (three products of
TF32 parts) or tf32. A field in bfloat16 is exact in TF32. Numbers of modes are padded to PX, PY,
powers of 2 of at least 16, the smallest operand of `tl.dot`.
"""

import triton
import triton.language as tl


@triton.jit
def plane_pointer(u, plane, Z, stride_b, stride_z):
    """u at the first node of a plane; offsets exceed 32 bits."""
    return u + (plane // Z).to(tl.int64) * stride_b + (plane % Z).to(tl.int64) * stride_z


@triton.jit
def y_table(A_y, k, y, KY, Y):
    """cos and -sin of 2πky/Y; k and y are indices of tiles that can be broadcast."""
    inside = (k < KY) & (y < Y)
    cos = tl.load(A_y + k * Y + y, mask=inside, other=0.0)
    minus_sin = tl.load(A_y + (KY + k) * Y + y, mask=inside, other=0.0)
    return cos, minus_sin


@triton.jit
def x_table(A_x, k, x, KX, X):
    """cos and sin of 2πkx/X."""
    inside = (k < KX) & (x < X)
    cos = tl.load(A_x + k * (2 * X) + 2 * x, mask=inside, other=0.0)
    sin = tl.load(A_x + k * (2 * X) + 2 * x + 1, mask=inside, other=0.0)
    return cos, sin


@triton.jit
def transform_rows(
    u, A_y, at, inside, k0, start, end, Y, KY, stride_y,
    ROWS: tl.constexpr, BY: tl.constexpr, PY: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Real and imaginary part of Σ_y u(y) exp(-2πi k y/Y) over y in [start, end), (rows, PY), for
    rows at the offsets `at` and k from k0 on. They alternate in the columns of one product, so that
    the tile of u is an operand once."""
    column = tl.arange(0, 2 * PY)
    k, part = k0 + column // 2, column % 2
    row_of_A = (part * KY + k) * Y
    h = tl.zeros((ROWS, 2 * PY), tl.float32)
    for y0 in range(start, end, BY):
        y = y0 + tl.arange(0, BY)
        nodes = inside[:, None] & (y < end)[None, :]
        tile = tl.load(u + at[:, None] + y[None, :].to(tl.int64) * stride_y, mask=nodes, other=0.0)
        entries = (k < KY)[None, :] & (y < Y)[:, None]
        table = tl.load(A_y + row_of_A[None, :] + y[:, None], mask=entries, other=0.0)
        h = tl.dot(tile.to(tl.float32), table, h, input_precision=PRECISION)
    return tl.split(tl.reshape(h, (ROWS, PY, 2)))


@triton.jit
def analyse_lines(
    u, A_y, out, Z, X, Y, C, KY, part_size, stride_b, stride_z, stride_x, stride_y, stride_c,
    BX: tl.constexpr, BC: tl.constexpr, BY: tl.constexpr, PY: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Sums over y alone: u -> out (part, plane, x, 2, KY, c). Part p sums y from p·part_size on."""
    x_tiles, c_tiles = tl.cdiv(X, BX), tl.cdiv(C, BC)
    plane, x_tile = tl.program_id(0) // x_tiles, tl.program_id(0) % x_tiles
    c_tile, k_tile = tl.program_id(1) % c_tiles, tl.program_id(1) // c_tiles
    part, planes = tl.program_id(2), tl.num_programs(0) // x_tiles
    rows = tl.arange(0, BX * BC)
    x, c = x_tile * BX + rows // BC, c_tile * BC + rows % BC
    k = k_tile * PY + tl.arange(0, PY)
    inside = (x < X) & (c < C)
    at = x.to(tl.int64) * stride_x + c.to(tl.int64) * stride_c
    start = part * part_size
    re, im = transform_rows(
        plane_pointer(u, plane, Z, stride_b, stride_z), A_y, at, inside, k_tile * PY,
        start, tl.minimum(start + part_size, Y), Y, KY, stride_y, BX * BC, BY, PY, PRECISION,
    )  # fmt: skip
    line = (part * planes + plane).to(tl.int64) * X + x
    to = line[:, None] * (2 * KY * C) + k[None, :] * C + c[:, None]
    mask = inside[:, None] & (k < KY)[None, :]
    tl.store(out + to, re, mask=mask)
    tl.store(out + to + KY * C, im, mask=mask)


@triton.jit
def analyse_planes(
    u, A_x, A_y, out, Z, X, Y, C, KX, KY, part_size,
    stride_b, stride_z, stride_x, stride_y, stride_c,
    BX: tl.constexpr, BC: tl.constexpr, BY: tl.constexpr, PX: tl.constexpr, PY: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Sums over x and y: u -> out (part, plane, 2, KX, KY, c). Part p sums rows x from p·part_size
    on, a multiple of BX."""
    plane, part = tl.program_id(0), tl.program_id(2)
    rows = tl.arange(0, BX * BC)
    c = tl.program_id(1) * BC + rows % BC
    kx, ky = tl.arange(0, PX), tl.arange(0, PY)
    u = plane_pointer(u, plane, Z, stride_b, stride_z)
    re = tl.zeros((PX, BC * PY), tl.float32)
    im = tl.zeros((PX, BC * PY), tl.float32)
    for x0 in range(part * part_size, tl.minimum((part + 1) * part_size, X), BX):
        x = x0 + rows // BC
        at = x.to(tl.int64) * stride_x + c.to(tl.int64) * stride_c
        h_re, h_im = transform_rows(
            u, A_y, at, (x < X) & (c < C), 0, 0, Y, Y, KY, stride_y, BX * BC, BY, PY, PRECISION
        )
        h_re, h_im = tl.reshape(h_re, (BX, BC * PY)), tl.reshape(h_im, (BX, BC * PY))
        cos, sin = x_table(A_x, kx[:, None], (x0 + tl.arange(0, BX))[None, :], KX, X)
        re = tl.dot(cos, h_re, re, input_precision=PRECISION)
        re = tl.dot(sin, h_im, re, input_precision=PRECISION)
        im = tl.dot(cos, h_im, im, input_precision=PRECISION)
        im = tl.dot(-sin, h_re, im, input_precision=PRECISION)
    columns = tl.arange(0, BC * PY)
    c, ky = tl.program_id(1) * BC + columns // PY, columns % PY
    size = KX * KY * C
    block = (part * tl.num_programs(0) + plane).to(tl.int64) * (2 * size)
    to = block + (kx[:, None] * KY + ky[None, :]) * C + c[None, :]
    mask = (kx < KX)[:, None] & ((ky < KY) & (c < C))[None, :]
    tl.store(out + to, re, mask=mask)
    tl.store(out + to + size, im, mask=mask)


@triton.jit
def synthesise_lines(
    h, A_y, v, Z, X, Y, C, KY, stride_b, stride_z, stride_x, stride_y, stride_c,
    BX: tl.constexpr, BC: tl.constexpr, BY: tl.constexpr, PY: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """h (plane, x, 2, KY, c) -> v, the sum over the modes of y alone: BY nodes y per program."""
    x_tiles = tl.cdiv(X, BX)
    plane, x_tile = tl.program_id(0) // x_tiles, tl.program_id(0) % x_tiles
    rows = tl.arange(0, BX * BC)
    x, c = x_tile * BX + rows // BC, tl.program_id(1) * BC + rows % BC
    y = tl.program_id(2) * BY + tl.arange(0, BY)
    inside = (x < X) & (c < C)
    line = h + (plane.to(tl.int64) * X + x) * (2 * KY * C) + c
    tile = tl.zeros((BX * BC, BY), tl.float32)
    for k0 in range(0, KY, PY):
        k = k0 + tl.arange(0, PY)
        mask = inside[:, None] & (k < KY)[None, :]
        re = tl.load(line[:, None] + k[None, :] * C, mask=mask, other=0.0)
        im = tl.load(line[:, None] + (KY + k)[None, :] * C, mask=mask, other=0.0)
        cos, minus_sin = y_table(A_y, k[:, None], y[None, :], KY, Y)
        tile = tl.dot(re, cos, tile, input_precision=PRECISION)
        tile = tl.dot(im, minus_sin, tile, input_precision=PRECISION)
    v = plane_pointer(v, plane, Z, stride_b, stride_z)
    to = v + (x.to(tl.int64) * stride_x + c.to(tl.int64) * stride_c)[:, None]
    to += y[None, :].to(tl.int64) * stride_y
    tl.store(to, tile.to(v.dtype.element_ty), mask=inside[:, None] & (y < Y)[None, :])


@triton.jit
def synthesise_planes(
    v_hat, A_x, A_y, v, Z, X, Y, C, KX, KY, stride_b, stride_z, stride_x, stride_y, stride_c,
    BX: tl.constexpr, BC: tl.constexpr, BY: tl.constexpr, PX: tl.constexpr, PY: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """v_hat (plane, 2, KX, KY, c) -> v: BX rows x per program."""
    plane, x_tile = tl.program_id(0), tl.program_id(2)
    kx, ky = tl.arange(0, PX), tl.arange(0, PY)
    columns = tl.arange(0, BC * PY)
    c, k = tl.program_id(1) * BC + columns // PY, columns % PY
    size = KX * KY * C
    start = plane.to(tl.int64) * (2 * size)
    source = v_hat + start + (kx[:, None] * KY + k[None, :]) * C + c[None, :]
    mask = (kx < KX)[:, None] & ((k < KY) & (c < C))[None, :]
    v_re = tl.load(source, mask=mask, other=0.0)
    v_im = tl.load(source + size, mask=mask, other=0.0)

    x = x_tile * BX + tl.arange(0, BX)
    cos_x, sin_x = x_table(A_x, kx[None, :], x[:, None], KX, X)
    h_re = tl.dot(cos_x, v_re, input_precision=PRECISION)
    h_re = tl.dot(-sin_x, v_im, h_re, input_precision=PRECISION)
    h_im = tl.dot(cos_x, v_im, input_precision=PRECISION)
    h_im = tl.dot(sin_x, v_re, h_im, input_precision=PRECISION)
    h_re, h_im = tl.reshape(h_re, (BX * BC, PY)), tl.reshape(h_im, (BX * BC, PY))

    rows = tl.arange(0, BX * BC)
    x, c = x_tile * BX + rows // BC, tl.program_id(1) * BC + rows % BC
    inside = (x < X) & (c < C)
    v = plane_pointer(v, plane, Z, stride_b, stride_z)
    to = v + (x.to(tl.int64) * stride_x + c.to(tl.int64) * stride_c)[:, None]
    for y0 in range(0, Y, BY):
        y = y0 + tl.arange(0, BY)
        cos, minus_sin = y_table(A_y, ky[:, None], y[None, :], KY, Y)
        tile = tl.dot(h_re, cos, input_precision=PRECISION)
        tile = tl.dot(h_im, minus_sin, tile, input_precision=PRECISION)
        nodes = inside[:, None] & (y < Y)[None, :]
        tl.store(to + y[None, :].to(tl.int64) * stride_y, tile.to(v.dtype.element_ty), mask=nodes)


@triton.jit
def mix_modes(
    u_hat, W, c, v_hat, B, I, O, K, w_k, w_i, w_r, w_o, sign,
    BB: tl.constexpr, BI: tl.constexpr, BO: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """c_k W_k û_k for one mode per program, û (b, 2, k, i) -> (b, 2, k, o).

    Im W_k counts with `sign`: with -1 and exchanged strides of i and o, W_k^H is applied.
    """
    k = tl.program_id(0)
    b = tl.program_id(1) * BB + tl.arange(0, BB)
    o = tl.program_id(2) * BO + tl.arange(0, BO)
    re = tl.zeros((BB, BO), tl.float32)
    im = tl.zeros((BB, BO), tl.float32)
    W += k.to(tl.int64) * w_k
    for i0 in range(0, I, BI):
        i = i0 + tl.arange(0, BI)
        source = u_hat + (b[:, None].to(tl.int64) * (2 * K) + k) * I + i[None, :]
        inside = (b < B)[:, None] & (i < I)[None, :]
        u_re = tl.load(source, mask=inside, other=0.0)
        u_im = tl.load(source + K * I, mask=inside, other=0.0)
        source_w = W + i[:, None] * w_i + o[None, :] * w_o
        inside = (i < I)[:, None] & (o < O)[None, :]
        W_re = tl.load(source_w, mask=inside, other=0.0)
        W_im = tl.load(source_w + w_r, mask=inside, other=0.0) * sign
        re = tl.dot(u_re, W_re, re, input_precision=PRECISION)
        re = tl.dot(-u_im, W_im, re, input_precision=PRECISION)
        im = tl.dot(u_re, W_im, im, input_precision=PRECISION)
        im = tl.dot(u_im, W_re, im, input_precision=PRECISION)
    factor = tl.load(c + k)
    to = v_hat + (b[:, None].to(tl.int64) * (2 * K) + k) * O + o[None, :]
    mask = (b < B)[:, None] & (o < O)[None, :]
    tl.store(to, re * factor, mask=mask)
    tl.store(to + K * O, im * factor, mask=mask)


@triton.jit
def weight_gradient(
    u_hat, g, c, dW, B, I, O, K,
    BB: tl.constexpr, BI: tl.constexpr, BO: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """c_k Σ_b conj(û_k) ĝ_k for one mode per program, (k, i, 2, o)."""
    k = tl.program_id(0)
    i = tl.program_id(1) * BI + tl.arange(0, BI)
    o = tl.program_id(2) * BO + tl.arange(0, BO)
    re = tl.zeros((BI, BO), tl.float32)
    im = tl.zeros((BI, BO), tl.float32)
    for b0 in range(0, B, BB):
        b = b0 + tl.arange(0, BB)
        row = b.to(tl.int64) * (2 * K) + k
        source = u_hat + row[None, :] * I + i[:, None]
        inside = (i < I)[:, None] & (b < B)[None, :]
        u_re = tl.load(source, mask=inside, other=0.0)
        u_im = tl.load(source + K * I, mask=inside, other=0.0)
        source = g + row[:, None] * O + o[None, :]
        inside = (b < B)[:, None] & (o < O)[None, :]
        g_re = tl.load(source, mask=inside, other=0.0)
        g_im = tl.load(source + K * O, mask=inside, other=0.0)
        re = tl.dot(u_re, g_re, re, input_precision=PRECISION)
        re = tl.dot(u_im, g_im, re, input_precision=PRECISION)
        im = tl.dot(u_re, g_im, im, input_precision=PRECISION)
        im = tl.dot(-u_im, g_re, im, input_precision=PRECISION)
    factor = tl.load(c + k)
    to = dW + (k.to(tl.int64) * I + i[:, None]) * (2 * O) + o[None, :]
    mask = (i < I)[:, None] & (o < O)[None, :]
    tl.store(to, re * factor, mask=mask)
    tl.store(to + O, im * factor, mask=mask)
