"""Black-box multigrid on any box by the loops of `box.py` and `relax.py`."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from ..runtime import row_blocks
from ..runtime.memory import zeros
from . import box, box_setup, layout
from .box_cycle import Calls, Level, calls_of
from .hierarchy import Cycle, Hierarchy, NotPositiveDefiniteError, System
from .ordered import Ordered
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
        self._sweep = layout.sweep(present, [missing + a for a in ordered.lines])
        wrap = np.array([False] * missing + ordered.periodic)
        levels = (store, table, offsets)
        coarsest = (number, wrap, ordered.excess is not None)
        three = [faces[0]] * missing + faces
        setup: Any = box_setup.setup
        if shares is not None:
            setup = partial(setup_box, shares=shares, num_sparsified=num_sparsified)
        if not setup(*three, excess, *levels, *coarsest, system.singular):
            raise NotPositiveDefiniteError
        self._arguments = (*levels, number, wrap, ordered.excess is not None)
        self._levels: list[Level] = []
        self._calls: dict[tuple[Cycle, tuple[int, ...]], Calls] = {}
        self._divisible = ndim > 1 and not any(ordered.periodic)
        self._has_lines = bool(lines)

    def run(self, b: Tensor, out: Tensor, cycle: Cycle) -> None:
        for field, result in zip(b.contiguous(), out, strict=True):
            self.bind(field, result, cycle)()

    def bind(self, b: Tensor, out: Tensor, cycle: Cycle) -> Callable[[], object]:
        # The fields on three axes, in the order of the loops.
        three = (None,) * self._missing
        field, result = (u.permute(self._order)[three].numpy() for u in (b, out))
        calls = self._calls_of(cycle)
        finest = self._levels[0]
        # Tiles pay where the axes are in another order than in the store.
        copy = np.copyto if sorted(self._order) == list(self._order) else box.copy_tiled
        load = partial(copy, finest.unknowns(finest.b), field)
        return partial(_call, [load, *calls, partial(copy, result, finest.unknowns(finest.u))])

    def __getstate__(self) -> dict[str, Any]:
        # A copy of the views of the store would be arrays of their own.
        return {**self.__dict__, "_levels": [], "_calls": {}}

    def _calls_of(self, cycle: Cycle) -> Calls:
        """The calls of a cycle; the rows of the first levels are divided among threads."""
        store, table, offsets, number, wrap, has_e = self._arguments
        if not self._levels:
            following = [*table[1:], None]
            self._levels = [
                Level(store, level, coarse, offsets, wrap, has_e)
                for level, coarse in zip(table, following, strict=True)
            ]
        counts = self._counts(cycle)
        key = cycle, tuple(counts)
        if key not in self._calls:
            parts = counts + [1] * (len(table) - len(counts))
            self._calls[key] = calls_of(self._levels, number, self._sweep, cycle, parts)
        return self._calls[key]

    def _counts(self, cycle: Cycle) -> list[int]:
        """The numbers of row blocks of the first levels."""
        if not self._divisible or cycle.lengths:
            return []
        # Each colour is divided separately. A colour of points takes less time than one of lines.
        least = row_blocks.WIDE if self._has_lines else row_blocks.VAST
        return row_blocks.counts(self.shapes[:-1], least)


def _call(calls: Calls) -> None:
    for call in calls:
        call()
