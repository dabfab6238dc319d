"""A level of black-box multigrid in plain torch: part of the twin that `blackbox/reference.py`
describes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from .layout import padded
from .sparsify import Offset


@dataclass
class Level:
    """One grid.

    Attributes:
        n: unknowns per axis.
        wrap: which axes are periodic.
        couplings: to the neighbour in each direction; valid at the unknowns.
        excess: e at the unknowns.
        coarsen: the axes on which the next level has half as many nodes.
        followed: the axes along which lines are solved.
        weights: of P, by digits (`blackbox/reference.py`).
        inverse: of A, on the coarsest level.
        lines: inverse pivots of lines and their borders, by axis (`blackbox/relax_reference.py`).
    """

    n: tuple[int, ...]
    wrap: tuple[bool, ...]
    couplings: dict[Offset, Tensor]
    excess: Tensor
    coarsen: tuple[bool, ...]
    followed: tuple[int, ...] = ()
    weights: dict[Offset, Tensor] = field(default_factory=dict)
    inverse: Tensor | None = None
    lines: dict[int, tuple[list[Tensor], list[Tensor] | None]] = field(default_factory=dict)
    # Not `cached_property`, whose lock (Python 3.11) torch.compile cannot record.
    _diagonal: Tensor | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def diagonal(self) -> Tensor:
        """The diagonal of A: the sum of the couplings of a node plus its excess."""
        if self._diagonal is None:
            self._diagonal = sum(self.couplings.values(), self.excess)
        return self._diagonal

    @property
    def inside(self) -> Any:
        """The index of the unknowns in a field of stored nodes."""
        return (..., *(slice(1, n + 1) for n in self.n))

    def batch(self, u: Tensor) -> torch.Size:
        """The batch axes of a field u after multiplication by the couplings of this level."""
        ndim = len(self.n)
        return torch.broadcast_shapes(u.shape[:-ndim], self.excess.shape[:-ndim])

    @property
    def N(self) -> tuple[int, ...]:
        """Unknowns per axis of the next level."""
        return tuple(n // 2 if c else n for n, c in zip(self.n, self.coarsen, strict=True))


def pad(u: Float[Tensor, "*b_n"], ndim: int) -> Float[Tensor, "*b_stored"]:
    """Values at the unknowns with zeros around them."""
    return F.pad(u, [w for n in reversed(u.shape[-ndim:]) for w in (1, padded(n) - n - 1)])


def sync(u: Tensor, n: Sequence[int], wrap: Sequence[bool]) -> Tensor:
    """Fill the ghosts of periodic axes in place; returns u."""
    for a, k in enumerate(n):
        if wrap[a]:
            v = u.movedim(a - len(n), 0)
            v[0] = v[k]
            for g in range(k + 1, len(v)):
                v[g] = v[g - k]
    return u


def shift(u: Tensor, delta: Offset) -> Tensor:
    """The value of the neighbour p + δ at p."""
    return u.roll(tuple(-d for d in delta), tuple(range(-len(delta), 0)))


def residual(u: Tensor, b: Tensor, level: Level) -> Tensor:
    """b - A u at the unknowns, zero elsewhere."""
    r = b - level.excess * u
    for delta, c in level.couplings.items():
        r = r + c * (shift(u, delta) - u)
    return pad(r[level.inside], len(level.n))
