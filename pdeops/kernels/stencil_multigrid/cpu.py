"""Multigrid for stencils of 3^d points by compiled loops (`loops.py`) on a CPU.

A cycle is a list of calls of loops on one level each. On large levels a loop is divided among
threads: rows of one colour, lines of one colour, and rows of a residual are not coupled.
"""

from collections.abc import Callable, Iterator
from copy import copy
from functools import partial
from itertools import pairwise, product
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..blackbox import Cycle, Hierarchy
from ..blackbox.layout import ASCEND, DESCEND, EXACT, PROLONG, RESTRICT, START, schedule
from ..runtime import row_blocks
from ..runtime.threads import side_by_side
from . import layout, loops, reference
from .layout import Grid
from .problem import Colour, Line, StencilSystem

Call = Callable[[], object]


class Rows:
    """The rows of a transfer between a level and the next one.

    Attributes:
        cells, nodes: indices of the first node of each row, and of fine node 2I for it.
        m: number of nodes in a row.
    """

    def __init__(self, grid: Grid, first: int) -> None:
        starts = [first if c else 1 for c in grid.coarsen]
        ranges = [range(s, n + 1) for s, n in zip(starts, grid.coarse, strict=True)]
        wide = tuple(s * (2 if c else 1) for s, c in zip(grid.stride, grid.coarsen, strict=True))
        coarse = layout.strides(grid.coarse_size)
        self.cells = layout.rows(ranges[:-1], coarse, starts[-1])
        self.nodes = layout.rows(ranges[:-1], wide, starts[-1] * wide[-1])
        self.m = len(ranges[-1])
        self.stretch = wide[-1]

    @property
    def arguments(self) -> tuple[Any, ...]:
        return self.cells, self.nodes, self.m, self.stretch

    def parts(self, count: int) -> Iterator["Rows"]:
        """The rows divided among threads."""
        split = (np.array_split(each, count) for each in (self.cells, self.nodes))
        for cells, nodes in zip(*split, strict=True):
            part = copy(self)
            part.cells, part.nodes = cells, nodes
            yield part


