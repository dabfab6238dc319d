"""Triton kernels of the steps (`steps.py`) on fields with two axes.

Imported by the first launch, because importing Triton takes a second and it may be missing.

A field (b, c, X, Y) is channels last in memory: number (b, x, y, c) is at ((b X + x) Y + y) C + c.
A program holds a tile of PX x PY nodes as a matrix (PX·PY, channels), and a stencil is nine
products `tl.dot` with the matrices (channels in, channels out) of its nodes. PRECISION is `short`
or that of `tl.dot` for float32; the sums are float32 for every dtype. Numbers of channels are
padded to powers of 2 of at least 16, the smallest operand. Weights have any strides (kx, ky, in,
out), so that transposed stencils need no copy.

KIND of a convolution: STENCIL, node p reads p + k; RESTRICTION, coarse node p reads the fine nodes
around its own; PROLONGATION, fine node p reads the coarse nodes whose own node is p - k. K is 1
where the coarse grid keeps the first node. MODE is the index in `geometry.MODES`.
"""

import triton
import triton.language as tl

STENCIL = tl.constexpr(0)
RESTRICTION = tl.constexpr(1)
PROLONGATION = tl.constexpr(2)


@triton.jit
def product(a, b, total, PRECISION: tl.constexpr):
    """total + a b. The products of 16-bit numbers are exact in float32, so their precision is
    `short`; the interpreter, which has no such numbers, takes another one."""
    if PRECISION == "short":
        total = tl.dot(a, b, total)
    else:
        a, b = a.to(tl.float32), b.to(tl.float32)
        total = tl.dot(a, b, total, input_precision=PRECISION)
    return total


@triton.jit
def ghost(p, N, MODE: tl.constexpr):
    """The node that p in [-1, N] is a copy of, and whether its value is not zero."""
    if MODE == 1:
        p = tl.where(p < 0, p + N, tl.where(p >= N, p - N, p))
    if MODE == 2:
        p = tl.where(p < 0, -p, tl.where(p >= N, 2 * N - 2 - p, p))
    if MODE == 3:
        p = tl.where(p == -1, 0, tl.where(p == N, N - 1, p))
    return p, (p >= 0) & (p < N)


@triton.jit
def read_node(p, k, N, K, KIND: tl.constexpr, MODE: tl.constexpr):
    """The node of N that node p reads for place k = 0, 1, 2 of the stencil."""
    if KIND == STENCIL:
        node, inside = ghost(p + k - 1, N, MODE)
    elif KIND == RESTRICTION:
        node, inside = ghost(2 * p - K + k, N, MODE)
    else:
        twice = p + K - k
        node, inside = ghost(twice >> 1, N, 3 if MODE == 2 else MODE)
        inside &= (twice & 1) == 0
    return node, inside


@triton.jit
def weight(
    W, kx, ky, w_kx, w_ky, w_i, w_o, I, O,
    REVERSED: tl.constexpr, PI: tl.constexpr, PO: tl.constexpr,
):  # fmt: skip
    """The matrix (in, out) of one node of a stencil; REVERSED: of the opposite node."""
    if REVERSED:
        kx, ky = 2 - kx, 2 - ky
    i, o = tl.arange(0, PI)[:, None], tl.arange(0, PO)[None, :]
    return tl.load(W + kx * w_kx + ky * w_ky + i * w_i + o * w_o, mask=(i < I) & (o < O), other=0.0)


