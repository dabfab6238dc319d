"""Geometric multigrid for a constant coefficient by compiled loops (numba)."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ..blackbox.box_hierarchy import BoxHierarchy
from ..blackbox.hierarchy import Cycle, Hierarchy
from ..runtime import row_blocks
from ..runtime.memory import zeros
from . import loops
from .layout import layout
from .problem import Constant


class ConstantHierarchy(Hierarchy):
    """Levels for V(1,1) by points; black-box multigrid solves the first level of which a number of
    unknowns is even or small."""

    def __init__(self, problem: Constant, like: Tensor) -> None:
        halved = problem.halved()
        self.num_halved = len(halved) - 1
        ndim, dtype = len(problem.shape), like.dtype
        weights = []  # per level: the couplings on three axes, and 1 / diagonal
        for shape in halved:
            w = problem.couplings(shape)
            weights.append([w[0], *(w[1:-1] or [0.0]), w[-1], 1 / (2 * sum(w) + problem.c)])
        self._weights = torch.tensor(weights, dtype=dtype).numpy()
        self._table, size = layout(halved)
        self._store = zeros(size, dtype)
        self._coarse = BoxHierarchy(problem.coarse_system(like))
        self.shapes = halved + self._coarse.shapes[1:]
        self._is_box = ndim == 3

    def run(self, b: Tensor, out: Tensor, cycle: Cycle) -> None:
        for field, result in zip(b.contiguous(), out, strict=True):
            self.bind(field, result, cycle)()

    def bind(self, b: Tensor, out: Tensor, cycle: Cycle) -> Callable[[], object]:
        if not self._is_box:
            b, out = b.unsqueeze(1), out.unsqueeze(1)
        counts = row_blocks.counts(self.shapes[: self.num_halved], row_blocks.WIDE)
        return partial(self._apply, b.numpy(), out.numpy(), *self._coarse_solver(), counts)

    def _coarse_solver(self) -> tuple[Callable[[], object], Tensor, Tensor]:
        """The cycle on the last of these levels; its result, and where `loops.up` reads it."""
        last, shape = self._table[-1], self.shapes[self.num_halved]
        u = self._store[int(last["u"]) : int(last["b"])].view([n + 2 for n in shape])
        inner = u[(slice(1, -1),) * len(shape)]
        b = self._store[int(last["b"]) :].view(shape)
        out = torch.empty_like(b)
        return self._coarse.bind(b, out, Cycle()), out, inner

    def runs(self, cycle: Cycle) -> bool:
        return cycle == Cycle()

    def _apply(
        self,
        b: np.ndarray,
        out: np.ndarray,
        solve_coarse: Callable[[], object],
        solution: Tensor,
        coarse_u: Tensor,
        counts: list[int],
    ) -> None:
        """The cycle, with the rows of the first levels divided among threads."""
        levels = (self._store.numpy(), self._table, self._weights, self._is_box)
        for depth, parts in enumerate(counts):
            restrict = partial(loops.restrict, b, *levels, depth)
            row_blocks.split(restrict, self.shapes[depth + 1][0], parts)
        loops.down(b, *levels, len(counts))
        solve_coarse()
        coarse_u.copy_(solution)
        loops.up(b, *levels, len(counts), out)
        for depth, parts in reversed(list(enumerate(counts))):
            correct = partial(loops.correct, b, *levels, depth, out)
            row_blocks.chain(correct, self.shapes[depth][0], 3, parts)


def set_up(problem: Constant, like: Tensor) -> Hierarchy:
    """Same as `constant.set_up`."""
    return ConstantHierarchy(problem, like)
