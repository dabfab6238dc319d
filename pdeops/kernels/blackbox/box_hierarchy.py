"""Black-box multigrid on any box by the loops of `box.py`."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..runtime import row_blocks
from ..runtime.memory import zeros
from . import box, box_setup, layout
from .hierarchy import Cycle, Hierarchy, NotPositiveDefiniteError, System
from .ordered import Ordered
from .relax import extent, rows
from .sparsified_setup import setup_box
from .sparsify import Shares


class BoxHierarchy(Hierarchy):
    """Levels for any cycle in one to three dimensions."""

    def __init__(
        self,
        system: System,
        lines: tuple[int, ...] = (),
        shares: Shares | None = None,
        num_sparsified: int = 1,
    ) -> None:
        ordered = Ordered.of(system, lines)
        missing, ndim = ordered.num_missing, len(ordered.n)
        lead = (1,) * missing
        faces = [f.contiguous().reshape(lead + tuple(f.shape)).numpy() for f in ordered.faces]
        excess = faces[0][:0]
        if ordered.excess is not None:
            excess = ordered.excess.contiguous().reshape(lead + tuple(ordered.n)).numpy()
        table, number, size = ordered.layout(num_sparsified if shares is not None else 0)
        self.shapes = ordered.shapes(table)
        self._order, self._missing = ordered.order, missing
        store = zeros(size, system.faces[0].dtype).numpy()
        present = [False] * missing + [True] * ndim
        offsets = layout.half_stencil(present)
        sweep = layout.sweep(present, [missing + a for a in ordered.lines])
        wrap = np.array([False] * missing + ordered.periodic)
        levels = (store, table, offsets)
        coarsest = (number, wrap, ordered.excess is not None)
        three = [faces[0]] * missing + faces
        setup: Any = box_setup.setup
        if shares is not None:
            setup = partial(setup_box, shares=shares, num_sparsified=num_sparsified)
        if not setup(*three, excess, *levels, *coarsest, system.singular):
            raise NotPositiveDefiniteError
        self._arguments = (*levels, sweep, *coarsest)
        self._divisible = ndim > 1 and not any(ordered.periodic)
        self._has_lines = bool(lines)

    def run(self, b: Tensor, out: Tensor, cycle: Cycle) -> None:
        for field, result in zip(b.contiguous(), out, strict=True):
            self.bind(field, result, cycle)()

    def bind(self, b: Tensor, out: Tensor, cycle: Cycle) -> Callable[[], object]:
        # The fields on three axes, in the order of the loops.
        three = (None,) * self._missing
        field, result = (u.permute(self._order)[three].numpy() for u in (b, out))
        steps = layout.schedule(len(self.shapes), cycle.kind)
        lengths = torch.tensor(cycle.lengths, dtype=b.dtype).numpy()
        how = (cycle.pre, cycle.post, cycle.mirrored), lengths
        if counts := self._counts(cycle):
            visit = partial(self._visit_in_blocks, steps.tolist(), cycle, how, counts)
        else:
            visit = partial(box.visit, *self._arguments, steps, *how)
        return partial(self._apply, field, visit, result)

    def _apply(self, field: np.ndarray, visit: Callable[[], object], result: np.ndarray) -> None:
        store, table, *_ = self._arguments
        box.load(field, store, table)
        visit()
        box.unload(store, table, result)

    def _counts(self, cycle: Cycle) -> list[int]:
        """The numbers of row blocks of the first levels."""
        if not self._divisible or cycle.lengths:
            return []
        # Each colour is divided separately. A colour of points takes less time than one of lines.
        least = row_blocks.WIDE if self._has_lines else row_blocks.VAST
        return row_blocks.counts(self.shapes[:-1], least)

    def _visit_in_blocks(
        self, steps: list[list[int]], cycle: Cycle, how: tuple, counts: list[int]
    ) -> None:
        """`box.visit` with the rows of the first levels divided among threads."""
        for what, depth in steps:
            divisible = what in (layout.START, layout.DESCEND, layout.ASCEND)
            if divisible and depth < len(counts):
                self._divide(what, depth, cycle, counts[depth])
            else:
                box.visit(*self._arguments, np.array([(what, depth)]), *how)

    def _divide(self, what: int, depth: int, cycle: Cycle, parts: int) -> None:
        """One step of `box.visit` on a level whose rows are divided among threads."""
        store, table, offsets, sweep, _, wrap, has_e = self._arguments
        level_rows, coarse_rows = (rows(level) for level in table[depth : depth + 2])

        def divide(loop: Any, num_rows: int, *arguments: Any) -> None:
            row_blocks.split(partial(loop, store, table, *arguments), num_rows, parts)

        up = what == layout.ASCEND
        if up:
            divide(box.prolong_rows, coarse_rows + 1, depth)
        elif what == layout.START:
            divide(box.clear, int(table[depth]["num_stored"]), depth)
        from_zero = what == layout.START
        for _ in range(cycle.post if up else cycle.pre):
            for step in reversed(sweep) if up and cycle.mirrored else sweep:
                num_rows = extent(table[depth], step[0])
                divide(box.relax_part, num_rows, offsets, depth, wrap, step, from_zero)
                from_zero = False
        if not up:
            divide(box.residual_rows, level_rows, offsets, depth, has_e)
            divide(box.restrict_rows, coarse_rows, depth)
