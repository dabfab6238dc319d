"""Levels of black-box multigrid: coarsened axes, sizes, memory offsets, colours, cycles.

A hierarchy is a table with one record (`LEVEL`) per level, finest first. The arrays of all levels
lie in one flat array, the store. There are always three axes, of which the leading ones may be
missing.
"""

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

LEVEL = np.dtype(
    [  # per axis
        ("n", np.int64, 3),  # unknowns; 0 where the axis is missing
        ("present", np.int64, 3),  # 0 where the axis is missing, else 1
        ("size", np.int64, 3),  # stored nodes
        ("stride", np.int64, 3),  # distance of neighbours in a flat array
        ("coarsen", np.int64, 3),  # 1 where the next level has half as many nodes
        # offsets of the arrays of the level in the store
        ("couplings", np.int64),  # num_neighbours fields
        ("excess", np.int64),
        ("inverse_diagonal", np.int64),
        ("u", np.int64),
        ("b", np.int64),
        ("residual", np.int64),
        ("weights", np.int64),  # num_weights fields on the nodes of the next level
        ("factor", np.int64),  # (num_unknowns, factor_width), coarsest level only
        # per axis: inverse pivots of lines along it, then their borders if it is periodic; 0 where
        # the smoother solves no lines along it
        ("pivots", np.int64, 3),
        ("num_stored", np.int64),  # nodes
        ("num_neighbours", np.int64),  # one of each pair of opposite ones
        ("num_weights", np.int64),  # of interpolation
        ("num_unknowns", np.int64),  # rows of the band factor
        ("factor_width", np.int64),  # and its columns
    ]
)

# Steps of a schedule.
START, DESCEND, ASCEND, EXACT, RESTRICT, PROLONG = range(6)

STRONG = 0.5  # an axis is coarsened if its coupling is at least this fraction of the strongest
# Limits of unknowns times squared bandwidth: a level up to DIRECT is solved by a band factor, and a
# coarsest level beyond TOO_MUCH is refused.
DIRECT = 2**18
TOO_MUCH = 2**32


