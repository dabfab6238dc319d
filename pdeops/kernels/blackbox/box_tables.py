"""Tables of indices for the loops of `blackbox/box.py`, from the geometry of two levels.

Per axis a weight of interpolation has a digit: 0 at an even node and on an axis that is not
coarsened, 1 and 2 for the weights of the lower and the higher coarse neighbour of an odd node. Its
number (code) has these ternary digits, of the coarsened axes only.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np

Triple = tuple[int, ...]
N, PRESENT, STRIDE, SIZE = range(4)  # the rows of `shape_of`


def triple(level: np.void, name: str) -> Triple:
    """The values of a field of a level (`layout.LEVEL`) per axis."""
    return tuple(level[name].tolist())


def shape_of(level: np.void) -> np.ndarray:
    """Per axis, rows N, PRESENT, STRIDE and SIZE: see `layout.LEVEL`.

    An array: a record as argument of a compiled function takes 2 µs.
    """
    return np.stack([level[name] for name in ("n", "present", "stride", "size")])


def neighbours(level: np.void, offsets: np.ndarray) -> np.ndarray:
    """Flat distances to one of each pair of opposite neighbours of a node."""
    return offsets[: int(level["num_neighbours"])] @ level["stride"]


def jumps(level: np.void, coarse: np.void) -> np.ndarray:
    """Flat distances from a coarse cell to the next, per axis: on the fine and the coarse level."""
    return np.concatenate([level["stride"] * (1 + level["coarsen"]), coarse["stride"]])


def code_of(digits: Triple, coarsen: Triple) -> int:
    """The number of a weight from its digits."""
    code = 0
    for digit, c in zip(digits, coarsen, strict=True):
        code = 3 * code + digit if c else code
    return code


@dataclass(frozen=True)
class Transfer:
    """Indices of the weights of interpolation, a row per weight.

    Attributes:
        jump: see `jumps`; in place of the last, the first coarse unknown of a row.
        n: coarse unknowns per axis, 1 on a missing axis.
        slowest: the slowest axis that is not missing, if it is across the rows, else 2.
        fine: the first node of a row that `restrict` reads, in the coarse cell (0, 0).
        weight_at: the place of its weights, relative to the coarse row.
        spans: for `prolong`, the ranges of coarse cells [I0, I1), [J0, J1), their number in a row,
            and the first node, coarse node and weight in the cell (0, 0).
    """

    jump: np.ndarray
    n: np.ndarray
    slowest: int
    fine: np.ndarray
    weight_at: np.ndarray
    spans: np.ndarray

    @classmethod
    def of(cls, level: np.void, coarse: np.void) -> "Transfer":
        jump = jumps(level, coarse)
        present = triple(level, "present")
        digits = code_digits(triple(level, "coarsen"))
        high, odd = digits == 2, digits > 0
        starts = jump[:3] * present  # the coarse cell (1, 1, 1)
        codes = np.arange(len(digits)) * int(coarse["num_stored"])
        # `restrict` counts coarse unknowns from 0, where an axis is present.
        fine = starts.sum() + ((digits == 1) * 1 - high) @ level["stride"]
        weight_at = codes - high @ coarse["stride"]
        first, last = _ranges(level, odd)
        M = last[:, 2] - first[:, 2] + 1
        x = first[:, 2] * jump[2] + odd @ level["stride"]
        X = first[:, 2] + high @ coarse["stride"]
        ranges = [first[:, 0], last[:, 0] + 1, first[:, 1], last[:, 1] + 1]
        spans = np.stack([*ranges, M, x, X, codes + first[:, 2]], 1)
        jump[5] = coarse["stride"] @ present
        slowest = 0 if present[0] else (1 if present[1] else 2)
        return cls(jump, np.maximum(coarse["n"], 1), slowest, fine, weight_at, spans)


def _ranges(level: np.void, odd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and last coarse cell per axis that have an unknown; a row for each row of `odd`."""
    n, coarsen, present = level["n"], level["coarsen"], level["present"]
    first = np.where(odd, 0, present)
    last = np.where(odd, (n - 1) // 2, np.where(coarsen, n // 2, n))
    return first, last


@lru_cache(maxsize=16)
def code_digits(coarsen: Triple) -> np.ndarray:
    """The digits of the weights, a row for each code."""
    return np.array(list(product(*(range(3) if c else (0,) for c in coarsen))))


@dataclass(frozen=True)
class Pattern:
    """The sums over the neighbours of the nodes with given odd indices.

    Attributes:
        odd: 1 on the axes whose index is odd.
        span: the ranges [I0, I1), [J0, J1) of coarse cells, the first in a row, their number, and
            the first node of a row.
        start: per direction, the place of the coupling relative to the node.
        corner: per direction and corner, the place of the neighbour's weight; -1 for none.
        target: per corner, the place of the weight that is computed.
    """

    odd: np.ndarray
    span: np.ndarray
    start: np.ndarray
    corner: np.ndarray
    target: np.ndarray


def patterns(level: np.void, coarse: np.void, offsets: np.ndarray) -> list[Pattern]:
    """Nodes with one odd index come first, then two, then three."""
    num_neighbours = int(level["num_neighbours"])
    halves = tuple(map(tuple, offsets[:num_neighbours].tolist()))
    SC = int(coarse["num_stored"])
    starts = np.repeat(np.arange(num_neighbours) * int(level["num_stored"]), 2)
    found = []
    for odd, places, code, cells, target in _patterns(triple(level, "coarsen"), halves):
        first, last = _ranges(level, odd == 1)
        M = last[2] - first[2] + 1
        x = first[2] * (1 + level["coarsen"][2]) + odd @ level["stride"]
        found.append(
            Pattern(
                odd,
                np.array([first[0], last[0] + 1, first[1], last[1] + 1, first[2], M, x]),
                starts + places @ level["stride"],
                np.where(code < 0, -1, code * SC + cells @ coarse["stride"]),
                target * SC,
            )
        )
    return found


@lru_cache(maxsize=32)
def _patterns(coarsen: Triple, halves: tuple[Triple, ...]) -> list[tuple[np.ndarray, ...]]:
    """Per pattern: odd, places of the couplings, codes and cells of the neighbours, target."""
    every = product(*((0, 1) if c else (0,) for c in reversed(coarsen)))
    odds = [odd[::-1] for odd in every if any(odd)]
    return [_pattern(odd, coarsen, halves) for odd in sorted(odds, key=sum)]


def _pattern(odd: Triple, coarsen: Triple, halves: tuple[Triple, ...]) -> tuple[np.ndarray, ...]:
    axes = [a for a in range(3) if odd[a]]
    # Corner z is at the higher coarse node along the k-th odd axis if its bit k is 1.
    corners = [{a: z >> k & 1 for k, a in enumerate(axes)} for z in range(1 << len(axes))]
    places, codes, cells = [], [], []
    for half in halves:
        for sign in (1, -1):
            delta = tuple(sign * d for d in half)
            places.append([-d if sign < 0 else 0 for d in half])
            across = any(delta[a] for a in axes)
            fits = [
                across and all(not delta[a] or high[a] == (delta[a] > 0) for a in axes)
                for high in corners
            ]
            digits = [
                tuple(1 + high[a] if odd[a] and not delta[a] else 0 for a in range(3))
                for high in corners
            ]
            codes.append(
                [code_of(d, coarsen) if f else -1 for d, f in zip(digits, fits, strict=True)]
            )
            cells.append([[int(odd[a] and delta[a] > 0) for a in range(3)]] * len(corners))
    target = [code_of(tuple(1 + h[a] if odd[a] else 0 for a in range(3)), coarsen) for h in corners]
    return tuple(np.array(table) for table in (odd, places, codes, cells, target))
