"""Black-box multigrid in a plane without periodic axes or excess, by the loops of `plane.py`."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from ..runtime import row_blocks
from . import layout, plane, plane_layout, plane_setup
from .hierarchy import Cycle, Hierarchy, NotPositiveDefiniteError, System
from .sparsified_setup import setup_plane
from .sparsify import Shares


class PlaneHierarchy(Hierarchy):
    """Levels for V(1,1) on a plane without periodic axes and excess."""

    def __init__(
        self, system: System, shares: Shares | None = None, num_sparsified: int = 1
    ) -> None:
        num_sparsified = num_sparsified if shares is not None else 0
        faces = [f.detach().contiguous().numpy() for f in system.faces]
        table, size = plane_layout.layout(*system.shape, num_sparsified, layout.DIRECT)
        self.shapes = list(zip(table["n"].tolist(), table["m"].tolist(), strict=True))
        store = np.zeros(size, faces[0].dtype)
        setup: Any = plane_setup.setup
        if shares is not None:
            setup = partial(setup_plane, shares=shares, num_sparsified=num_sparsified)
        if not setup(*faces, store, table, system.singular):
            raise NotPositiveDefiniteError
        store.resize(plane_layout.kept(table), refcheck=False)  # the rest is for the set-up only
        self._num_sparsified = num_sparsified
        self._arrays = (*faces, store, table, num_sparsified)

    def run(self, b: Tensor, out: Tensor, cycle: Cycle) -> None:
        for field, result in zip(b.contiguous().numpy(), out.numpy(), strict=True):
            self._bound(field, result)()

    def bind(self, b: Tensor, out: Tensor, cycle: Cycle) -> Callable[[], object]:
        return self._bound(b.numpy(), out.numpy())

    def runs(self, cycle: Cycle) -> bool:
        return cycle == Cycle()

    def _bound(self, b: np.ndarray, out: np.ndarray) -> Callable[[], object]:
        counts = row_blocks.counts(self.shapes[:-1], row_blocks.WIDE)
        if not counts:
            return partial(plane.cycle, b, *self._arrays, 0, out)
        return partial(self._in_blocks, b, out, counts)

    def _in_blocks(self, b: Any, out: Any, counts: list[int]) -> None:
        """The cycle with the rows of the first levels divided among threads."""
        shapes, num_sparsified = self.shapes, self._num_sparsified
        for depth, parts in enumerate(counts):
            arguments = (b, *self._arrays, depth)
            if depth > num_sparsified:
                row_blocks.chain(partial(plane.relax, *arguments), shapes[depth][0], 5, parts)
            row_blocks.split(partial(plane.restrict, *arguments), shapes[depth + 1][0], parts)
        plane.cycle(b, *self._arrays, len(counts), out)
        for depth, parts in reversed(list(enumerate(counts))):
            correct = partial(plane.correct, b, *self._arrays, depth, out)
            stages = 5 if depth > num_sparsified else 3
            row_blocks.chain(correct, shapes[depth][0], stages, parts)