def padded(n: int) -> int:
    """Stored nodes of an axis with n unknowns: a ghost at each end, and one more if n is even."""
    return 2 * (n // 2) + 3


def half_stencil(present: Sequence[bool]) -> np.ndarray:
    """Offsets to one of each pair of opposite neighbours: along the axes first, then diagonals."""
    axes = [(-1, 0, 1) if here else (0,) for here in present]
    full = [o for o in product(*axes) if any(o) and next(x for x in o if x) > 0]
    return np.array(sorted(full, key=lambda o: sum(map(abs, o)) > 1), dtype=np.int64)


def colours(present: Sequence[bool]) -> list[tuple[int, ...]]:
    """The first index of each colour per axis: 2 for even nodes, 1 for odd, 0 on a missing axis.

    Coarse nodes come first, then those with two odd indices: with five or seven points this is
    red-black order.
    """
    axes = [(2, 1) if here else (0,) for here in present]
    odd = {start: sum(x == 1 for x in start) for start in product(*axes)}
    return sorted(odd, key=lambda start: (odd[start] % 2, odd[start], start))


def sweep(present: Sequence[bool], lines: Sequence[int] = ()) -> np.ndarray:
    """The steps of a sweep of Gauss-Seidel, one row each: the axis of the lines that are solved, or
    -1 for points, then where the colour starts per axis.

    Lines follow one axis after the other. They are coloured by the axes across: in a plane this is
    zebra line relaxation.
    """
    if not lines:
        return np.array([(-1, *start) for start in colours(present)], dtype=np.int64)
    across = {a: [here and b != a for b, here in enumerate(present)] for a in lines}
    steps = [(a, *start) for a in lines for start in colours(across[a])]
    return np.array(steps, dtype=np.int64)


def numbering(n: Sequence[int], wrap: Sequence[bool]) -> tuple[np.ndarray, int]:
    """Numbers of the unknowns in a band matrix, and its bandwidth.

    The longest axis counts slowest; if it is periodic, nodes from its two ends alternate, so that
    neighbours across the periodic boundary have close numbers. The numbers are a flat array over
    the stored nodes: -1 at boundary nodes, -2 - k at ghosts of the unknown k. Missing axes have
    n = 0.
    """
    shape = [max(k, 1) for k in n]
    order = sorted(range(3), key=lambda a: -shape[a])
    index = np.zeros(shape, dtype=np.int64)
    stride = 1
    for a in reversed(order):
        i = np.arange(shape[a])
        if wrap[a] and a == order[0]:
            i = np.minimum(2 * i, 2 * (shape[a] - 1 - i) + 1)
        index += stride * i.reshape([-1 if b == a else 1 for b in range(3)])
        stride *= shape[a]
    stored = index
    for a in range(3):
        if n[a]:
            before, after = 1, padded(n[a]) - n[a] - 1
            around = [(before, after) if b == a else (0, 0) for b in range(3)]
            if wrap[a]:
                real = np.pad(np.ones(stored.shape, bool), around)
                stored = np.pad(stored, around, mode="wrap")
                stored = np.where(real | (stored < 0), stored, -2 - stored)
            else:
                stored = np.pad(stored, around, constant_values=-1)
    plain = np.where(stored < -1, -2 - stored, stored)
    width = 0
    for offset in half_stencil([k > 0 for k in n]):
        here, there = plain, np.roll(plain, tuple(-offset), (0, 1, 2))
        both = (stored >= 0) & (there >= 0)
        if both.any():
            width = max(width, int(np.abs(here - there)[both].max()))
    return stored.ravel(), width


def choose_axes(
    n: Sequence[int],
    wrap: Sequence[bool],
    strength: Sequence[float],
    lines: Sequence[int] = (),
) -> list[bool]:
    """The axes to coarsen: the strongly coupled ones, if their numbers of nodes allow it.

    If lines are solved along the strongest axis, the strength of the others is compared without
    it: line relaxation smooths along the other axes as if that coupling did not exist.
    """
    able = [k >= 4 and k % 2 == 0 if w else k >= 2 for k, w in zip(n, wrap, strict=True)]
    ranked = sorted((a for a in range(3) if able[a]), key=lambda a: -strength[a])
    if len(ranked) > 1 and ranked[0] in lines:
        ranked = ranked[1:]
    best = strength[ranked[0]] if ranked else 0.0
    return [a and s >= STRONG * best for s, a in zip(strength, able, strict=True)]


def layout(
    n: Sequence[int],
    wrap: Sequence[bool],
    strength: Sequence[float],
    has_e: bool,
    num_sparsified: int = 0,
    direct: int | None = None,
    lines: Sequence[int] = (),
) -> tuple[np.ndarray, np.ndarray, int]:
    """The table of levels (`LEVEL`), the numbers of the coarsest unknowns, and the store's length.

    Args:
        n: unknowns per axis, 0 where it is missing (leading axes only).
        strength: mean coupling along each axis; coarsening an axis divides its strength by four
            relative to the others.
        num_sparsified: number of coarse levels with couplings along the axes only
            (`blackbox/sparsify.py`).
        direct: unknowns times squared bandwidth up to which a level is solved instead of
            coarsened; `DIRECT` by default.
        lines: axes of a line smoother, which replaces the smoother by points.

    Raises:
        ValueError: a level that cannot be coarsened is too large for a band factor.
    """
    direct = DIRECT if direct is None else direct
    present = [k > 0 for k in n]
    n, strength = list(n), list(strength)
    num_halves = len(half_stencil(present))
    levels: list[tuple] = []
    used = 0

    def take(count: int) -> int:
        nonlocal used
        used += count
        return used - count

    while True:
        size = [padded(k) if k else 1 for k in n]
        num_stored = math.prod(size)
        num_neighbours = num_halves if len(levels) > num_sparsified else sum(present)
        num_unknowns = math.prod(max(k, 1) for k in n)
        chosen = choose_axes(n, wrap, strength, lines)
        number, width = np.zeros(0, np.int64), 0
        if num_unknowns * (num_unknowns // max(n)) ** 2 <= direct or not any(chosen):
            number, width = numbering(n, wrap)
            if not any(chosen) and num_unknowns * width**2 > TOO_MUCH:
                raise ValueError(
                    f"The coarsest level has {' x '.join(str(k) for k in n if k)} unknowns, too "
                    f"many for a band factor. A periodic axis is coarsened as long as its number "
                    f"of nodes is even: use one that is divisible by a higher power of two."
                )
            if num_unknowns * width**2 <= direct:
                chosen = [False] * 3
        last = not any(chosen)
        level: dict[str, Any] = dict.fromkeys(LEVEL.names or (), 0)
        level |= {"n": tuple(n), "present": tuple(present), "size": tuple(size)}
        level |= {"stride": (size[1] * size[2], size[2], 1), "coarsen": tuple(chosen)}
        level |= {"num_stored": num_stored, "num_neighbours": num_neighbours}
        level["couplings"] = take(num_neighbours * num_stored)
        level["excess"] = take(num_stored) if has_e else 0
        level["inverse_diagonal"] = 0 if lines else take(num_stored)
        level |= {name: take(num_stored) for name in ("u", "b", "residual")}
        n = [k // 2 if c else k for k, c in zip(n, chosen, strict=True)]
        pivots = [0, 0, 0]
        if last:
            level |= {"num_unknowns": num_unknowns, "factor_width": width + 1}
            level["factor"] = take(num_unknowns * (width + 1))
        else:
            level["num_weights"] = 3 ** sum(chosen)
            level["weights"] = take(3 ** sum(chosen) * math.prod(padded(k) if k else 1 for k in n))
            for a in lines:
                pivots[a] = take((1 + wrap[a]) * num_stored)
        level["pivots"] = tuple(pivots)
        levels.append(tuple(level.values()))
        if last:
            return np.array(levels, LEVEL), number, used
        strength = [s / 4 if c else s for s, c in zip(strength, chosen, strict=True)]


def coarsened(table: np.ndarray, ndim: int) -> list[list[bool]]:
    """Whether each level but the last coarsens an axis, for `blackbox.reference.build_levels`."""
    return table["coarsen"][:-1, 3 - ndim :].astype(bool).tolist()


def schedule(levels: int, kind: str) -> np.ndarray:
    """The steps of a cycle, rows (step, level): 'V', 'W', 'F' or 'full' (full multigrid, FMG).

    Raises:
        ValueError: the kind is unknown.
    """

    def visit(level: int, kind: str, start: int) -> list[tuple[int, int]]:
        if level == levels - 1:
            return [(EXACT, level)]
        first = [(start, level), *visit(level + 1, kind, START)]
        again = {"V": None, "W": "W", "F": "V"}[kind]
        # A second visit would repeat an exact solution.
        if again and level + 1 < levels - 1:
            first += visit(level + 1, again, DESCEND)
        return [*first, (ASCEND, level)]

    if kind in ("V", "W", "F"):
        return np.array(visit(0, kind, START), dtype=np.int64)
    if kind != "full":
        raise ValueError(f"Unknown cycle {kind!r}; choose one of 'V', 'W', 'F', 'full'.")
    steps = [(RESTRICT, level) for level in range(levels - 1)] + [(EXACT, levels - 1)]
    for level in range(levels - 2, -1, -1):
        steps += [(PROLONG, level), *visit(level, "V", DESCEND)]
    return np.array(steps, dtype=np.int64)
