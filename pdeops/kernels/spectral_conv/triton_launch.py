"""Launches of `triton_kernels.py`: strides, tiles, division of the work into programs."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ..runtime import tuning
from ..runtime.tiles import SMALLEST, cdiv, options, padded, rounded
from . import triton_kernels as kernels
from .cpu import analysis_of_lines, channels_first_in_memory, synthesis_to_lines

REGISTERS = 4096  # numbers of a sum that a program keeps
PROGRAMS = 4  # per multiprocessor, which the work is divided into at least


@dataclass(frozen=True)
class Tile:
    """Rows x, channels and nodes y of a tile of the field, and how a program computes it."""

    x: int
    channels: int
    y: int
    warps: int = 4
    stages: int = 3
    precision: str = "ieee"


class Field(NamedTuple):
    """A field (b, *space, c) as planes: Z values of a first axis, rows x, nodes y."""

    Z: int
    X: int
    Y: int
    C: int
    strides: tuple[int, ...]  # of b, z, x, y, c
    planes: int

    @classmethod
    def of(cls, u: Tensor) -> "Field":
        missing = 5 - u.ndim
        Z, X, Y, C = (*[1] * missing, *u.shape[1:])
        strides = (u.stride(0), *[0] * missing, *u.stride()[1:])
        return cls(Z, X, Y, C, strides, len(u) * Z)


def analysis(u: Float[Tensor, "b *space c"], A: Sequence[Tensor]) -> Tensor:
    """A u."""
    field, KY = Field.of(u), A[-1].shape[0] // 2
    if fits_plane(u, A):
        KX = A[-2].shape[0] // 2
        PX, PY = padded(KX), padded(KY)
        shape = (field.planes, 2, KX, KY, field.C)

        def planes(tile: Tile) -> Tensor:
            c_tiles = cdiv(field.C, tile.channels)
            parts, size = division(field.planes * c_tiles, field.X, tile.x, u)
            out = u.new_empty((parts, *shape), dtype=torch.float32)
            kernels.analyse_planes[field.planes, c_tiles, parts](
                u, A[-2], A[-1], out, *field[:4], KX, KY, size, *field.strides,
                BX=tile.x, BC=tile.channels, BY=tile.y, PX=PX, PY=PY, **options(tile),
            )  # fmt: skip
            return out

        tiles = tiles_of_planes(u, PX * PY)
        h = total(tuned("analyse_planes", u, (PX, PY), tiles, planes))
        if len(A) == 3:
            h = torch.matmul(A[0], h.view(len(u), 2 * field.Z, -1))
        return h.view(len(u), 2, *(m.shape[0] // 2 for m in A), field.C)

    PY = min(padded(KY), 64)

    def lines(tile: Tile) -> Tensor:
        c_tiles, x_tiles = cdiv(field.C, tile.channels), cdiv(field.X, tile.x)
        k_tiles = cdiv(KY, PY)
        programs = field.planes * x_tiles * c_tiles * k_tiles
        parts, size = division(programs, field.Y, tile.y, u)
        out = u.new_empty((parts, *u.shape[:-2], 2 * KY, field.C), dtype=torch.float32)
        kernels.analyse_lines[field.planes * x_tiles, c_tiles * k_tiles, parts](
            u, A[-1], out, *field[:4], KY, size, *field.strides,
            BX=tile.x, BC=tile.channels, BY=tile.y, PY=PY, **options(tile),
        )  # fmt: skip
        return out

    h = total(tuned("analyse_lines", u, (PY,), tiles_of_lines(u), lines))
    return analysis_of_lines(h, tuple(A))


def synthesis(v_hat: Tensor, A: Sequence[Tensor], v: Float[Tensor, "b *space c"]) -> Tensor:
    """v = Aᵀ v̂, written to v."""
    field, KY = Field.of(v), A[-1].shape[0] // 2
    if fits_plane(v, A):
        KX = A[-2].shape[0] // 2
        PX, PY = padded(KX), padded(KY)
        if len(A) == 3:
            v_hat = torch.matmul(A[0].t(), v_hat.reshape(len(v), A[0].shape[0], -1))
        v_hat = v_hat.contiguous()

        def planes(tile: Tile) -> Tensor:
            grid = field.planes, cdiv(field.C, tile.channels), cdiv(field.X, tile.x)
            kernels.synthesise_planes[grid](
                v_hat, A[-2], A[-1], v, *field[:4], KX, KY, *field.strides,
                BX=tile.x, BC=tile.channels, BY=tile.y, PX=PX, PY=PY, **options(tile),
            )  # fmt: skip
            return v

        tiles = tiles_of_planes(v, PX * PY)
        return tuned("synthesise_planes", v, (PX, PY), tiles, planes)

    h = synthesis_to_lines(v_hat, tuple(A)).contiguous()
    PY = min(padded(KY), 32)

    def lines(tile: Tile) -> Tensor:
        grid = (
            field.planes * cdiv(field.X, tile.x),
            cdiv(field.C, tile.channels),
            cdiv(field.Y, tile.y),
        )
        kernels.synthesise_lines[grid](
            h, A[-1], v, *field[:4], KY, *field.strides,
            BX=tile.x, BC=tile.channels, BY=tile.y, PY=PY, **options(tile),
        )  # fmt: skip
        return v

    return tuned("synthesise_lines", v, (PY,), tiles_of_lines(v), lines)


def mix(u_hat: Tensor, W: Tensor, c: Tensor, *, conjugate: bool = False) -> Tensor:
    """c_k W_k û_k, with conj(W_k) if `conjugate`."""
    u_hat = u_hat.contiguous()
    (b, _, k, i), o = u_hat.shape, W.shape[-1]
    v_hat = u_hat.new_empty(b, 2, k, o)
    if v_hat.numel():
        BB, BI, BO = SMALLEST, min(padded(i), 32), min(padded(o), 32)
        with torch.cuda.device_of(u_hat):
            kernels.mix_modes[k, cdiv(b, BB), cdiv(o, BO)](
                u_hat, W, c, v_hat, b, i, o, k, *W.stride(), -1.0 if conjugate else 1.0,
                BB=BB, BI=BI, BO=BO, PRECISION=precisions(torch.float32)[0],
            )  # fmt: skip
    return v_hat


def weight_gradient(u_hat: Tensor, g: Tensor, c: Tensor) -> Tensor:
    """c_k Σ_b conj(û_k) ĝ_k, (k, i, 2, o)."""
    u_hat, g = u_hat.contiguous(), g.contiguous()
    (b, _, k, i), o = u_hat.shape, g.shape[-1]
    dW = g.new_empty(k, i, 2, o)
    if dW.numel():
        BB, BI, BO = SMALLEST, min(padded(i), 32), min(padded(o), 32)
        with torch.cuda.device_of(g):
            kernels.weight_gradient[k, cdiv(i, BI), cdiv(o, BO)](
                u_hat, g, c, dW, b, i, o, k,
                BB=BB, BI=BI, BO=BO, PRECISION=precisions(torch.float32)[0],
            )  # fmt: skip
    return dW


# ----------------------------------------------------------------------- tiles and their choice


def fits_plane(u: Tensor, A: Sequence[Tensor]) -> bool:
    """Whether the sums of a plane fit in registers, for enough channels that memory is read in
    whole sectors of 32 bytes."""
    if len(A) < 2:
        return False
    modes = math.prod(padded(m.shape[0] // 2) for m in A[-2:])
    channels = 2 if channels_first_in_memory(u) else min(8, u.shape[-1])
    return modes * channels <= REGISTERS


def precisions(dtype: torch.dtype) -> tuple[str, ...]:
    """The precisions of products that fields of this dtype may use, of equal accuracy."""
    if dtype != torch.float32 or torch.backends.cuda.matmul.fp32_precision == "tf32":
        return ("tf32",)
    return ("ieee", "tf32x3")


@cache
def plane_tiles(
    channels_first: bool, channels: int, modes: int, precisions: tuple[str, ...]
) -> tuple[Tile, ...]:
    """Candidates for the kernels of planes, whose rows x are an operand of tl.dot too; their sums
    stay in registers."""
    c = min(channels, max(1, REGISTERS // modes))
    if channels_first:
        few = min(4, c)
        shapes = [Tile(16, few, 32), Tile(16, few, 64), Tile(16, min(8, c), 32, 8)]
    else:
        c = min(SMALLEST, c)
        shapes = [Tile(16, c, 32, 8), Tile(16, c, 16, 8), Tile(16, min(8, c), 32)]
    return tuple(replace(t, precision=p) for p in precisions for t in shapes)


@cache
def line_tiles(
    channels_first: bool, channels: int, precisions: tuple[str, ...]
) -> tuple[Tile, ...]:
    """Candidates for the kernels of lines; with `channels_first` the rows x of a channel."""
    if channels_first:
        shapes = [Tile(64, 1, 32), Tile(32, 1, 64), Tile(64, 1, 32, 8)]
    else:
        c = min(channels, 64)
        shapes = [Tile(1, c, 32), Tile(1, SMALLEST, 64), Tile(1, c, 32, 8)]
    return tuple(replace(t, precision=p) for p in precisions for t in shapes)


def tiles_of_planes(u: Tensor, modes: int) -> tuple[Tile, ...]:
    first = channels_first_in_memory(u)
    return plane_tiles(first, padded(u.shape[-1]), modes, precisions(u.dtype))


def tiles_of_lines(u: Tensor) -> tuple[Tile, ...]:
    first = u.ndim > 3 and channels_first_in_memory(u)
    return line_tiles(first, padded(u.shape[-1]), precisions(u.dtype))


def division(programs: int, length: int, tile: int, like: Tensor) -> tuple[int, int]:
    """Number and length of the parts of a sum over `length` that keep the device busy, where
    `programs` compute each part."""
    tiles = cdiv(length, tile)
    parts = min(tiles, cdiv(PROGRAMS * tuning.num_multiprocessors(like.device), programs))
    size = cdiv(tiles, parts) * tile
    return cdiv(length, size), size


def total(parts: Tensor) -> Tensor:
    """The sum of the parts, in their order."""
    return parts[0] if len(parts) == 1 else parts.sum(0)


def tuned(
    kernel: str,
    u: Tensor,
    modes: tuple[int, ...],
    tiles: tuple[Tile, ...],
    run: Callable[[Tile], Tensor],
) -> Tensor:
    """run(tile) with the fastest tile for fields like u: of one dtype, layout and size, rounded up
    to powers of 2."""
    layout = "channels first" if channels_first_in_memory(u) else "channels last"
    key = (kernel, u.dtype, layout, *map(rounded, u.shape), "modes", *modes, tiles[0].precision)
    return tuning.run_best(key, tiles, run, u)
