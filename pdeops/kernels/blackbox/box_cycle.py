"""The calls of a cycle of black-box multigrid on any box, from the loops of `box.py`.

They do not depend on the right-hand side and are computed once for each cycle. A call takes about
1 µs; a compiled cycle would contain all loops for all problems, and be compiled as long as all of
them together.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np

from ..runtime import row_blocks
from . import box, layout, relax
from .box_geometry import geometry
from .box_tables import neighbours, shape_of
from .hierarchy import Cycle

Calls = list[Callable[[], object]]


class Level:
    """The arrays of a level, and those between it and the next, `coarse`."""

    def __init__(
        self,
        store: np.ndarray,
        level: np.void,
        coarse: np.void | None,
        offsets: np.ndarray,
        wrap: np.ndarray,
        has_e: bool,
    ) -> None:
        S = int(level["num_stored"])
        self.store, self.level, self.wrap, self.has_e = store, level, wrap, has_e
        self.u, self.b = store[level["u"] :][:S], store[level["b"] :][:S]
        self.res, self.r = store[level["residual"] :][:S], store[level["inverse_diagonal"] :][:S]
        self.c = store[level["couplings"] :][: level["num_neighbours"] * S]
        self.e = store[level["excess"] :][: S if has_e else 0]
        self.step, self.shape = neighbours(level, offsets), shape_of(level)
        self.y = np.empty(int(level["n"][2]) + 2, store.dtype)
        self.rows = relax.rows(level)
        if coarse is not None:
            self.coarse_rows = relax.rows(coarse)
            self.transfer = geometry(level, coarse, offsets, wrap).transfer
            size = int(coarse["num_stored"])
            self.U, self.B = store[coarse["u"] :][:size], store[coarse["b"] :][:size]
            self.w = store[level["weights"] :][: level["num_weights"] * size]

    def unknowns(self, u: np.ndarray) -> np.ndarray:
        """A field at the unknowns, on three axes."""
        n, first = np.maximum(self.level["n"], 1), self.level["present"]
        inside = tuple(slice(i, i + k) for i, k in zip(first.tolist(), n.tolist(), strict=True))
        return u.reshape(self.level["size"])[inside]

    def sync(self, u: np.ndarray) -> Calls:
        """Fill the ghosts of periodic axes."""
        return [partial(relax.sync, u, self.shape, self.wrap)] if self.wrap.any() else []

    def solve(self, number: np.ndarray) -> Calls:
        """Solve the coarsest level."""
        size, width = int(self.level["num_unknowns"]), int(self.level["factor_width"])
        L = self.store[self.level["factor"] :][: size * width].reshape(size, width)
        return [partial(box.solve_band, L, number, self.b, np.empty(size, L.dtype), self.u)]

    def clear(self, parts: int) -> Calls:
        """u = 0."""
        return _divided(partial(_clear, self.u), len(self.u), parts)

    def restrict(self, res: np.ndarray, parts: int) -> Calls:
        """The right-hand side of the next level from a residual."""
        t = self.transfer
        tables = (t.fine, t.weight_at, t.jump, t.n, t.slowest)
        loop = partial(box.restrict, res, self.w, *tables, self.B)
        return [*self.sync(res), *_divided(loop, self.coarse_rows, parts)]

    def prolong(self, parts: int) -> Calls:
        """Add the correction from the next level."""
        t = self.transfer
        loop = partial(box.prolong, self.U, self.w, t.spans, t.jump, t.slowest, self.u)
        return [*_divided(loop, self.coarse_rows + 1, parts), *self.sync(self.u)]

    def residual(self, parts: int) -> Calls:
        """res = b - A u, without ghosts."""
        fields = (self.u, self.b, self.c, self.e, self.has_e, self.step, self.shape, self.res)
        return _divided(partial(relax.residual, *fields), self.rows, parts)

    def richardson(self, lengths: np.ndarray) -> Calls:
        """u += ω D⁻¹ (b - A u) for each step length ω."""
        calls: Calls = []
        for length in lengths:
            fields = (self.u, self.r, self.res, length, self.shape, self.wrap)
            calls += [*self.residual(1), partial(relax.correct, *fields)]
        return calls

    def sweep(self, colours: np.ndarray, from_zero: bool, parts: int) -> Calls:
        """A sweep of Gauss-Seidel (`layout.sweep`); colours that are divided, one by one."""
        calls: Calls = []
        rows = groupby(colours.tolist(), key=lambda colour: colour[0])
        for axis, group in rows:
            starts = [np.array([colour[1:]]) for colour in group]
            for some in starts if parts > 1 else [np.concatenate(starts)]:
                calls += self._relax(axis, some, from_zero, parts)
                from_zero = False
        return calls

    def _relax(self, axis: int, starts: np.ndarray, from_zero: bool, parts: int) -> Calls:
        loop: Any = relax.relax_points
        pivots = self.r
        across: tuple[int, ...] = ()
        if axis >= 0:
            loop = relax.relax_along if axis == 2 else relax.relax_across
            size = (2 if self.wrap[axis] else 1) * len(self.u)
            pivots = self.store[self.level["pivots"][axis] :][:size]
            across = () if axis == 2 else (axis,)
        fields = (self.u, self.b, self.c, pivots, self.step, self.shape, self.wrap)
        loop = partial(loop, *fields, *across, starts, from_zero)
        extent = relax.extent(self.level, axis)
        if parts == 1:
            return [partial(loop, self.y, 0, extent)]
        return _divided(partial(_with_row, loop, self.y), extent, parts)


def _divided(loop: Callable[[int, int], object], rows: int, parts: int) -> Calls:
    """loop(first, end) over all rows, divided among threads."""
    if parts == 1:
        return [partial(loop, 0, rows)]
    return [partial(row_blocks.split, loop, rows, parts)]


def _clear(u: np.ndarray, first: int, end: int) -> None:
    u[first:end].fill(0)


def _with_row(loop: Callable[..., object], like: np.ndarray, first: int, end: int) -> None:
    """loop(row, first, end) with a work array of its own."""
    loop(np.empty_like(like), first, end)


def calls_of(
    levels: Sequence[Level],
    number: np.ndarray,
    colours: np.ndarray,
    cycle: Cycle,
    parts: Sequence[int],
) -> Calls:
    """The calls of a cycle from `b` to `u` of the finest level.

    Args:
        number: the numbers of the coarsest unknowns (`layout.numbering`).
        colours: the colours of a sweep of Gauss-Seidel (`layout.sweep`).
        parts: per level, the number of blocks of rows.
    """
    lengths = np.array(cycle.lengths, levels[0].u.dtype)

    def smooth(depth: int, num_sweeps: int, backward: bool, from_zero: bool) -> Calls:
        level = levels[depth]
        if cycle.lengths:
            return num_sweeps * level.richardson(lengths)
        order = colours[::-1] if backward else colours
        calls: Calls = []
        for k in range(num_sweeps):
            calls += level.sweep(order, from_zero and k == 0, parts[depth])
        return calls

    calls: Calls = []
    for what, depth in layout.schedule(len(levels), cycle.kind).tolist():
        level, blocks = levels[depth], parts[depth]
        if what == layout.EXACT:
            calls += level.solve(number)
        elif what == layout.RESTRICT:
            calls += level.restrict(level.b, 1)
        elif what == layout.PROLONG:
            calls += [*level.clear(1), *level.prolong(1)]
        elif what == layout.ASCEND:
            calls += level.prolong(blocks)
            calls += smooth(depth, cycle.post, cycle.mirrored, False)
        else:
            start = what == layout.START
            calls += level.clear(blocks) if start else []
            calls += smooth(depth, cycle.pre, False, start)
            calls += [*level.residual(blocks), *level.restrict(level.res, blocks)]
    return calls
