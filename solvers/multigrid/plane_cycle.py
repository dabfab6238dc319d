"""Multigrid in the plane, where it is wanted most."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...kernels.blackbox import layout
from ...kernels.blackbox.collapse import Shares
from ...kernels.runtime import bands
from ..operators.diffusion import Diffusion
from .cycle import Cycle, CycleSpec, NotPositiveError, divided
from .smoothers import strength


class PlaneCycle(Cycle):
    """V(1,1) by `kernels/blackbox/plane.py`."""

    def __init__(self, A: Diffusion, shares: Shares | None = None, thin: int = 1) -> None:
        from ...kernels.blackbox import (
            plane_layout as blackbox_plane_layout,
        )
        from ...kernels.blackbox import (
            plane_setup as blackbox_plane_setup,
        )

        thin = thin if shares is not None else 0
        table, size = blackbox_plane_layout.layout(*A.grid.shape, thin, layout.DIRECT)
        self.shapes = [(n, m) for n, m in table[:, :2].tolist()]
        store = np.zeros(size, dtype=torch.empty(0, dtype=A.dtype).numpy().dtype)
        setup: Any = blackbox_plane_setup.setup
        if shares is not None:
            from ...kernels.blackbox.thin import setup_plane

            setup = partial(setup_plane, shares=shares, thin=thin)
        faces = [f.detach().contiguous().numpy() for f in A.faces]
        if not setup(*faces, store, table, not A.positive_definite):
            raise NotPositiveError
        store.resize(blackbox_plane_layout.kept(table), refcheck=False)  # gives back two fields
        self._thin = thin
        self._arrays = (*faces, store, table, thin)

    @property
    def _kernels(self) -> Any:
        from ...kernels.blackbox import plane as blackbox_plane

        return blackbox_plane  # looked up each time: a cycle is pickled, a module is not

    def __call__(self, b: Tensor, out: Tensor, spec: CycleSpec) -> None:
        for field, result in zip(b.numpy(), out.numpy(), strict=True):
            self._run(field, result)()

    def bind(self, b: Tensor, out: Tensor, spec: CycleSpec) -> Callable[[], object]:
        return self._run(b.numpy(), out.numpy())

    def _run(self, b: Any, out: Any) -> Callable[[], object]:
        wide = divided(self.shapes[:-1], bands.WIDE)
        if not wide:
            return partial(self._kernels.cycle, b, *self._arrays, 0, out)
        return partial(self._run_wide, b, out, wide)

    def _run_wide(self, b: Any, out: Any, wide: list[int]) -> None:
        """Threads share the levels that are wide."""
        kernels, thin = self._kernels, self._thin
        for level, parts in enumerate(wide):
            arguments = (b, *self._arrays, level)
            if level > thin:
                bands.chain(partial(kernels.relax, *arguments), self.shapes[level][0], 5, parts)
            bands.split(partial(kernels.restrict, *arguments), self.shapes[level + 1][0], parts)
        kernels.cycle(b, *self._arrays, len(wide), out)
        for level, parts in reversed(list(enumerate(wide))):
            correct = partial(kernels.correct, b, *self._arrays, level, out)
            stages = 5 if level > thin else 3
            bands.chain(correct, self.shapes[level][0], stages, parts)

    @staticmethod
    def fits(A: Diffusion, spec: CycleSpec) -> bool:
        """A plane without ghosts and excess, coarsened along both axes, in V(1,1)."""
        return (
            A.ndim == 2
            and spec == CycleSpec()
            and not any(A.periodic)
            and A.excess is None
            and min(strengths := strength(A)) >= layout.STRONG * max(strengths)
        )
