"""Division of rows into blocks for threads, in loops in which each row reads its neighbours.

A smoothing sweep is a chain of stages (correct, black, red). In each stage a row reads the values
that its neighbours have after the stage before. A block of consecutive rows can be taken through
all stages independently of the other blocks if each stage omits one more row at the inner ends of
the block. The few omitted rows around an end are its seam, which goes through the stages when both
blocks are done:

      stage 0   r r r r r r|r r r r r r
      stage 1   r r r r r . . r r r r r
      stage 2   r r r r . . . . r r r r

Every row is computed from the same numbers as without blocks, so the result does not depend on the
number of threads, to the last bit.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from itertools import pairwise, takewhile

import numpy as np

from .threads import num_threads, side_by_side

# Number of nodes from which threads help: starting a thread takes 60 µs. Half of a multigrid sweep
# takes that long at WIDE nodes, half of a product with A or of an inner product at VAST.
WIDE, VAST = 1 << 17, 1 << 19

Rows = np.ndarray  # (stages, 2): first and last row of each stage, one-based; empty if first > last


def count(size: int, least: int) -> int:
    """The number of blocks for a field of `size` nodes: `threads.num_threads` from `least` on."""
    return 1 if size < least else num_threads()


def split(do: Callable[[int, int], object], rows: int, parts: int) -> None:
    """Call do(start, end) in threads for consecutive ranges that make up range(rows)."""
    side_by_side([partial(do, start, end) for start, end in _ranges(rows, parts)])


def chain(do: Callable[[Rows], object], rows: int, stages: int, parts: int) -> None:
    """Call do(Rows) in threads for blocks, and then for the seams between them."""
    blocks, seams = _chain(rows, stages, parts)
    side_by_side([partial(do, block) for block in blocks])
    for seam in seams:
        do(seam)


@lru_cache(maxsize=64)
def _ranges(rows: int, parts: int) -> list[tuple[int, int]]:
    parts = max(1, min(parts, rows // 16))  # seams must not overlap
    return list(pairwise(rows * part // parts for part in range(parts + 1)))


@lru_cache(maxsize=64)
def _chain(rows: int, stages: int, parts: int) -> tuple[list[Rows], list[Rows]]:
    ranges = _ranges(rows, parts)
    blocks = [
        np.array([(start + 1 + s * (start > 0), end - s * (end < rows)) for s in range(stages)])
        for start, end in ranges
    ]
    seams = [np.array([(end - s + 1, end + s) for s in range(stages)]) for _, end in ranges[:-1]]
    return blocks, seams


def counts(shapes: Sequence[Sequence[int]], least: int) -> list[int]:
    """The numbers of blocks of the levels of a hierarchy, up to the first with less than two."""
    numbers = (count(math.prod(shape), least) for shape in shapes)
    return list(takewhile(lambda number: number > 1, numbers))
