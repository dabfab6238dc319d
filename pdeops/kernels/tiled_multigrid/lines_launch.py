"""Launches of `triton_lines.py`."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..runtime.tiles import FUSION, cdiv, rounded
from . import triton_lines as kernels
from .triton_launch import three, tuned


@dataclass(frozen=True)
class Chunk:
    """Lines of a program, and nodes of each that it holds at a time."""

    lines: int
    nodes: int
    warps: int = 4


# Lines along the last axis are contiguous; others lie next to each other.
CONTIGUOUS = (Chunk(4, 256), Chunk(2, 512), Chunk(1, 1024), Chunk(8, 128))
ACROSS = (Chunk(32, 64), Chunk(16, 64), Chunk(16, 128), Chunk(32, 32))
PIVOT_LINES = 32


def pivots(c: Tensor, d: Tensor, n: Sequence[int], axis: int) -> Tensor:
    """The inverse pivots of all lines along an axis."""
    p, (along, places, of_c, across) = torch.zeros_like(d), geometry(c, n, axis, (1,) * len(n), 1)
    num, firsts = across
    small = 1e-12 if d.dtype == torch.float64 else 1e-5
    with torch.cuda.device_of(c):
        kernels.pivots[(cdiv(num[0] * num[1], PIVOT_LINES),)](
            d, c, p, along, *places, *of_c, *num, *firsts, small,
            LINES=PIVOT_LINES, num_warps=1, **FUSION,
        )  # fmt: skip
    return p


def solve_lines(
    c: Tensor,
    p: Tensor,
    f: Tensor,
    u: Tensor,
    n: Sequence[int],
    axis: int,
    start: Sequence[int],
    step: int,
) -> Tensor:
    """u + T⁻¹ f on every `step`-th line from `start` on, u elsewhere."""
    along, places, of_c, (num, firsts) = geometry(c, n, axis, start, step)
    if not num[0] * num[1]:
        return u.clone()

    def run(chunk: Chunk) -> Tensor:
        out = u.clone(memory_format=torch.contiguous_format)
        nodes = min(chunk.nodes, rounded(along))
        kernels.solve[(len(u) * cdiv(num[0] * num[1], chunk.lines),)](
            f.clone(memory_format=torch.contiguous_format), c, p, out, len(u), out[0].numel(),
            along, *places, *of_c, *num, *firsts,
            STEP=step, LINES=chunk.lines, CHUNK=nodes, num_warps=chunk.warps,
            **FUSION,
        )  # fmt: skip
        return out

    chunks = CONTIGUOUS if axis == len(n) - 1 else ACROSS
    return tuned("lines", u, c[None], chunks, run, (axis, step))


def geometry(
    c: Tensor, n: Sequence[int], axis: int, start: Sequence[int], step: int
) -> tuple[int, list[int], list[int], tuple[list[int], list[int]]]:
    """Nodes of a line; strides of fields and of c along it and across; numbers of lines along both
    other axes and where they begin."""
    missing = 3 - len(n)
    sizes = three(c.shape, 1)
    strides = [sizes[1] * sizes[2], sizes[2], 1]
    axes = [axis + missing, *(a for a in range(3) if a != axis + missing)]
    counts, firsts = three(n, 1), three(start, 0)
    num = [1 if a < missing else max(0, cdiv(counts[a] - firsts[a] + 1, step)) for a in axes[1:]]
    of_c = three(c.stride(), 0)
    return (
        n[axis],
        [strides[a] for a in axes],
        [of_c[a] for a in axes],
        (num, [firsts[a] for a in axes[1:]]),
    )
