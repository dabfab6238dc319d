"""Tables of indices for the loops of `blackbox/galerkin.py`, from the geometry of two levels."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .box_tables import Triple, code_of, triple

CORNERS = np.array([[z & 1, z >> 1 & 1, z >> 2 & 1] for z in range(8)])  # of a closed coarse cell


@dataclass(frozen=True)
class Terms:
    """Contributions to Pᵀ A P: a row for each coupling and parity of its node.

    Attributes:
        span: the ranges [I0, I1), [J0, J1) of coarse cells, their number in a row, and the first
            coupling and coarse cell of a row.
        num: number of corners of the coarse cell that have a weight at an end of the coupling.
        corner: these corners, as numbers of `CORNERS`.
        weight: per corner and end, the place of the weight relative to the cell; -1 for none.
    """

    span: np.ndarray
    num: np.ndarray
    corner: np.ndarray
    weight: np.ndarray


def terms(level: np.void, coarse: np.void, deltas: np.ndarray, wrap: np.ndarray) -> Terms:
    """The contributions of couplings between each node and its neighbours at `deltas`."""
    coarsen, n, present = level["coarsen"], level["n"], level["present"]
    t = _terms(triple(level, "coarsen"), tuple(map(tuple, deltas.tolist())))
    delta = deltas[t.k]
    bounded = (present == 1) & ~wrap
    low = np.where(bounded, np.maximum(0, -delta), present)
    high = np.where(bounded, n + 1 - np.maximum(0, delta), n)
    first = np.where(coarsen, (low - t.parity + 1) // 2, low)
    last = np.where(coarsen, (high - t.parity) // 2, high)
    x = t.k * int(level["num_stored"]) + t.parity @ level["stride"]
    x += first[:, 2] * (1 + coarsen[2])
    X = first[:, 2] - t.place @ coarse["stride"]
    ranges = [first[:, 0], last[:, 0] + 1, first[:, 1], last[:, 1] + 1]
    weight = t.code * int(coarse["num_stored"]) + t.cell @ coarse["stride"]
    return Terms(
        np.stack([*ranges, last[:, 2] - first[:, 2] + 1, x, X], 1),
        t.num,
        t.corner,
        np.where(t.code < 0, -1, weight),
    )


@dataclass(frozen=True)
class _Relative:
    """`Terms` without the sizes of the levels: indices of axes in place of distances."""

    k: np.ndarray
    parity: np.ndarray
    place: np.ndarray
    num: np.ndarray
    corner: np.ndarray
    code: np.ndarray
    cell: np.ndarray


@lru_cache(maxsize=32)
def _terms(coarsen: Triple, deltas: tuple[Triple, ...]) -> _Relative:
    rows = [
        (k, parity, *_term(parity, delta, coarsen))
        for k, delta in enumerate(deltas)
        for parity in map(tuple, CORNERS.tolist())
        if all(c or not p for p, c in zip(parity, coarsen, strict=True))
    ]
    return _Relative(*(np.array(column) for column in zip(*rows, strict=True)))


def _term(parity: Triple, delta: Triple, coarsen: Triple) -> tuple:
    """The place of the cell relative to half of the node's index; number of corners, corners,
    and per corner and end of the coupling the code of the weight and its cell."""
    # Positions of the two ends in a closed coarse cell: 0, 1, 2 on a coarsened axis, else 0, 1.
    wide = [2 if c else 1 for c in coarsen]
    back = [d < 0 and not p for p, d in zip(parity, delta, strict=True)]
    here = [width if b else p for p, b, width in zip(parity, back, wide, strict=True)]
    there = [h + d for h, d in zip(here, delta, strict=True)]
    corner, code, cell = np.zeros(8, int), np.full((8, 2), -1), np.zeros((8, 2, 3), int)
    num = 0
    for z, high in enumerate(CORNERS):
        both = [_weight(high, end, coarsen) for end in (here, there)]
        if max(number for number, _ in both) >= 0:
            corner[num] = z
            for end, (number, shift) in enumerate(both):
                code[num, end], cell[num, end] = number, shift
            num += 1
    return [int(b) for b in back], num, corner, code, cell


def _weight(high: np.ndarray, end: list[int], coarsen: Triple) -> tuple[int, list[int]]:
    """The code of the weight of a corner at an end of a coupling, and its cell; -1 for none."""
    digits, shift = [], []
    for top, position, c in zip(high.tolist(), end, coarsen, strict=True):
        middle = c and position == 1
        if not middle and (position > 0) != (top == 1):
            return -1, [0, 0, 0]
        digits.append(1 + top if middle else 0)
        shift.append(0 if middle else top)
    return code_of(tuple(digits), coarsen), shift


def corner_pairs(coarse: np.void, offsets: np.ndarray) -> np.ndarray:
    """The place of the coupling of two corners of a coarse cell, relative to the cell."""
    k, low = _pairs(tuple(map(tuple, offsets[: int(coarse["num_neighbours"])].tolist())))
    return k * int(coarse["num_stored"]) + low @ coarse["stride"]


@lru_cache(maxsize=16)
def _pairs(halves: tuple[Triple, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Per pair of corners (numbered as in `CORNERS`): the coupling and its lower node."""
    k, low = np.zeros((8, 8), int), np.zeros((8, 8, 3), int)
    for z, z_corner in enumerate(CORNERS):
        for o, o_corner in enumerate(CORNERS):
            step = tuple((z_corner - o_corner).tolist())
            if step in halves:  # from o to z
                k[z, o] = k[o, z] = halves.index(step)
                low[z, o] = low[o, z] = o_corner
    return k, low
