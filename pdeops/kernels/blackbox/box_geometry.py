"""What the loops for any box need to know of a level and the next: indices, without values."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .box_tables import (
    Pattern,
    Transfer,
    code_digits,
    jumps,
    neighbours,
    patterns,
    shape_of,
    triple,
)
from .galerkin_tables import CORNERS, Terms, corner_pairs, terms
from .layout import LEVEL


@dataclass(frozen=True)
class Geometry:
    """Tables of indices between a level and the next.

    Attributes:
        shape, coarse_shape: see `box_tables.shape_of`.
        step: flat distances to one of each pair of opposite neighbours.
        jump: see `box_tables.jumps`.
        digits: of the weights of interpolation, see `box_tables.py`.
        lumps: per term of the excess and corner, its place relative to the coarse cell.
        pair: per term and two of its corners, the place of their coupling.
    """

    shape: np.ndarray
    coarse_shape: np.ndarray
    step: np.ndarray
    jump: np.ndarray
    digits: np.ndarray
    transfer: Transfer
    patterns: list[Pattern]
    terms: Terms
    pair: np.ndarray
    excess: Terms
    lumps: np.ndarray


def geometry(level: np.void, coarse: np.void, offsets: np.ndarray, wrap: np.ndarray) -> Geometry:
    """The tables of two levels; those of recent levels are kept (they take 0.5 ms)."""
    return _geometry(level.tobytes(), coarse.tobytes(), offsets.tobytes(), wrap.tobytes())


@lru_cache(maxsize=64)
def _geometry(*contents: bytes) -> Geometry:
    level, coarse = (np.frombuffer(content, LEVEL)[0] for content in contents[:2])
    offsets = np.frombuffer(contents[2], np.int64).reshape(-1, 3)
    wrap = np.frombuffer(contents[3], bool)
    step = neighbours(level, offsets)
    couplings = terms(level, coarse, offsets[: len(step)], wrap)
    excess = terms(level, coarse, np.zeros((1, 3), np.int64), wrap)
    corner = couplings.corner
    return Geometry(
        shape_of(level),
        shape_of(coarse),
        step,
        jumps(level, coarse),
        code_digits(triple(level, "coarsen")),
        Transfer.of(level, coarse),
        patterns(level, coarse, offsets),
        couplings,
        corner_pairs(coarse, offsets)[corner[:, :, None], corner[:, None, :]],
        excess,
        (CORNERS @ coarse["stride"])[excess.corner],
    )