def galerkin(grid: Grid, entries: Tensor, weights: Tensor) -> Tensor:
    """The entries of Pᵀ A P; twin: `reference.galerkin`."""
    result = entries.new_zeros((len(entries), *grid.coarse_size))
    rows = Rows(grid, 1)
    arrays = (entries.flatten(1).numpy(), weights.flatten(1).numpy(), layout.galerkin(grid))
    out = result.flatten(1).numpy()

    def some(start: int, end: int) -> None:
        cells, nodes = rows.cells[start:end], rows.nodes[start:end]
        loops.galerkin(*arrays, cells, nodes, rows.m, rows.stretch, out)

    num_blocks = row_blocks.count(entries[0].numel(), row_blocks.WIDE // 8)
    row_blocks.split(some, len(rows.cells), num_blocks)
    return result


class Level:
    """The arrays of a level for the loops, and the calls that make up a cycle on it."""

    def __init__(self, level: reference.Level, sweep: list[Colour]) -> None:
        self.grid = grid = level.grid
        self.a = level.entries.flatten(1).numpy()
        self.scale = level.scale.flatten().numpy()
        self.pivots = {slope: p.flatten().numpy() for slope, p in level.pivots.items()}
        self.inverse = None if level.inverse is None else level.inverse.numpy()
        self.steps = np.array([layout.flat(o, grid.stride) for o in grid.offsets], np.int64)
        self.u, self.b, self.r = (np.zeros(grid.num_stored, self.a.dtype) for _ in range(3))
        self.m = grid.n[-1]
        ranges = [range(1, n + 1) for n in grid.n[:-1]]
        self.num_blocks = row_blocks.count(grid.num_stored, row_blocks.WIDE)
        self.all_rows = self._parts(layout.rows(ranges, grid.stride, 1))
        self.sweep = sweep
        if level.weights is None:
            return
        self.w = level.weights.flatten(1).numpy()
        self.down, self.up = Rows(grid, 1), Rows(grid, 0)
        self.table = _table(grid)

    def _parts(self, rows: np.ndarray) -> list[np.ndarray]:
        """Rows divided among threads."""
        return [np.ascontiguousarray(p) for p in np.array_split(rows, self.num_blocks)]

    def smooth(self, mirrored: bool, from_zero: bool) -> Iterator[Call]:
        """A sweep."""
        if self.sweep and isinstance(self.sweep[0], Line):
            for colour in reversed(self.sweep) if mirrored else self.sweep:
                assert isinstance(colour, Line)
                yield self._lines(colour)
            return
        leading = list(product((0, 1), repeat=self.grid.ndim - 1))
        for parity in reversed(leading) if mirrored else leading:
            ranges = [range(2 - p, n + 1, 2) for p, n in zip(parity, self.grid.n, strict=False)]
            rows = layout.rows(ranges, self.grid.stride, 1)
            if len(rows):
                last = 1 if from_zero else len(self.steps)
                yield self._points(rows, last, 1 if mirrored else 0)
            from_zero = False

    def _points(self, rows: np.ndarray, last: int, parity: int) -> Call:
        arrays = (self.u, self.b, self.a, self.scale, self.steps, last)
        parts = self._parts(rows)
        return _together(
            [partial(loops.relax_points, *arrays, p, self.m, parity, self._work()) for p in parts]
        )

    def _work(self) -> np.ndarray:
        """A row for one thread."""
        return np.empty(self.grid.size[-1], self.a.dtype)

    def _lines(self, line: Line) -> Call:
        n, m = self.grid.n
        first, last = min(1 - line.slope, 1 - line.slope * n), max(m, m - line.slope * n) + 1
        ends = np.linspace(first, last, self.num_blocks + 1).round().astype(int).tolist()
        pivots = self.pivots[line.slope]
        fixed = (self.u, self.b, self.a, pivots, self.steps, line.slope, line.colour, line.colours)
        calls: list[Call] = [
            partial(loops.relax_lines, *fixed, n, m, *pair, self._work()) for pair in pairwise(ends)
        ]
        return _together(calls)

    def residual(self) -> Call:
        """r = b - A u."""
        arrays = (self.u, self.b, self.a, self.steps)
        return _together(
            [partial(loops.residual, *arrays, part, self.m, self.r) for part in self.all_rows]
        )

    def restrict(self, values: np.ndarray, coarse: "Level") -> Call:
        """The next right-hand side: Pᵀ of the values."""
        arrays = (values, self.w, self.table)
        return _together(
            [
                partial(loops.restrict, *arrays, *rows.arguments, coarse.b)
                for rows in self.down.parts(self.num_blocks)
            ]
        )

    def prolong(self, coarse: "Level") -> Call:
        """u += P U."""
        arrays = (coarse.u, self.w, self.table)
        return _together(
            [
                partial(loops.prolong, *arrays, *rows.arguments, self.u, self._work())
                for rows in self.up.parts(self.num_blocks)
            ]
        )

    def exact(self) -> Call:
        """u = A⁻¹ b on the coarsest level."""
        inside = self.grid.inside()
        b, u = self.b.reshape(self.grid.size)[inside], self.u.reshape(self.grid.size)[inside]

        def solve() -> None:
            u[...] = (self.inverse @ b.reshape(-1)).reshape(u.shape)

        return solve


def _table(grid: Grid) -> np.ndarray:
    """Rows (node, coarse node, node seen from the coarse node) of `layout.transfers`, flat
    distances."""
    table = layout.transfers(grid)
    wide = tuple(s * (2 if c else 1) for s, c in zip(grid.stride, grid.coarsen, strict=True))
    back = [layout.flat(corner, wide) for _, corner in grid.weights]
    return np.column_stack((table, table[:, 0] - back))


def _together(calls: list[Call]) -> Call:
    """The calls in threads; a single one by itself."""
    return calls[0] if len(calls) == 1 else partial(side_by_side, calls)


class CpuHierarchy(Hierarchy):
    """Levels for any cycle of Gauss-Seidel in float64 or float32."""

    def __init__(self, system: StencilSystem) -> None:
        levels = reference.build(system, galerkin)
        self._order = system.order
        sweep = system.sweep()
        self._levels = [Level(level, sweep) for level in levels]
        back = [self._order.index(a) for a in range(len(self._order))]
        self.shapes = [tuple(level.grid.n[a] for a in back) for level in levels]
        self._programs: dict[Cycle, list[Call]] = {}

    def run(self, b: Tensor, out: Tensor, cycle: Cycle) -> None:
        for one, result in zip(b, out, strict=True):
            self.bind(one, result, cycle)()

    def bind(self, b: Tensor, out: Tensor, cycle: Cycle) -> Call:
        if cycle not in self._programs:
            self._programs[cycle] = list(self._program(cycle))
        first = self._levels[0]
        inside = first.grid.inside()
        rhs, u = (v.reshape(first.grid.size)[inside] for v in (first.b, first.u))
        given, result = (v.detach().numpy().transpose(self._order) for v in (b, out))
        return partial(_run, rhs, given, self._programs[cycle], u, result)

    def _program(self, cycle: Cycle) -> Iterator[Call]:
        """The calls of a cycle in their order."""
        for step, i in schedule(len(self._levels), cycle.kind).tolist():
            level = self._levels[i]
            coarse = self._levels[min(i + 1, len(self._levels) - 1)]
            if step == EXACT:
                yield level.exact()
            elif step == RESTRICT:
                yield level.restrict(level.b, coarse)
            elif step == PROLONG:
                yield partial(level.u.fill, 0)
                yield level.prolong(coarse)
            elif step == ASCEND:
                yield level.prolong(coarse)
                for _ in range(cycle.post):
                    yield from level.smooth(cycle.mirrored, False)
            else:
                assert step in (START, DESCEND)
                if step == START:
                    yield partial(level.u.fill, 0)
                for sweep in range(cycle.pre):
                    yield from level.smooth(False, step == START and sweep == 0)
                yield level.residual()
                yield level.restrict(level.r, coarse)


def _run(
    rhs: np.ndarray, given: np.ndarray, calls: list[Call], u: np.ndarray, result: np.ndarray
) -> None:
    rhs[...] = given
    for call in calls:
        call()
    result[...] = u


def set_up(system: StencilSystem) -> Hierarchy:
    """Same as `stencil_multigrid.set_up`."""
    with torch.no_grad():
        return CpuHierarchy(system)
