"""Triton kernels of the set-up: weights of interpolation and Galerkin operators.

Conventions as in `triton_kernels.py`.
"""

import triton
import triton.language as tl

from .triton_kernels import both_couplings, unknown


@triton.jit
def flat_nodes(BLOCK: tl.constexpr, C_x, C_y):
    """A block of stored nodes of the coarse level in C order: their numbers and indices."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    return at, at // (C_x * C_y), at // C_y % C_x, at % C_y


@triton.jit
def uncoupled(cell, n, digit: tl.constexpr):
    """The factor of a weight along an odd axis where A does not decide: ½, and next to the boundary
    0 on its side, 1 on the other."""
    factor = tl.where(cell == 0, 1.0 if digit == 2 else 0.0, 0.5)
    return tl.where((n % 2 == 1) & (cell == n // 2), 1.0 if digit == 1 else 0.0, factor)


@triton.jit
def beyond(cell, n, digit: tl.constexpr):
    """The factor at nodes that are not unknowns: ½, and 0 or 1 next to an even unknown."""
    return tl.where((n % 2 == 0) & (cell == n // 2), 1.0 if digit == 2 else 0.0, 0.5)


@triton.jit
def weights(c, w, lower, upper, n_z, n_x, n_y, C_z, C_x, C_y, S_x, S_y, c_k, c_z, c_x, c_y,
            D: tl.constexpr, OFFSETS: tl.constexpr,
            GZ: tl.constexpr, GX: tl.constexpr, GY: tl.constexpr,
            OZ: tl.constexpr, OX: tl.constexpr, OY: tl.constexpr, BY_LINES: tl.constexpr,
            BLOCK: tl.constexpr):  # fmt: skip
    """The weights of the nodes that are odd on the axes with O_ = 1, from those of the nodes with
    fewer odd indices (`blackbox/reference.py`, interpolation)."""
    at, I_z, I_x, I_y = flat_nodes(BLOCK, C_x, C_y)
    stored = I_z < C_z
    z, x, y = (I_z << GZ) + OZ, (I_x << GX) + OX, (I_y << GY) + OY
    mask = stored & unknown(z, x, y, n_z, n_x, n_y, D)
    size = (C_z * C_x * C_y).to(tl.int64)
    of_c = c + z * c_z + x * c_x + y * c_y
    node = (z * S_x + x) * S_y + y  # of the solutions by lines
    sides: tl.constexpr = (1 + OZ) * (1 + OX) * (1 + OY)

    # All couplings of the node, which are zero where it is solid.
    coupled = tl.zeros((BLOCK,), w.dtype.element_ty)
    for k in tl.static_range(len(OFFSETS)):
        forth, back = both_couplings(of_c, k, OFFSETS[k], mask, c_k, c_z, c_x, c_y)
        coupled += forth + back
    total = tl.zeros((BLOCK,), w.dtype.element_ty)
    for side in tl.static_range(sides):
        total += side_sum(
            of_c, w, lower, upper, at, node, mask, size, C_x, C_y, c_k, c_z, c_x, c_y,
            OFFSETS, GX, GY, OZ, OX, OY, side // ((1 + OY) * (1 + OX)),
            side // (1 + OY) % (1 + OX), side % (1 + OY), BY_LINES,
        )  # fmt: skip
    for side in tl.static_range(sides):
        store_weight(
            of_c, w, lower, upper, at, node, mask, stored, coupled, total, size, I_z, I_x, I_y,
            n_z, n_x, n_y, C_x, C_y, c_k, c_z, c_x, c_y,
            OFFSETS, GX, GY, OZ, OX, OY, side // ((1 + OY) * (1 + OX)),
            side // (1 + OY) % (1 + OX), side % (1 + OY), BY_LINES,
        )  # fmt: skip


@triton.jit
def store_weight(of_c, w, lower, upper, at, node, mask, stored, coupled, total, size,
                 I_z, I_x, I_y, n_z, n_x, n_y, C_x, C_y, c_k, c_z, c_x, c_y,
                 OFFSETS: tl.constexpr, GX: tl.constexpr, GY: tl.constexpr,
                 OZ: tl.constexpr, OX: tl.constexpr, OY: tl.constexpr, sz: tl.constexpr,
                 sx: tl.constexpr, sy: tl.constexpr, BY_LINES: tl.constexpr):  # fmt: skip
    """The weights of the coarse nodes at one side of each odd axis."""
    value = side_sum(of_c, w, lower, upper, at, node, mask, size, C_x, C_y, c_k, c_z, c_x, c_y,
                     OFFSETS, GX, GY, OZ, OX, OY, sz, sx, sy, BY_LINES)  # fmt: skip
    kept = tl.full(at.shape, 1.0, w.dtype.element_ty)
    first = tl.full(at.shape, 1.0, w.dtype.element_ty)
    if OZ:
        kept *= uncoupled(I_z, n_z, 1 + sz)
        first *= beyond(I_z, n_z, 1 + sz)
    if OX:
        kept *= uncoupled(I_x, n_x, 1 + sx)
        first *= beyond(I_x, n_x, 1 + sx)
    if OY:
        kept *= uncoupled(I_y, n_y, 1 + sy)
        first *= beyond(I_y, n_y, 1 + sy)
    kept = tl.where(coupled > 0, kept, 0.0)
    value = tl.where(total > 0, value / tl.where(total > 0, total, 1.0), kept)
    code: tl.constexpr = (OZ * (1 + sz) * (1 + 2 * GX) + OX * (1 + sx)) * (1 + 2 * GY) + OY * (
        1 + sy
    )
    tl.store(w + (code - 1) * size + at, tl.where(mask, value, first), mask=stored)


@triton.jit
def side_sum(of_c, w, lower, upper, at, node, mask, size, C_x, C_y, c_k, c_z, c_x, c_y,
             OFFSETS: tl.constexpr, GX: tl.constexpr, GY: tl.constexpr,
             OZ: tl.constexpr, OX: tl.constexpr, OY: tl.constexpr, sz: tl.constexpr,
             sx: tl.constexpr, sy: tl.constexpr, BY_LINES: tl.constexpr):  # fmt: skip
    """The couplings to the corner of a cell at one side of each odd axis, summed over the axes
    with an even index; negative sums count as 0. BY_LINES: the solutions by lines instead."""
    value = tl.zeros(at.shape, w.dtype.element_ty)
    for k in tl.static_range(len(OFFSETS)):
        value += side_part(of_c, w, at, mask, size, C_x, C_y, c_k, c_z, c_x, c_y, k, OFFSETS[k],
                           1, GX, GY, OZ, OX, OY, sz, sx, sy)  # fmt: skip
        value += side_part(of_c, w, at, mask, size, C_x, C_y, c_k, c_z, c_x, c_y, k, OFFSETS[k],
                           -1, GX, GY, OZ, OX, OY, sz, sx, sy)  # fmt: skip
    if BY_LINES:
        solved = lower
        if sz + sx + sy > 0:
            solved = upper
        value = tl.where(value > 0, tl.load(solved + node, mask=mask, other=0.0), value)
    return tl.maximum(value, 0.0)


@triton.jit
def side_part(of_c, w, at, mask, size, C_x, C_y, c_k, c_z, c_x, c_y, k: tl.constexpr,
              offset: tl.constexpr, sign: tl.constexpr, GX: tl.constexpr, GY: tl.constexpr,
              OZ: tl.constexpr, OX: tl.constexpr, OY: tl.constexpr,
              sz: tl.constexpr, sx: tl.constexpr, sy: tl.constexpr):  # fmt: skip
    """The part of the neighbour p + δ, δ = sign δ_k: its weight of the corner times its coupling,
    if it has fewer odd indices than p and lies on the side of the corner."""
    dz: tl.constexpr = sign * offset[0]
    dx: tl.constexpr = sign * offset[1]
    dy: tl.constexpr = sign * offset[2]
    part = tl.zeros(at.shape, w.dtype.element_ty)
    leaves: tl.constexpr = (OZ * dz != 0) or (OX * dx != 0) or (OY * dy != 0)
    fits_z: tl.constexpr = (OZ * dz == 0) or (dz == 2 * sz - 1)
    fits_x: tl.constexpr = (OX * dx == 0) or (dx == 2 * sx - 1)
    fits_y: tl.constexpr = (OY * dy == 0) or (dy == 2 * sy - 1)
    if leaves and fits_z and fits_x and fits_y:
        forth, back = both_couplings(of_c, k, offset, mask, c_k, c_z, c_x, c_y)
        part = back
        if sign > 0:
            part = forth
        # The neighbour is even on the axes that δ leaves; the next cell begins there if δ > 0.
        qz: tl.constexpr = OZ * (dz == 0) * (1 + sz)
        qx: tl.constexpr = OX * (dx == 0) * (1 + sx)
        qy: tl.constexpr = OY * (dy == 0) * (1 + sy)
        code: tl.constexpr = (qz * (1 + 2 * GX) + qx) * (1 + 2 * GY) + qy
        if code > 0:
            to = OZ * (dz > 0) * C_x * C_y + OX * (dx > 0) * C_y + OY * (dy > 0)
            part *= tl.load(w + (code - 1) * size + at + to, mask=mask, other=0.0)
    return part


@triton.jit
def basis(w, entry, at, mask):
    """A coarse basis function at a fine node: a stored weight, or 0 or 1 (`ZERO`, `ONE`)."""
    place = tl.load(entry)
    places = place + tl.zeros_like(at)
    weight = tl.load(w + places + at, mask=mask & (places > -(1 << 29)), other=0.0)
    return tl.where(places == 1 - (1 << 30), 1.0, weight)


@triton.jit
def coarse_couplings(c, w, out, starts, terms, n_z, n_x, n_y, S_z, S_x, S_y, C_z, C_x, C_y,
                     c_z, c_x, c_y, D: tl.constexpr,
                     GZ: tl.constexpr, GX: tl.constexpr, GY: tl.constexpr, WIDTH: tl.constexpr,
                     BLOCK: tl.constexpr):  # fmt: skip
    """out[k](I) = -Σ c (φ_I(p) - φ_I(q)) (φ_J(p) - φ_J(q)) over the fine edges (p, q), with
    J = I + Δ_k; `terms` has a row per edge, `starts` the rows of each k and Δ_k
    (`setup_launch.galerkin_terms`). Edges between boundary nodes are 0."""
    at, I_z, I_x, I_y = flat_nodes(BLOCK, C_x, C_y)
    k = tl.program_id(1)
    edge = starts + 5 * k
    J_z, J_x, J_y = I_z + tl.load(edge + 2), I_x + tl.load(edge + 3), I_y + tl.load(edge + 4)
    N_z, N_x, N_y = n_z >> GZ, n_x >> GX, n_y >> GY
    stored = I_z < C_z
    used = unknown(I_z, I_x, I_y, N_z, N_x, N_y, D) | unknown(J_z, J_x, J_y, N_z, N_x, N_y, D)
    used = used & stored
    p_z, p_x, p_y = I_z << GZ, I_x << GX, I_y << GY
    base = p_z.to(tl.int64) * c_z + p_x * c_x + p_y * c_y
    total = tl.zeros((BLOCK,), out.dtype.element_ty)
    for row in range(tl.load(edge), tl.load(edge + 1)):
        term = terms + row * WIDTH
        z, x, y = p_z + tl.load(term), p_x + tl.load(term + 1), p_y + tl.load(term + 2)
        mask = used & (z >= 0) & (x >= 0) & (y >= 0) & (z < S_z) & (x < S_x) & (y < S_y)
        z, x, y = z + tl.load(term + 3), x + tl.load(term + 4), y + tl.load(term + 5)
        mask = mask & (z >= 0) & (x >= 0) & (y >= 0) & (z < S_z) & (x < S_x) & (y < S_y)
        coupling = tl.load(c + base + tl.load(term + 6), mask=mask, other=0.0)
        phi_I = basis(w, term + 7, at, mask) - basis(w, term + 8, at, mask)
        phi_J = basis(w, term + 9, at, mask) - basis(w, term + 10, at, mask)
        total -= coupling * phi_I * phi_J
    tl.store(out + k.to(tl.int64) * (C_z * C_x * C_y) + at, total, mask=stored)