@triton.jit
def convolve(
    u, W, px, py, inside, X, Y, KX, KY, I, O, w_kx, w_ky, w_i, w_o,
    REVERSED: tl.constexpr, KIND: tl.constexpr, MODE_X: tl.constexpr, MODE_Y: tl.constexpr,
    ROWS: tl.constexpr, PI: tl.constexpr, PO: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """(W * u) at the nodes (px, py); u is a sample on X x Y nodes."""
    total = tl.zeros((ROWS, PO), tl.float32)
    i = tl.arange(0, PI)
    for k in range(9):
        x, inside_x = read_node(px, k // 3, X, KX, KIND, MODE_X)
        y, inside_y = read_node(py, k % 3, Y, KY, KIND, MODE_Y)
        nodes = inside & inside_x & inside_y
        mask = nodes[:, None] & (i < I)[None, :]
        tile = tl.load(u + ((x * Y + y) * I)[:, None] + i[None, :], mask=mask, other=0.0)
        w = weight(W, k // 3, k % 3, w_kx, w_ky, w_i, w_o, I, O, REVERSED, PI, PO)
        total = product(tile, w.to(tile.dtype), total, PRECISION)
    return total


@triton.jit
def tile_and_sample(tiles):
    """Of a program, tile by tile; samples share the axis of the tiles, as the other axes of
    programs hold no more than 65535."""
    return tl.program_id(0) % tiles, tl.program_id(0) // tiles


@triton.jit
def sample(u, b, X, Y, C):
    """The first number of sample b; offsets exceed 32 bits."""
    return u + b.to(tl.int64) * (X * Y * C)


@triton.jit
def one_stencil(
    u, W, term, term_2, out, X, Y, I, O, w_kx, w_ky, w_i, w_o,
    TERMS: tl.constexpr, REVERSED: tl.constexpr, MODE_X: tl.constexpr, MODE_Y: tl.constexpr,
    PX: tl.constexpr, PY: tl.constexpr, PI: tl.constexpr, PO: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """out = W * u (+ term); u has UX x UY nodes, out X x Y."""
    tiles_y = tl.cdiv(Y, PY)
    tile, b = tile_and_sample(tl.cdiv(X, PX) * tiles_y)
    row, o = tl.arange(0, PX * PY), tl.arange(0, PO)
    px, py = tile // tiles_y * PX + row // PY, tile % tiles_y * PY + row % PY
    inside = (px < X) & (py < Y)
    total = convolve(
        sample(u, b, X, Y, I), W, px, py, inside, X, Y, 0, 0, I, O, w_kx, w_ky, w_i, w_o,
        REVERSED, STENCIL, MODE_X, MODE_Y, PX * PY, PI, PO, PRECISION,
    )  # fmt: skip
    to, mask = ((px * Y + py) * O)[:, None] + o[None, :], inside[:, None] & (o < O)[None, :]
    if TERMS >= 1:
        total += tl.load(sample(term, b, X, Y, O) + to, mask=mask, other=0.0).to(tl.float32)
    if TERMS >= 2:
        total += tl.load(sample(term_2, b, X, Y, O) + to, mask=mask, other=0.0).to(tl.float32)
    tl.store(sample(out, b, X, Y, O) + to, total.to(out.dtype.element_ty), mask=mask)


@triton.jit
def two_stencils(
    u, W, term, r, V, base, out, UX, UY, X, Y, OX, OY, KX, KY, I, M, O,
    w_kx, w_ky, w_i, w_o, v_kx, v_ky, v_i, v_o, sign_r, sign_out,
    TERM: tl.constexpr, KEEP: tl.constexpr, BASE: tl.constexpr, REVERSED_W: tl.constexpr,
    REVERSED_V: tl.constexpr, KIND: tl.constexpr, STEP: tl.constexpr,
    MODE_X: tl.constexpr, MODE_Y: tl.constexpr,
    PX: tl.constexpr, PY: tl.constexpr, PI: tl.constexpr, PM: tl.constexpr, PO: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """r = sign_r W * u (+ term) on X x Y nodes, kept on chip and stored only with KEEP;
    out = sign_out V * r (+ base) on the same nodes (STEP 1) or on every second one (STEP 2).

    A tile of PX x PY values of r, ghost nodes included, gives (PX - 2)/STEP x (PY - 2)/STEP
    values of out: a layer of nodes at the edge of the tile is computed by its neighbour again.
    """
    NX: tl.constexpr = (PX - 2) // STEP
    NY: tl.constexpr = (PY - 2) // STEP
    tiles_y = tl.cdiv(OY, NY)
    tile, b = tile_and_sample(tl.cdiv(OX, NX) * tiles_y)
    tile_x, tile_y = tile // tiles_y, tile % tiles_y
    row, m = tl.arange(0, PX * PY), tl.arange(0, PM)
    first_x = STEP * NX * tile_x - 1 + (STEP - 1) * (1 - KX)
    first_y = STEP * NY * tile_y - 1 + (STEP - 1) * (1 - KY)
    at_x, at_y = first_x + row // PY, first_y + row % PY
    px, inside_x = ghost(at_x, X, MODE_X)
    py, inside_y = ghost(at_y, Y, MODE_Y)
    inside = inside_x & inside_y
    total = convolve(
        sample(u, b, UX, UY, I), W, px, py, inside, UX, UY, KX, KY, I, M, w_kx, w_ky, w_i, w_o,
        REVERSED_W, KIND, MODE_X, MODE_Y, PX * PY, PI, PM, PRECISION,
    )  # fmt: skip
    total *= sign_r
    to, mask = ((px * Y + py) * M)[:, None] + m[None, :], inside[:, None] & (m < M)[None, :]
    if TERM:
        total += tl.load(sample(term, b, X, Y, M) + to, mask=mask, other=0.0).to(tl.float32)
    on_chip = total.to(out.dtype.element_ty)  # 0 outside, as nothing was read there
    if KEEP:
        # A node is stored by the tile that has it in its interior, node 0 by the first tile.
        own_x = tl.maximum(first_x + tl.where(tile_x == 0, 0, 1), 0)
        own_y = tl.maximum(first_y + tl.where(tile_y == 0, 0, 1), 0)
        own = (at_x >= own_x) & (at_x <= first_x + STEP * NX) & (at_x < X)
        own &= (at_y >= own_y) & (at_y <= first_y + STEP * NY) & (at_y < Y)
        tl.store(sample(r, b, X, Y, M) + to, on_chip, mask=mask & own[:, None])

    NODES: tl.constexpr = PX * PY // (STEP * STEP)
    node, o = tl.arange(0, NODES), tl.arange(0, PO)
    nx, ny = node // (PY // STEP), node % (PY // STEP)
    out_x, out_y = tile_x * NX + nx, tile_y * NY + ny
    inside = (nx < NX) & (ny < NY) & (out_x < OX) & (out_y < OY)
    total = tl.zeros((NODES, PO), tl.float32)
    for k in range(9):
        read = tl.where(inside, (STEP * nx + k // 3) * PY + STEP * ny + k % 3, 0)
        moved = tl.gather(on_chip, tl.broadcast_to(read[:, None], (NODES, PM)), 0)
        v = weight(V, k // 3, k % 3, v_kx, v_ky, v_i, v_o, M, O, REVERSED_V, PM, PO)
        total = product(moved, v.to(moved.dtype), total, PRECISION)
    total *= sign_out
    to = ((out_x * OY + out_y) * O)[:, None] + o[None, :]
    mask = inside[:, None] & (o < O)[None, :]
    if BASE:
        total += tl.load(sample(base, b, OX, OY, O) + to, mask=mask, other=0.0).to(tl.float32)
    tl.store(sample(out, b, OX, OY, O) + to, total.to(out.dtype.element_ty), mask=mask)


@triton.jit
def correct(
    u, e, P, out, X, Y, EX, EY, KX, KY, I, O, w_kx, w_ky, w_i, w_o,
    MODE_X: tl.constexpr, MODE_Y: tl.constexpr, PX: tl.constexpr, PY: tl.constexpr,
    PI: tl.constexpr, PO: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """out = u + P e. A program has nodes of one parity per axis: they read e for 1 or 2 of the 3
    places of an axis, which are all that it multiplies."""
    tiles_y, parity = tl.cdiv(tl.cdiv(Y, 2), PY), tl.program_id(1)
    tile, b = tile_and_sample(tl.cdiv(tl.cdiv(X, 2), PX) * tiles_y)
    row, i, o = tl.arange(0, PX * PY), tl.arange(0, PI), tl.arange(0, PO)
    px = 2 * (tile // tiles_y * PX + row // PY) + parity // 2
    py = 2 * (tile % tiles_y * PY + row % PY) + parity % 2
    inside = (px < X) & (py < Y)
    one_x, one_y = (parity // 2 + KX) % 2, (parity % 2 + KY) % 2  # 1: place 1 alone
    e = sample(e, b, EX, EY, I)
    total = tl.zeros((PX * PY, PO), tl.float32)
    for k in range((2 - one_x) * (2 - one_y)):
        kx = tl.where(one_x == 1, 1, 2 * (k // (2 - one_y)))
        ky = tl.where(one_y == 1, 1, 2 * (k % (2 - one_y)))
        x, inside_x = read_node(px, kx, EX, KX, PROLONGATION, MODE_X)
        y, inside_y = read_node(py, ky, EY, KY, PROLONGATION, MODE_Y)
        mask = (inside & inside_x & inside_y)[:, None] & (i < I)[None, :]
        moved = tl.load(e + ((x * EY + y) * I)[:, None] + i[None, :], mask=mask, other=0.0)
        w = weight(P, kx, ky, w_kx, w_ky, w_i, w_o, I, O, False, PI, PO)
        total = product(moved, w.to(moved.dtype), total, PRECISION)
    to, mask = ((px * Y + py) * O)[:, None] + o[None, :], inside[:, None] & (o < O)[None, :]
    total += tl.load(sample(u, b, X, Y, O) + to, mask=mask, other=0.0).to(tl.float32)
    tl.store(sample(out, b, X, Y, O) + to, total.to(out.dtype.element_ty), mask=mask)


@triton.jit
def stencil_weight(
    u, g, out, B, X, Y, I, O, part_size, MODE_X: tl.constexpr, MODE_Y: tl.constexpr,
    BN: tl.constexpr, PI: tl.constexpr, PO: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Σ u(p + k) g(p)ᵀ over the nodes p of all samples, for the three k of one kx: out
    (part, 3, 3, in, out). Part n has the nodes from n·part_size on."""
    part, kx = tl.program_id(0), tl.program_id(1)
    i, o = tl.arange(0, PI), tl.arange(0, PO)
    total_0 = tl.zeros((PI, PO), tl.float32)
    total_1 = tl.zeros((PI, PO), tl.float32)
    total_2 = tl.zeros((PI, PO), tl.float32)
    end = tl.minimum((part + 1) * part_size, B * X * Y)
    for start in range(part * part_size, end, BN):
        p = start + tl.arange(0, BN)
        b, px, py = p // (X * Y), p // Y % X, p % Y
        mask = (p < end)[:, None] & (o < O)[None, :]
        dv = tl.load(g + p.to(tl.int64)[:, None] * O + o[None, :], mask=mask, other=0.0)
        x, inside_x = read_node(px, kx, X, 0, STENCIL, MODE_X)
        row = (b.to(tl.int64) * X + x) * Y
        inside = (p < end) & inside_x
        total_0 = add_products(u, dv, row, py, 0, inside, Y, I, i, total_0, MODE_Y, PRECISION)
        total_1 = add_products(u, dv, row, py, 1, inside, Y, I, i, total_1, MODE_Y, PRECISION)
        total_2 = add_products(u, dv, row, py, 2, inside, Y, I, i, total_2, MODE_Y, PRECISION)
    to = out + (part * 3 + kx) * (3 * I * O) + i[:, None] * O + o[None, :]
    mask = (i < I)[:, None] & (o < O)[None, :]
    tl.store(to, total_0, mask=mask)
    tl.store(to + I * O, total_1, mask=mask)
    tl.store(to + 2 * I * O, total_2, mask=mask)


@triton.jit
def add_products(
    u, dv, row, py, ky, inside, Y, I, i, total, MODE_Y: tl.constexpr, PRECISION: tl.constexpr
):
    y, inside_y = read_node(py, ky, Y, 0, STENCIL, MODE_Y)
    mask = (inside & inside_y)[:, None] & (i < I)[None, :]
    tile = tl.load(u + ((row + y) * I)[:, None] + i[None, :], mask=mask, other=0.0)
    return product(tl.trans(tile), dv, total, PRECISION)
