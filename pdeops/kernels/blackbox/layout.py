"""Where black-box multigrid keeps its levels: which axes are coarsened, sizes, offsets, colours."""

from collections.abc import Sequence
from itertools import product

import numpy as np

# Columns of the table of levels. N_, PRESENT, SIZE, STRIDE and COARSEN stand for three columns, one
# per axis: unknowns; 1, or 0 where the axis is missing; stored nodes; distance in a flat array;
# whether the next level has half as many.
N_, PRESENT, SIZE, STRIDE, COARSEN = 0, 3, 6, 9, 12
# Offsets into the store: couplings, excess, inverse diagonal, u, b, residual, weights of P (and how
# many), band factor (and its two lengths).
C_, E_, R_, U_, B_, F_, W_, L_ = 15, 16, 17, 18, 19, 20, 21, 23
S_, K_ = 26, 27  # stored nodes in all; half the number of neighbours
# Three columns: offset of the inverse pivots of lines along an axis, on a periodic one followed by
# the lines' borders; 0 where lines do not follow it.
P_ = 28

# Steps of a schedule.
START, DESCEND, ASCEND, EXACT, RESTRICT, PROLONG = range(6)

STRONG = 0.5  # an axis is coarsened if its coupling is at least this part of the strongest
DIRECT = 2**18  # unknowns times squared band width of a level that is solved by a band factor
TOO_MUCH = 2**32


def padded(n: int) -> int:
    """Stored nodes of an axis with n unknowns: a ghost at either end, and one more if n is even."""
    return 2 * (n // 2) + 3


def half_stencil(present: Sequence[bool]) -> np.ndarray:
    """One of each pair of opposite neighbours: those along the axes first, then the diagonals."""
    axes = [(-1, 0, 1) if here else (0,) for here in present]
    full = [o for o in product(*axes) if any(o) and next(x for x in o if x) > 0]
    return np.array(sorted(full, key=lambda o: sum(map(abs, o)) > 1), dtype=np.int64)


def colours(present: Sequence[bool]) -> list[tuple[int, ...]]:
    """Where each colour starts per axis: even nodes 2, odd nodes 1, missing axes 0.

    Coarse nodes first, then those with two odd indices: on five and seven points this is red-black.
    """
    axes = [(2, 1) if here else (0,) for here in present]
    odd = {start: sum(x == 1 for x in start) for start in product(*axes)}
    return sorted(odd, key=lambda start: (odd[start] % 2, odd[start], start))


def sweep(present: Sequence[bool], lines: Sequence[int] = ()) -> np.ndarray:
    """The steps of a sweep of Gauss-Seidel: the axis that lines are solved along, or -1 where
    points are, and where the colour starts per axis. Lines take the axes one after the other, and
    have the colours of the axes across: in a plane they are a zebra."""
    if not lines:
        return np.array([(-1, *start) for start in colours(present)], dtype=np.int64)
    across = {a: [here and b != a for b, here in enumerate(present)] for a in lines}
    steps = [(a, *start) for a in lines for start in colours(across[a])]
    return np.array(steps, dtype=np.int64)


def numbering(n: Sequence[int], wrap: Sequence[bool]) -> tuple[np.ndarray, int]:
    """Numbers of the unknowns in a band matrix, and its band width.

    The longest axis counts slowest; on a periodic one the two ends are numbered in turns, so that
    neighbours over the seam are close. Flat array over the stored nodes: -1 at boundary nodes, -2 -
    k at ghosts of the unknown k. Missing axes have n = 0.
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
    """Which axes to coarsen: the strongly coupled ones that can be.

    Where lines are solved along the strongest, it does not count: what is left along the others is
    smoothed as if it were not there.
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
    thin: int = 0,
    direct: int | None = None,
    lines: Sequence[int] = (),
) -> tuple[np.ndarray, np.ndarray, int]:
    """The table of levels, the numbers of the coarsest one's unknowns, and the length of the store.

    n: unknowns per axis, 0 where it is missing (leading axes only). strength: mean coupling along
    each axis; coarsening an axis divides its strength by four, against the others. thin: so many
    coarse levels keep couplings along the axes only (`blackbox/collapse.py`). direct: unknowns
    times squared
    band width up to which a level is solved instead of coarsened, else `DIRECT`. lines: the axes
    that a line smoother follows, in place of one for points.

    Raises:
        ValueError: a level that cannot be coarsened is too large for a band factor.
    """
    direct = DIRECT if direct is None else direct
    present = [k > 0 for k in n]
    n, strength = list(n), list(strength)
    neighbours = len(half_stencil(present))
    rows: list[list[int]] = []
    used = 0

    def take(count: int) -> int:
        nonlocal used
        used += count
        return used - count

    while True:
        size = [padded(k) if k else 1 for k in n]
        stride = [size[1] * size[2], size[2], 1]
        stored = int(np.prod(size))
        K = neighbours if len(rows) > thin else sum(present)
        unknowns = int(np.prod([max(k, 1) for k in n]))
        chosen = choose_axes(n, wrap, strength, lines)
        number, width = np.zeros(0, np.int64), 0
        plane = unknowns // max(n)  # the band is at least as wide
        if unknowns * plane**2 <= direct or not any(chosen):
            number, width = numbering(n, wrap)
            if not any(chosen) and unknowns * width**2 > TOO_MUCH:
                raise ValueError(
                    f"The coarsest level has {' x '.join(str(k) for k in n if k)} unknowns, too "
                    f"many for a band factor. A periodic axis is coarsened as long as its number "
                    f"of nodes is even: use one that is divisible by a higher power of two."
                )
            if unknowns * width**2 <= direct:
                chosen = [False] * 3
        last = not any(chosen)
        row = [*n, *map(int, present), *size, *stride, *map(int, chosen)]
        row += [take(K * stored), take(stored) if has_e else 0]
        row += [0 if lines else take(stored), take(stored), take(stored), take(stored)]
        n = [k // 2 if c else k for k, c in zip(n, chosen, strict=True)]
        coarse = int(np.prod([padded(k) if k else 1 for k in n]))
        num_weights = 3 ** sum(chosen)
        row += [0, 0] if last else [take(num_weights * coarse), num_weights]
        row += [take(unknowns * (width + 1)), unknowns, width + 1] if last else [0, 0, 0]
        follows = [a in lines and not last for a in range(3)]
        pivots = [take((1 + wrap[a]) * stored) if follows[a] else 0 for a in range(3)]
        rows.append([*row, stored, K, *pivots])
        if last:
            return np.array(rows, dtype=np.int64), number, used
        strength = [s / 4 if c else s for s, c in zip(strength, chosen, strict=True)]


def coarsened(table: np.ndarray, ndim: int) -> list[list[bool]]:
    """Which axes each level but the last coarsens, as `blackbox_reference.setup` takes it."""
    first = COARSEN + 3 - ndim
    return [[bool(x) for x in row[first : COARSEN + 3]] for row in table[:-1]]


def schedule(levels: int, kind: str) -> np.ndarray:
    """The steps of a cycle over so many levels: 'V', 'W', 'F' or 'full' (F-cycle full multigrid).

    Raises:
        ValueError: another kind.
    """

    def visit(level: int, kind: str, start: int) -> list[tuple[int, int]]:
        if level == levels - 1:
            return [(EXACT, level)]
        first = [(start, level), *visit(level + 1, kind, START)]
        again = {"V": None, "W": "W", "F": "V"}[kind]
        # An exact solution is not made better by a second visit.
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
