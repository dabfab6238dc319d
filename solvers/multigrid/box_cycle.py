"""Any multigrid cycle on any box: by compiled loops, and by their twin in plain torch."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...kernels.blackbox import layout
from ...kernels.blackbox.collapse import Shares
from ...kernels.runtime import bands
from ..operators.diffusion import Diffusion
from .cycle import Cycle, CycleSpec, NotPositiveError, divided, zeros
from .smoothers import GaussSeidel, LineGaussSeidel, Smoother, strength

_POINTS = GaussSeidel()


class BoxCycle(Cycle):
    """Any cycle in one to three dimensions by `kernels/blackbox.py`."""

    def __init__(
        self,
        A: Diffusion,
        shares: Shares | None = None,
        smoother: Smoother = _POINTS,
        thin: int = 1,
    ) -> None:
        from ...kernels.blackbox import setup as blackbox_setup

        box = Box.of(A, smoother)
        missing = 3 - A.ndim
        lead = (1,) * missing
        faces = [f.contiguous().reshape(lead + tuple(f.shape)).numpy() for f in box.faces]
        excess = faces[0][:0]
        if box.excess is not None:
            excess = box.excess.contiguous().reshape(lead + tuple(box.excess.shape)).numpy()
        table, number, size = box.hierarchy(thin if shares is not None else 0)
        self.shapes = box.shapes(table)
        self._order, self._missing = box.order, missing
        store = zeros(size, A.dtype).numpy()
        present = [False] * missing + [True] * A.ndim
        offsets, lines = layout.half_stencil(present), box.lines(missing)
        wrap = torch.tensor([False] * missing + box.periodic).numpy()
        levels = (store, table, offsets)
        where = (number, wrap, A.excess is not None)
        three = [faces[0]] * missing + faces
        arguments = (excess, *levels, *where, not A.positive_definite)
        setup: Any = blackbox_setup.setup
        if shares is not None:
            from ...kernels.blackbox.thin import setup_box

            positive = setup_box(three, *arguments, shares, thin)
        else:
            positive = setup(*three, *arguments)
        if not positive:
            raise NotPositiveError
        self._arguments = (*levels, layout.sweep(present, lines), *where)
        self._divisible = A.ndim > 1 and not any(box.periodic)

    @property
    def _kernels(self) -> Any:
        from ...kernels.blackbox import cpu as blackbox

        return blackbox  # looked up each time: a cycle is pickled, a module is not

    def __call__(self, b: Tensor, out: Tensor, spec: CycleSpec) -> None:
        # The fields as the loops take them: on three axes, in their order.
        view = (0, *(1 + a for a in self._order))
        three = (slice(None), *[None] * self._missing)
        fields, results = (u.permute(view)[three].numpy() for u in (b, out))
        store, table, *_ = self._arguments
        steps = layout.schedule(len(self.shapes), spec.kind)
        lengths = torch.tensor(spec.smoother.lengths, dtype=b.dtype).numpy()
        how = (spec.pre, spec.post, spec.mirrored), lengths
        divisible = self._divisible and len(lengths) == 0
        # VAST, since each colour is handed over alone; those of lines take longer.
        least = bands.WIDE if isinstance(spec.smoother, LineGaussSeidel) else bands.VAST
        wide = divided(self.shapes[:-1], least) if divisible else []
        for field, result in zip(fields, results, strict=True):
            self._kernels.load(field, store, table)
            if not wide:
                self._kernels.visit(*self._arguments, steps, *how)
            for what, level in steps.tolist() if wide else ():
                if level < len(wide) and what in (layout.START, layout.DESCEND, layout.ASCEND):
                    self._visit(what, level, spec, wide[level])
                else:
                    self._kernels.visit(*self._arguments, np.array([(what, level)]), *how)
            self._kernels.unload(store, table, result)

    def _visit(self, what: int, level: int, spec: CycleSpec, parts: int) -> None:
        """`visit` of the kernels for one step on a level that threads share."""
        from ...kernels.blackbox.relax import extent, rows

        kernels = self._kernels
        store, table, offsets, sweep, _, wrap, has_e = self._arguments
        own_rows, coarse_rows = (rows(t) for t in table[level : level + 2])
        up = what == layout.ASCEND

        def share(kernel: Any, rows: int, *arguments: Any) -> None:
            bands.split(partial(kernel, store, table, *arguments), rows, parts)

        if up:
            share(kernels.prolong_rows, coarse_rows + 1, level)
        elif what == layout.START:
            share(kernels.clear, int(table[level, layout.S_]), level)
        alone = what == layout.START
        for _ in range(spec.post if up else spec.pre):
            for step in reversed(sweep) if up and spec.mirrored else sweep:
                size = extent(table[level], step[0])
                share(kernels.relax_part, size, offsets, level, wrap, step, alone)
                alone = False
        if not up:
            share(kernels.residual_rows, own_rows, offsets, level, has_e)
            share(kernels.restrict_rows, coarse_rows, level)

    @staticmethod
    def fits(A: Diffusion, spec: CycleSpec) -> bool:
        return A.ndim <= 3


class TwinCycle(Cycle):
    """Any cycle by the plain twin, `kernels/blackbox/reference.py`, on any device."""

    def __init__(
        self,
        A: Diffusion,
        shares: Shares | None = None,
        smoother: Smoother = _POINTS,
        thin: int = 1,
    ) -> None:
        from ...kernels.blackbox import reference

        box = Box.of(A, smoother)
        table, _, _ = box.hierarchy()
        coarsened = layout.coarsened(table, A.ndim)
        self.shapes = box.shapes(table)
        self._order = box.order
        self._sweep = layout.sweep([True] * A.ndim, box.lines()).tolist()
        try:
            self._levels = reference.setup(
                box.faces,
                box.excess,
                box.periodic,
                coarsened,
                not A.positive_definite,
                shares,
                box.lines(),
                thin,
            )
        except torch.linalg.LinAlgError:
            raise NotPositiveError from None

    def __call__(self, b: Tensor, out: Tensor, spec: CycleSpec) -> None:
        from ...kernels.blackbox import reference

        axes = (0, *(1 + a for a in self._order))
        steps = layout.schedule(len(self.shapes), spec.kind).tolist()
        sweeps = (spec.pre, spec.post, spec.mirrored)
        how = (self._sweep, spec.smoother.lengths)
        fields = b.permute(axes)
        out.permute(axes).copy_(reference.cycle(fields, self._levels, steps, sweeps, *how))

    @staticmethod
    def fits(A: Diffusion, spec: CycleSpec) -> bool:
        return True


@dataclass(frozen=True)
class Box:
    """An operator as the cycles for any box take it: no gradients, axes in a good order.

    Where axes are coupled unlike, the strongest comes first: it is coarsened alone, and rows of the
    other, which the loops run along, stay long; or lines follow it, side by side in these rows.
    """

    order: tuple[int, ...]
    n: list[int]
    periodic: list[bool]
    strength: list[float]
    faces: list[Tensor]
    excess: Tensor | None
    followed: tuple[int, ...] = ()

    @classmethod
    def of(cls, A: Diffusion, smoother: Smoother = _POINTS) -> "Box":
        own = strength(A)
        order = tuple(range(A.ndim))
        if min(own) < layout.STRONG * max(own):
            order = tuple(sorted(order, key=lambda a: -own[a]))
        return cls(
            order,
            [A.grid.shape[a] for a in order],
            [A.periodic[a] and A.grid.shape[a] > 1 for a in order],  # one node has no neighbour
            [own[a] for a in order],
            [A.faces[a].detach().permute(order) for a in order],
            None if A.excess is None else A.excess.detach().permute(order),
            smoother.lines(A) if isinstance(smoother, LineGaussSeidel) else (),
        )

    def lines(self, missing: int = 0) -> tuple[int, ...]:
        """The axes that lines follow, in the order of the loops, behind `missing` ones."""
        return tuple(missing + self.order.index(a) for a in self.followed)

    def hierarchy(self, thin: int = 0):
        """The table of levels, the numbers of the coarsest unknowns, and the store's length."""
        missing = 3 - len(self.n)
        return layout.layout(
            [0] * missing + self.n,
            [False] * missing + self.periodic,
            [0.0] * missing + self.strength,
            self.excess is not None,
            thin,
            lines=self.lines(missing),
        )

    def shapes(self, table) -> list[tuple[int, ...]]:
        """Unknowns per axis on each level, axes in the order of the grid."""
        missing = 3 - len(self.n)
        back = sorted(range(len(self.n)), key=lambda a: self.order[a])
        return [tuple(int(row[missing + a]) for a in back) for row in table]
