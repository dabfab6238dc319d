"""Rows of a field divided among threads, for loops in which rows read their neighbours.

A sweep is a chain of stages (correct, black, red): a row of one stage reads its neighbours' rows of
the stage before, and none of the stage after. So a band of rows can be taken through all stages
alone if each stage leaves out one more row at the ends that other bands touch; what is left out
around an end, its seam, is a few rows, taken through the stages when both bands are done:

      stage 0   r r r r r r|r r r r r r
      stage 1   r r r r r . . r r r r r
      stage 2   r r r r . . . . r r r r

Every row is computed from the same numbers as without bands: the results are the same to the last
bit, whatever the number of threads.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from itertools import pairwise

import numpy as np

from .threads import num_threads, side_by_side

# Nodes of a field that is worth the 60 µs which a thread takes to start on it: half of a sweep of
# multigrid takes as long at WIDE, half of a product with A or of an inner product at VAST.
WIDE, VAST = 1 << 17, 1 << 19

Rows = np.ndarray  # per stage its first and its last row, counted from one; first > last is none


def count(size: int, least: int) -> int:
    """Among how many threads a field is divided: all (`threads.num_threads`) if it is large."""
    return 1 if size < least else num_threads()


def split(do: Callable[[int, int], object], rows: int, parts: int) -> None:
    """do(start, end) for ranges that make up range(rows), side by side."""
    side_by_side([partial(do, start, end) for start, end in _ranges(rows, parts)])


def chain(do: Callable[[Rows], object], rows: int, stages: int, parts: int) -> None:
    """do(Rows) for bands, side by side, and then for the seams between them."""
    bands, seams = _chain(rows, stages, parts)
    side_by_side([partial(do, band) for band in bands])
    for seam in seams:
        do(seam)


@lru_cache(maxsize=64)
def _ranges(rows: int, parts: int) -> list[tuple[int, int]]:
    parts = max(1, min(parts, rows // 16))  # no seam meets another
    return list(pairwise(rows * part // parts for part in range(parts + 1)))


@lru_cache(maxsize=64)
def _chain(rows: int, stages: int, parts: int) -> tuple[list[Rows], list[Rows]]:
    ranges = _ranges(rows, parts)
    bands = [
        np.array([(start + 1 + s * (start > 0), end - s * (end < rows)) for s in range(stages)])
        for start, end in ranges
    ]
    seams = [np.array([(end - s + 1, end + s) for s in range(stages)]) for _, end in ranges[:-1]]
    return bands, seams
