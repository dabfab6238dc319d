"""Triton kernels of a multigrid cycle: residual, smoother on a tile, restriction.

Imported by the first launch, because importing Triton takes a second and it may be missing.

A field is addressed by three indices (z, x, y) of stored nodes; with fewer axes (D) the leading
ones have one node, 0. A program holds a tile (BZ, BX, BY). OFFSETS are the offsets δ_k of the
couplings (`level.offsets`) as triples; GZ, GX and GY are 1 on axes that are coarsened, else 0.
Arrays of couplings c and of the excess e have any strides, 0 for constants; fields and weights are
contiguous, of S_ nodes per axis, on the next level C_. Unknowns have the indices 1 .. n_.
"""

import triton
import triton.language as tl


@triton.jit
def tile_nodes(tile, X_TILES, Y_TILES, SZ: tl.constexpr, SX: tl.constexpr, SY: tl.constexpr,
               HZ: tl.constexpr, HX: tl.constexpr, HY: tl.constexpr,
               BZ: tl.constexpr, BX: tl.constexpr, BY: tl.constexpr):  # fmt: skip
    """The indices of the nodes of a tile; tiles advance by S nodes and begin H nodes before."""
    z = (tile // (X_TILES * Y_TILES)) * SZ - HZ + tl.arange(0, BZ)
    x = (tile // Y_TILES) % X_TILES * SX - HX + tl.arange(0, BX)
    y = tile % Y_TILES * SY - HY + tl.arange(0, BY)
    return z[:, None, None], x[None, :, None], y[None, None, :]


@triton.jit
def unknown(z, x, y, n_z, n_x, n_y, D: tl.constexpr):
    """Whether a node is an unknown."""
    inside = (y >= 1) & (y <= n_y)
    if D >= 2:
        inside = inside & (x >= 1) & (x <= n_x)
    else:
        inside = inside & (x == 0)
    if D >= 3:
        inside = inside & (z >= 1) & (z <= n_z)
    else:
        inside = inside & (z == 0)
    return inside


@triton.jit
def moved(u, by: tl.constexpr, axis: tl.constexpr):
    """u at the next (1) or previous (-1) node along an axis of the tile; at its ends u itself."""
    if by == 0:
        return u
    size: tl.constexpr = u.shape[axis]
    i = tl.minimum(tl.maximum(tl.arange(0, size) + by, 0), size - 1)
    if axis == 0:
        i = i[:, None, None]
    elif axis == 1:
        i = i[None, :, None]
    else:
        i = i[None, None, :]
    return tl.gather(u, tl.broadcast_to(i, u.shape), axis)


@triton.jit
def neighbour(u, offset: tl.constexpr, sign: tl.constexpr):
    """u at the nodes p + sign δ of a tile."""
    return moved(moved(moved(u, sign * offset[0], 0), sign * offset[1], 1), sign * offset[2], 2)


@triton.jit
def distance(offset: tl.constexpr, s_z, s_x, s_y):
    """Of p and p + δ in an array with these strides."""
    return offset[0] * s_z + offset[1] * s_x + offset[2] * s_y


@triton.jit
def both_couplings(c, k: tl.constexpr, offset: tl.constexpr, mask, c_k, c_z, c_x, c_y):
    """The couplings to p + δ_k and to p - δ_k; c points to the nodes p."""
    of_k = c + tl.full((), k, tl.int64) * c_k  # a box of 1024³ nodes has more than 2³¹ couplings
    forth = tl.load(of_k, mask=mask, other=0.0)
    back = tl.load(of_k - distance(offset, c_z, c_x, c_y), mask=mask, other=0.0)
    return forth, back


@triton.jit
def residual_at(u, b, c, e, z, x, y, mask, S_x, S_y, c_k, c_z, c_x, c_y, e_z, e_x, e_y,
                OFFSETS: tl.constexpr, EXCESS: tl.constexpr, HAS_B: tl.constexpr):  # fmt: skip
    """b - A u at the nodes of a tile where mask holds, 0 elsewhere; A u without b. Neighbours are
    read from memory."""
    at = (z * S_x + x) * S_y + y
    of_c = c + z * c_z + x * c_x + y * c_y
    here = tl.load(u + at, mask=mask, other=0.0)
    r = tl.zeros_like(here)
    for k in tl.static_range(len(OFFSETS)):
        forth, back = both_couplings(of_c, k, OFFSETS[k], mask, c_k, c_z, c_x, c_y)
        step = distance(OFFSETS[k], S_x * S_y, S_y, 1)
        r += forth * (tl.load(u + at + step, mask=mask, other=0.0) - here)
        r += back * (tl.load(u + at - step, mask=mask, other=0.0) - here)
    if EXCESS:
        r -= tl.load(e + z * e_z + x * e_x + y * e_y, mask=mask, other=0.0) * here
    if HAS_B:
        return r + tl.load(b + at, mask=mask, other=0.0)
    return -r


@triton.jit
def residual(u, b, c, e, out, num, n_z, n_x, n_y, S_z, S_x, S_y,
             c_k, c_z, c_x, c_y, e_z, e_x, e_y, X_TILES, Y_TILES,
             D: tl.constexpr, OFFSETS: tl.constexpr, EXCESS: tl.constexpr, HAS_B: tl.constexpr,
             BZ: tl.constexpr, BX: tl.constexpr, BY: tl.constexpr):  # fmt: skip
    """out = b - A u, or A u."""
    field, tile = tl.program_id(0) % num, tl.program_id(0) // num
    z, x, y = tile_nodes(tile, X_TILES, Y_TILES, BZ, BX, BY, 0, 0, 0, BZ, BX, BY)
    stored = (z < S_z) & (x < S_x) & (y < S_y)
    mask = stored & unknown(z, x, y, n_z, n_x, n_y, D)
    start = field.to(tl.int64) * (S_z * S_x * S_y)
    r = residual_at(u + start, b + start, c, e, z, x, y, mask, S_x, S_y,
                    c_k, c_z, c_x, c_y, e_z, e_x, e_y, OFFSETS, EXCESS, HAS_B)  # fmt: skip
    tl.store(out + start + (z * S_x + x) * S_y + y, r, mask=stored)


@triton.jit
def from_corner(U, w, z, x, y, mask, C_z, C_x, C_y, GZ: tl.constexpr, GX: tl.constexpr,
                GY: tl.constexpr, sz: tl.constexpr, sx: tl.constexpr,
                sy: tl.constexpr):  # fmt: skip
    """The part of P U from one corner of the cells of the nodes: on a coarsened axis from the
    coarse node before (s = 0) or after (s = 1) odd nodes, or, with s = 0, at even nodes."""
    odd_z, odd_x, odd_y = z & GZ, x & GX, y & GY
    cell_z, cell_x, cell_y = z >> GZ, x >> GX, y >> GY
    used = mask & (odd_z >= sz) & (odd_x >= sx) & (odd_y >= sy)
    code = (odd_z * (1 + sz) * (1 + 2 * GX) + odd_x * (1 + sx)) * (1 + 2 * GY) + odd_y * (1 + sy)
    cell = (cell_z * C_x + cell_x) * C_y + cell_y
    size = (C_z * C_x * C_y).to(tl.int64)
    weight = tl.load(w + (code - 1) * size + cell, mask=used & (code > 0), other=1.0)
    at = cell + (sz * C_x + sx) * C_y + sy
    return tl.where(used, weight * tl.load(U + at, mask=used, other=0.0), 0.0)


@triton.jit
def corrected(u, U, w, z, x, y, mask, C_z, C_x, C_y,
              GZ: tl.constexpr, GX: tl.constexpr, GY: tl.constexpr):  # fmt: skip
    """u + P U at the nodes of a tile where mask holds."""
    for s in tl.static_range((1 + GZ) * (1 + GX) * (1 + GY)):
        u += from_corner(
            U, w, z, x, y, mask, C_z, C_x, C_y, GZ, GX, GY,
            s // ((1 + GY) * (1 + GX)), s // (1 + GY) % (1 + GX), s % (1 + GY),
        )  # fmt: skip
    return u


@triton.jit
def smooth(u, b, c, e, lengths, U, w, out, num, n_z, n_x, n_y, S_z, S_x, S_y, C_z, C_x, C_y,
           c_k, c_z, c_x, c_y, e_z, e_x, e_y, X_TILES, Y_TILES,
           D: tl.constexpr, OFFSETS: tl.constexpr, EXCESS: tl.constexpr,
           FROM_ZERO: tl.constexpr, CORRECT: tl.constexpr, STEPS: tl.constexpr,
           GZ: tl.constexpr, GX: tl.constexpr, GY: tl.constexpr,
           H: tl.constexpr, BZ: tl.constexpr, BX: tl.constexpr, BY: tl.constexpr):  # fmt: skip
    """STEPS steps u += ω D⁻¹ (b - A u) on a tile with a halo of H nodes, after u += P U if CORRECT;
    FROM_ZERO: u = 0 before. Each step with neighbours makes one layer of the halo invalid."""
    field, tile = tl.program_id(0) % num, tl.program_id(0) // num
    HX: tl.constexpr = H if D >= 2 else 0
    HZ: tl.constexpr = H if D >= 3 else 0
    z, x, y = tile_nodes(tile, X_TILES, Y_TILES, BZ - 2 * HZ, BX - 2 * HX, BY - 2 * H,
                         HZ, HX, H, BZ, BX, BY)  # fmt: skip
    mask = unknown(z, x, y, n_z, n_x, n_y, D)
    start = field.to(tl.int64) * (S_z * S_x * S_y)
    at = (z * S_x + x) * S_y + y
    right = tl.load(b + start + at, mask=mask, other=0.0)
    v = tl.zeros_like(right)
    if not FROM_ZERO:
        v = tl.load(u + start + at, mask=mask, other=0.0)
    if CORRECT:
        v = corrected(v, U + field.to(tl.int64) * (C_z * C_x * C_y), w, z, x, y, mask,
                      C_z, C_x, C_y, GZ, GX, GY)  # fmt: skip
    of_c = c + z * c_z + x * c_x + y * c_y
    excess = tl.zeros_like(right)
    if EXCESS:
        excess = tl.load(e + z * e_z + x * e_x + y * e_y, mask=mask, other=0.0)
    for s in tl.static_range(STEPS):
        r = right - excess * v
        d = excess
        for k in tl.static_range(len(OFFSETS)):
            forth, back = both_couplings(of_c, k, OFFSETS[k], mask, c_k, c_z, c_x, c_y)
            d += forth + back
            if s > 0 or CORRECT or not FROM_ZERO:
                r += forth * (neighbour(v, OFFSETS[k], 1) - v)
                r += back * (neighbour(v, OFFSETS[k], -1) - v)
        omega = tl.load(lengths + s)
        v += tl.where(d > 0, omega * r / tl.where(d > 0, d, 1.0), 0.0)
    inner = (y >= 0) & (y < S_y) & (x >= 0) & (x < S_x) & (z >= 0) & (z < S_z)
    row = tl.arange(0, BY)[None, None, :]
    inner = inner & (row >= H) & (row < BY - H)
    if D >= 2:
        column = tl.arange(0, BX)[None, :, None]
        inner = inner & (column >= H) & (column < BX - H)
    if D >= 3:
        plane = tl.arange(0, BZ)[:, None, None]
        inner = inner & (plane >= H) & (plane < BZ - H)
    tl.store(out + start + at, v, mask=inner)


@triton.jit
def residual_of_cells(u, b, c, e, z, x, y, cells, n_z, n_x, n_y, S_x, S_y,
                      c_k, c_z, c_x, c_y, e_z, e_x, e_y, D: tl.constexpr, OFFSETS: tl.constexpr,
                      EXCESS: tl.constexpr, HAS_U: tl.constexpr):  # fmt: skip
    """b - A u, or b, at one fine node of each cell."""
    mask = cells & unknown(z, x, y, n_z, n_x, n_y, D)
    if HAS_U:
        return residual_at(u, b, c, e, z, x, y, mask, S_x, S_y, c_k, c_z, c_x, c_y, e_z, e_x, e_y,
                           OFFSETS, EXCESS, True)  # fmt: skip
    return tl.load(b + (z * S_x + x) * S_y + y, mask=mask, other=0.0)


@triton.jit
def to_corners(r, w, cell, cells, size, GX: tl.constexpr, GY: tl.constexpr,
               oz: tl.constexpr, ox: tl.constexpr, oy: tl.constexpr):  # fmt: skip
    """The parts of Pᵀ r from the nodes of the cells that are odd on the axes with o = 1, at the
    coarse nodes on both sides of them."""
    total = tl.zeros_like(r)
    for side in tl.static_range((1 + oz) * (1 + ox) * (1 + oy)):
        total += to_corner(
            r, w, cell, cells, size, GX, GY, oz, ox, oy,
            side // ((1 + oy) * (1 + ox)), side // (1 + oy) % (1 + ox), side % (1 + oy),
        )  # fmt: skip
    return total


@triton.jit
def to_corner(r, w, cell, cells, size, GX: tl.constexpr, GY: tl.constexpr,
              oz: tl.constexpr, ox: tl.constexpr, oy: tl.constexpr,
              sz: tl.constexpr, sx: tl.constexpr, sy: tl.constexpr):  # fmt: skip
    """The part at the coarse nodes on the lower (s = 0) or upper (1) side of each odd axis."""
    code: tl.constexpr = (oz * (1 + sz) * (1 + 2 * GX) + ox * (1 + sx)) * (1 + 2 * GY) + oy * (
        1 + sy
    )
    if code > 0:
        r = r * tl.load(w + (code - 1) * size + cell, mask=cells, other=0.0)
    return neighbour(r, (sz, sx, sy), -1)


@triton.jit
def restrict(u, b, c, e, w, out, num, n_z, n_x, n_y, S_z, S_x, S_y, N_z, N_x, N_y,
             C_z, C_x, C_y, c_k, c_z, c_x, c_y, e_z, e_x, e_y, X_TILES, Y_TILES,
             D: tl.constexpr, OFFSETS: tl.constexpr, EXCESS: tl.constexpr, HAS_U: tl.constexpr,
             PARITIES: tl.constexpr, GZ: tl.constexpr, GX: tl.constexpr, GY: tl.constexpr,
             BZ: tl.constexpr, BX: tl.constexpr, BY: tl.constexpr):  # fmt: skip
    """out = Pᵀ (b - A u), or Pᵀ b. A tile of cells, with one layer before the coarse nodes: the
    odd nodes of a cell contribute to the coarse nodes at both ends of it. PARITIES are the indices
    modulo 2 of the nodes of a cell."""
    field, tile = tl.program_id(0) % num, tl.program_id(0) // num
    z, x, y = tile_nodes(tile, X_TILES, Y_TILES, BZ - GZ, BX - GX, BY - GY,
                         GZ, GX, GY, BZ, BX, BY)  # fmt: skip
    start = field.to(tl.int64) * (S_z * S_x * S_y)
    size = (C_z * C_x * C_y).to(tl.int64)
    cell = (z * C_x + x) * C_y + y
    cells = (z >= 0) & (x >= 0) & (y >= 0) & (z < C_z) & (x < C_x) & (y < C_y)
    total = tl.zeros((BZ, BX, BY), out.dtype.element_ty)
    for k in tl.static_range(len(PARITIES)):
        r = residual_of_cells(
            u + start, b + start, c, e, (z << GZ) + PARITIES[k][0], (x << GX) + PARITIES[k][1],
            (y << GY) + PARITIES[k][2], cells, n_z, n_x, n_y, S_x, S_y,
            c_k, c_z, c_x, c_y, e_z, e_x, e_y, D, OFFSETS, EXCESS, HAS_U,
        )  # fmt: skip
        total += to_corners(
            r, w, cell, cells, size, GX, GY, PARITIES[k][0], PARITIES[k][1], PARITIES[k][2]
        )
    inner = cells & (tl.arange(0, BY)[None, None, :] >= GY)
    inner = inner & (tl.arange(0, BX)[None, :, None] >= GX)
    inner = inner & (tl.arange(0, BZ)[:, None, None] >= GZ)
    total = tl.where(unknown(z, x, y, N_z, N_x, N_y, D), total, 0.0)
    tl.store(out + field.to(tl.int64) * size + cell, total, mask=inner)
