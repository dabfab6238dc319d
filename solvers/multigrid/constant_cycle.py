"""Multigrid for a constant coefficient: nothing is stored but the fields."""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from ...domain import Boundary, Grid, Placement
from ...kernels.blackbox import layout
from ...kernels.runtime import bands
from ..operators.diffusion import Diffusion
from .box_cycle import BoxCycle
from .cycle import Cycle, CycleSpec, divided, zeros

SMALLEST = 31  # unknowns of an axis that `ConstantCycle` still halves


class ConstantCycle(Cycle):
    """V(1,1) on re-discretised operators by `kernels/constant.py`; `BoxCycle` from where a number
    of unknowns is even or small."""

    def __init__(self, A: Diffusion) -> None:
        assert A.constant is not None
        a, c = A.constant
        shape, self.shapes = A.grid.shape, [A.grid.shape]
        while all(n % 2 and n >= SMALLEST for n in shape):
            shape = tuple(n // 2 for n in shape)
            self.shapes.append(shape)
        self.num_halved = len(self.shapes) - 1
        weights = []
        for level in self.shapes:
            w = [a * ((n + 1) / L) ** 2 for n, L in zip(level, A.grid.extent, strict=True)]
            middle = w[1:-1] or [0.0]
            weights.append([w[0], *middle, w[-1], 1 / (2 * sum(w) + c)])
        table, size = self._kernels.layout(self.shapes)
        store = zeros(size, A.dtype)
        last = table[-1]
        inner = (slice(1, -1), slice(1, -1) if A.ndim == 3 else slice(None), slice(1, -1))
        l, n, m = (int(k) for k in last[:3])
        rows = n + 2 * (A.ndim == 3)
        u = store[int(last[3]) : int(last[4])].view(l + 2, rows, m + 2)
        self._coarse_u = u[inner]
        self._coarse_b = store[int(last[4]) :].view(1, *shape)
        coarse = Grid(shape, A.grid.extent, A.grid.boundary, "interior")
        self._coarse = BoxCycle(Diffusion(torch.full(shape, a, dtype=A.dtype), coarse, reaction=c))
        self.shapes += self._coarse.shapes[1:]
        self._coarse_out = torch.empty_like(self._coarse_b)
        self._middle = A.ndim == 2
        deep = A.ndim == 3
        self._arguments = (store.numpy(), table, torch.tensor(weights, dtype=A.dtype).numpy(), deep)

    @property
    def _kernels(self) -> Any:
        from ...kernels.constant import cpu as constant

        return constant  # looked up each time: a cycle is pickled, a module is not

    def __call__(self, b: Tensor, out: Tensor, spec: CycleSpec) -> None:
        if self._middle:
            b, out = b.unsqueeze(2), out.unsqueeze(2)
        wide = divided(self.shapes[: self.num_halved], bands.WIDE)
        for field, result in zip(b.numpy(), out.numpy(), strict=True):
            for level, parts in enumerate(wide):
                restrict = partial(self._kernels.restrict, field, *self._arguments, level)
                bands.split(restrict, self.shapes[level + 1][0], parts)
            self._kernels.down(field, *self._arguments, len(wide))
            self._coarse(self._coarse_b, self._coarse_out, spec)
            self._coarse_u.copy_(self._coarse_out.view(self._coarse_u.shape))
            self._kernels.up(field, *self._arguments, len(wide), result)
            for level, parts in reversed(list(enumerate(wide))):
                correct = partial(self._kernels.correct, field, *self._arguments, level, result)
                bands.chain(correct, self.shapes[level][0], 3, parts)

    @staticmethod
    def fits(A: Diffusion, spec: CycleSpec) -> bool:
        """Constant coefficient, zero sides at nodes, spacings alike, at least one odd halving."""
        return (
            A.constant is not None
            and spec == CycleSpec()
            and A.ndim in (2, 3)
            and all(
                b is Boundary.DIRICHLET and p is Placement.INTERIOR
                for b, p in zip(A.grid.boundary, A.grid.placement, strict=True)
            )
            and all(n % 2 and n >= SMALLEST for n in A.grid.shape)
            and min(A.grid.spacing) ** 2 >= layout.STRONG * max(A.grid.spacing) ** 2
        )
