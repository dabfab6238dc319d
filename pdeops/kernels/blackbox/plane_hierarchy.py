"""Black-box multigrid in a plane without periodic axes or excess, by the loops of `plane.py`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from ..runtime import row_blocks
from . import layout, plane, plane_layout, plane_setup
from .hierarchy import Cycle, Hierarchy, NotPositiveDefiniteError, System
from .sparsified_setup import setup_plane
from .sparsify import Shares

Calls = list[Callable[[], object]]


class PlaneHierarchy(Hierarchy):
    """Levels for V(1,1) on a plane without periodic axes and excess."""

    def __init__(
        self, system: System, shares: Shares | None = None, num_sparsified: int = 1
    ) -> None:
        num_sparsified = num_sparsified if shares is not None else 0
        faces = [f.detach().contiguous().numpy() for f in system.faces]
        levels, size = plane_layout.layout(*system.shape, num_sparsified, layout.DIRECT)
        self.shapes = [(level.n, level.m) for level in levels]
        store = np.zeros(size, faces[0].dtype)
        setup: Any = plane_setup.setup
        if shares is not None:
            setup = partial(setup_plane, shares=shares, num_sparsified=num_sparsified)
        if not setup(*faces, store, levels, system.singular):
            raise NotPositiveDefiniteError
        store.resize(plane_layout.kept(levels), refcheck=False)  # the rest is for the set-up only
        self._arrays: Any = (*faces, store, levels, num_sparsified)
        self._inner: dict[tuple[int, ...], Calls] = {}

    def run(self, b: Tensor, out: Tensor, cycle: Cycle) -> None:
        for field, result in zip(b.contiguous().numpy(), out.numpy(), strict=True):
            _call(self._calls(field, result))

    def bind(self, b: Tensor, out: Tensor, cycle: Cycle) -> Callable[[], object]:
        return partial(_call, self._calls(b.numpy(), out.numpy()))

    def runs(self, cycle: Cycle) -> bool:
        return cycle == Cycle()

    def __getstate__(self) -> dict[str, Any]:
        # A copy of the views of the store would be arrays of their own.
        return {**self.__dict__, "_inner": {}}

    def _calls(self, b: np.ndarray, out: np.ndarray) -> Calls:
        """The calls of a cycle. The rows of the first levels are divided among threads."""
        if len(self.shapes) == 1:
            return self._solve(b, out)
        parts = row_blocks.counts(self.shapes[:-1], row_blocks.WIDE)
        parts += [1] * (len(self.shapes) - 1 - len(parts))
        if tuple(parts) not in self._inner:
            inner = self._solve(None, None)
            for depth in range(len(parts) - 1, 0, -1):
                down, up = self._level(depth, None, None)
                inner = [*_calls(down, parts[depth]), *inner, *_calls(up, parts[depth])]
            self._inner[tuple(parts)] = inner
        down, up = self._level(0, b, out)
        return [*_calls(down, parts[0]), *self._inner[tuple(parts)], *_calls(up, parts[0])]

    def _solve(self, b: np.ndarray | None, out: np.ndarray | None) -> Calls:
        """The calls on the coarsest level; `b` and `out` only if it is the finest one too."""
        *_, store, levels, _ = self._arrays
        level = levels[-1]
        u, L = plane_layout.nodes(store, level, "u"), plane_layout.factor(store, level)
        right = plane_layout.right_side(store, level) if b is None else b
        solve = partial(plane.solve_band, L, right, np.empty(len(L), L.dtype), u)
        if out is None:
            return [solve]
        return [solve, partial(np.copyto, out, u[1 : level.n + 1, 1 : level.m + 1])]

    def _level(
        self, depth: int, b: np.ndarray | None, out: np.ndarray | None
    ) -> tuple[list["_Split | _Chain"], list["_Split | _Chain"]]:
        """The loops of a level before and after the coarse-grid correction.

        `b` and `out` on the finest level only. On a coarser level with five points rows of b serve
        as `out`: they are not read again.
        """
        *faces, store, levels, num_sparsified = self._arrays
        level, coarse = levels[depth], levels[depth + 1]
        n, m = level.n, level.m
        nine = depth > num_sparsified
        u, r = plane_layout.nodes(store, level, "u"), plane_layout.nodes(store, level, "r")
        c = faces if depth == 0 else plane_layout.couplings(store, level, nine)
        b = plane_layout.right_side(store, level) if b is None else b
        w, lines = plane_layout.cell_weights(store, level), np.zeros((2, m + 2), u.dtype)
        B, U = plane_layout.right_side(store, coarse), plane_layout.nodes(store, coarse, "u")
        if not nine:
            five = (b, u, *c[:2], 1 if depth == 0 else 0, r, w)
            descend = _Split(partial(plane.descend5, *five, B), lines, coarse.n)
            ascend = partial(plane.ascend5, *five, U, b if out is None else out)
            return [descend], [_Chain((ascend,), n, 3)]
        q = plane_layout.line_weights(store, level)
        sweep = partial(plane.sweep9, b, u, *c, r, plane.COLOURS, True)
        restrict = partial(plane.restrict9, b, u, *c, r, q, w, B)
        correct = partial(plane.correct9, u, m, q, w, U)
        back = partial(plane.sweep9, b, u, *c, r, plane.REVERSED, False)
        return [_Chain((sweep,), n, 5), _Split(restrict, lines, coarse.n)], [
            _Chain((correct, back), n, 5)
        ]


@dataclass(frozen=True)
class _Split:
    """A loop(lines, start, end) over rows, which can be divided (`row_blocks.split`)."""

    loop: Callable[[np.ndarray, int, int], object]
    lines: np.ndarray
    rows: int

    def calls(self, parts: int) -> Calls:
        if parts == 1:
            return [partial(self.loop, self.lines, 0, self.rows)]
        return [partial(row_blocks.split, self._part, self.rows, parts)]

    def _part(self, start: int, end: int) -> None:
        self.loop(np.zeros_like(self.lines), start, end)


@dataclass(frozen=True)
class _Chain:
    """Loops over stages of rows, one after the other, which can be divided (`row_blocks.chain`)."""

    loops: tuple[Callable[[row_blocks.Rows], object], ...]
    rows: int
    stages: int

    def calls(self, parts: int) -> Calls:
        if parts == 1:
            every = np.array([(1, self.rows)] * self.stages)
            return [partial(loop, every) for loop in self.loops]
        return [partial(row_blocks.chain, self._part, self.rows, self.stages, parts)]

    def _part(self, rows: row_blocks.Rows) -> None:
        for loop in self.loops:
            loop(rows)


def _calls(loops: Sequence[_Split | _Chain], parts: int) -> Calls:
    return [call for loop in loops for call in loop.calls(parts)]


def _call(calls: Calls) -> None:
    for call in calls:
        call()
