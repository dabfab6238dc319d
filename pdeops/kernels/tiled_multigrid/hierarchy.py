"""The levels of an operator, computed by the parts of tiled multigrid, and cycles on them."""

from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from .. import tiled_multigrid as parts
from ..blackbox import layout
from ..blackbox.hierarchy import Cycle, Hierarchy, NotPositiveDefiniteError, System
from ..blackbox.layout import ASCEND, DESCEND, EXACT, PROLONG, RESTRICT, START, padded
from ..blackbox.ordered import Ordered
from ..blackbox.reference import invert
from ..blackbox.sparsify import Shares, Stencil, sparsify
from .level import TiledLevel, from_faces, offsets


class TiledHierarchy(Hierarchy):
    """Levels for cycles of damped Jacobi, Chebyshev, or lines; no gradient.

    Args:
        lines, shares, num_sparsified: as for `blackbox.set_up`. A sparsified level has couplings
            along the axes alone, of which the kernels read fewer.

    Attributes:
        levels: finest first; their axes are permuted (`order`).
        order: the axes of the grid in the order of the levels.
    """

    def __init__(
        self,
        system: System,
        lines: tuple[int, ...] = (),
        shares: Shares | None = None,
        num_sparsified: int = 1,
    ) -> None:
        ordered = Ordered.of(system, lines)
        table, _, _ = ordered.layout()
        ndim = len(ordered.n)
        self.shapes = ordered.shapes(table)
        self.order = ordered.order
        self._lines = ordered.lines
        self._sweep = layout.sweep([True] * ndim, ordered.lines).tolist()
        flags = [tuple(c) for c in layout.coarsened(table, ndim)]
        none = (False,) * ndim
        level = from_faces(ordered.faces, ordered.excess, [*flags, none][0])
        self.levels: list[TiledLevel] = []
        for coarsen in [*flags[1:], none][: len(flags)]:
            pivots = {axis: parts.line_pivots(level, axis) for axis in self._lines}
            level = replace(level, pivots=pivots)
            level = replace(level, w=parts.weights(level, self._lines))
            self.levels.append(level)
            e = None if level.e is None else parts.restrict(level, None, level.e[None])[0]
            c = parts.coarse_couplings(level)
            if shares is not None and len(self.levels) <= num_sparsified:
                c = sparsified(c, level.N, shares)
            level = TiledLevel(level.N, c, e, coarsen)
        try:
            level = replace(level, inverse=invert(level.plain, system.singular))
        except torch.linalg.LinAlgError:
            raise NotPositiveDefiniteError from None
        self.levels.append(level)

    def runs(self, cycle: Cycle) -> bool:
        """Gauss-Seidel by points depends on the order of the nodes."""
        return bool(cycle.lengths) != bool(self._lines)

    def stored(self, b: Float[Tensor, "m *space"]) -> Float[Tensor, "m *stored"]:
        """Fields on the grid as fields of the finest level, in their dtype."""
        finest = self.levels[0]
        rhs = b.new_zeros((len(b), *map(padded, finest.n)))
        rhs[finest.inside] = b.permute(0, *(1 + a for a in self.order))
        return rhs

    def fields(self, u: Float[Tensor, "m *stored"]) -> Float[Tensor, "m *space"]:
        """The fields on the grid, as a view."""
        back = [1 + self.order.index(a) for a in range(len(self.order))]
        return u[self.levels[0].inside].permute(0, *back)

    def run(self, b: Tensor, out: Tensor, cycle: Cycle) -> None:
        out.copy_(self.fields(self.cycle(self.stored(b), cycle)))

    def cycle(self, b: Float[Tensor, "m *stored"], cycle: Cycle) -> Float[Tensor, "m *stored"]:
        """M b on stored nodes: a cycle from zero."""
        u: dict[int, Tensor | None] = {}
        rhs = {0: b}
        for step, i in schedule(len(self.levels), cycle.kind):
            level = self.levels[i]
            if step == EXACT:
                u[i] = exact(level, rhs[i])
            elif step == RESTRICT:
                rhs[i + 1] = parts.restrict(level, None, rhs[i])
            elif step == PROLONG:
                u[i] = parts.smooth(level, None, rhs[i], (), u[i + 1])
            elif step == ASCEND:
                u[i] = self._smooth(level, u[i], rhs[i], cycle, cycle.post, u[i + 1])
            else:
                assert step in (START, DESCEND)
                before = None if step == START else u[i]
                u[i] = self._smooth(level, before, rhs[i], cycle, cycle.pre, None)
                rhs[i + 1] = parts.restrict(level, u[i], rhs[i])
        result = u[0]
        assert result is not None
        return result

    def _smooth(
        self,
        level: TiledLevel,
        u: Tensor | None,
        b: Tensor,
        cycle: Cycle,
        sweeps: int,
        U: Tensor | None,
    ) -> Tensor:
        """u + P U after sweeps; in reversed order of the colours if it was corrected."""
        if cycle.lengths:
            return parts.smooth(level, u, b, sweeps * cycle.lengths, U)
        u = torch.zeros_like(b) if u is None else u
        if U is not None:
            u = parts.smooth(level, u, b, (), U)
        reverse = U is not None and cycle.mirrored
        for axis, *start in sweeps * (self._sweep[::-1] if reverse else self._sweep):
            u = parts.smooth_lines(level, u, b, axis, start)
        return u


def sparsified(
    c: Float[Tensor, "k *stored"], n: tuple[int, ...], shares: Shares
) -> Float[Tensor, "d *stored"]:
    """The couplings along the axes alone (`blackbox/sparsify.py`)."""
    ndim = len(n)
    stencil = Stencil(n, dict(zip(offsets(ndim), c, strict=True)))
    along = sparsify(stencil, shares(stencil))
    result = c.new_zeros((ndim, *c.shape[1:]))
    for k, offset in enumerate(offsets(ndim, ndim)):
        axis = offset.index(1)
        here: Any = tuple(slice(0 if a == axis else 1, m + 1) for a, m in enumerate(n))
        result[k][here] = along[axis][here]
    return result


def schedule(levels: int, kind: str) -> list[list[int]]:
    """The steps of a cycle (`layout.schedule`)."""
    return layout.schedule(levels, kind).tolist()


# The mark of `torch.compiler.assume_constant_result`, which imports torch._dynamo.
schedule._dynamo_marked_constant = True  # type: ignore[attr-defined]


def exact(level: TiledLevel, b: Float[Tensor, "m *stored"]) -> Float[Tensor, "m *stored"]:
    """A⁻¹ b on the coarsest level."""
    assert level.inverse is not None
    inner = b[level.inside]
    u = b.new_zeros((len(b), *map(padded, level.n)))
    u[level.inside] = (inner.flatten(1) @ level.inverse).view(inner.shape)
    return u
