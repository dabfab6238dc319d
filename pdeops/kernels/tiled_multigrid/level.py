"""A level of tiled multigrid: arrays that hold each coupling once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..blackbox.layout import half_stencil, padded
from ..blackbox.level_reference import Level, shift

Offset = tuple[int, ...]


def offsets(ndim: int, count: int | None = None) -> list[Offset]:
    """The offsets δ_k of the stored couplings, axes first: one of each pair of neighbours."""
    return [tuple(o) for o in half_stencil([True] * ndim).tolist()][:count]


# The mark of `torch.compiler.assume_constant_result`, which imports torch._dynamo.
offsets._dynamo_marked_constant = True  # type: ignore[attr-defined]


def digit_codes(coarsen: Sequence[bool]) -> list[Offset]:
    """The digits (`blackbox/reference.py`) of the stored weights of P. The weight with digits 0 is
    one and is not stored."""
    return list(product(*[(0, 1, 2) if c else (0,) for c in coarsen]))[1:]


def coarse_shape(n: Sequence[int], coarsen: Sequence[bool]) -> list[int]:
    """The stored nodes per axis of the next level."""
    return [padded(k // 2 if c else k) for k, c in zip(n, coarsen, strict=True)]


@dataclass(frozen=True)
class TiledLevel:
    """The operator (A u)_p = Σ_δ c_δ(p) (u_p - u_(p+δ)) + e_p u_p on the unknowns of a box.

    Fields have the shape (m, *stored), m right-hand sides and `padded(n)` nodes per axis; they are
    zero at nodes that are not unknowns.

    Attributes:
        n: unknowns per axis, which have the indices 1 .. n.
        c: c[k] at p couples p and p + δ_k (`offsets`): along the axes alone, or to all neighbours.
            Strides may be 0.
        e: the excess; None for zero.
        coarsen: the axes on which the next level has half as many nodes.
        w: weights of P, (codes, *stored nodes of the next level) (`digit_codes`); None on the
            coarsest level.
        inverse: of A on the coarsest level.
        pivots: inverse pivots of the lines along an axis, by the axes of a line smoother.
    """

    n: tuple[int, ...]
    c: Float[Tensor, "k *stored"]
    e: Float[Tensor, "*stored"] | None
    coarsen: tuple[bool, ...]
    w: Float[Tensor, "codes *coarse"] | None = None
    inverse: Float[Tensor, "u u"] | None = None
    pivots: Mapping[int, Float[Tensor, "*stored"]] = field(default_factory=dict)
    # Not `cached_property`, whose lock (Python 3.11) torch.compile cannot record.
    _kept: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def N(self) -> tuple[int, ...]:
        """Unknowns per axis of the next level."""
        return tuple(n // 2 if c else n for n, c in zip(self.n, self.coarsen, strict=True))

    @property
    def inside(self) -> Any:
        """The index of the unknowns in a field."""
        return (..., *(slice(1, n + 1) for n in self.n))

    def along(self, axis: int) -> Float[Tensor, "*stored"]:
        """The couplings to the next node along an axis."""
        return self.c[len(self.n) - 1 - axis]

    @property
    def diagonal(self) -> Float[Tensor, "*stored"]:
        """The diagonal of A at the unknowns."""
        if "diagonal" not in self._kept:
            self._kept["diagonal"] = self._diagonal()
        found: Tensor = self._kept["diagonal"]
        return found

    @property
    def plain(self) -> Level:
        """The level of the twin (`blackbox/level_reference.py`)."""
        if "plain" not in self._kept:
            self._kept["plain"] = self._plain()
        found: Level = self._kept["plain"]
        return found

    def _diagonal(self) -> Tensor:
        total = torch.zeros(tuple(self.c.shape[1:])).to(self.c)
        total += 0 if self.e is None else self.e
        for offset, c in zip(offsets(len(self.n), len(self.c)), self.c, strict=True):
            total += c + shift(c, tuple(-o for o in offset))
        return total

    def _plain(self) -> Level:
        couplings = {}
        for offset, c in zip(offsets(len(self.n), len(self.c)), self.c, strict=True):
            back = tuple(-o for o in offset)
            couplings[offset], couplings[back] = c, shift(c, back)
        e = torch.zeros_like(self.c[0]) if self.e is None else self.e
        level = Level(self.n, (False,) * len(self.n), couplings, e, self.coarsen)
        if self.w is not None:
            one = torch.ones_like(self.w[0])
            level.weights = {(0,) * len(self.n): one} | dict(
                zip(digit_codes(self.coarsen), self.w, strict=True)
            )
        return level


def from_faces(
    faces: Sequence[Tensor], excess: Tensor | None, coarsen: Sequence[bool]
) -> TiledLevel:
    """The finest level from couplings at the faces (`diffusion/reference.py`).

    Where all faces of an axis are one number with strides 0, so are the couplings: the boundary
    value u = 0 is stored, so a constant coupling to it is right.
    """
    ndim = len(faces)
    n = tuple(k - (a == 0) for a, k in enumerate(faces[0].shape))
    stored = tuple(map(padded, n))
    by_axis = [next(a for a, o in enumerate(offset) if o) for offset in offsets(ndim, ndim)]
    if all(not any(f.stride()) for f in faces):
        values = torch.stack([faces[a][(0,) * ndim] for a in by_axis])
        c = values.view(ndim, *[1] * ndim).expand(ndim, *stored)
    else:
        c = faces[0].new_zeros((ndim, *stored))
        for k, a in enumerate(by_axis):
            here: Any = [slice(0 if b == a else 1, m + 1) for b, m in enumerate(n)]
            c[(k, *here)] = faces[a]
    e = None
    if excess is not None:
        e = faces[0].new_zeros(stored)
        e[tuple(slice(1, m + 1) for m in n)] = excess
    return TiledLevel(n, c, e, tuple(coarsen))


def of_twin(level: Level) -> Float[Tensor, "k *stored"]:
    """The couplings to all neighbours of a coarse level of the twin."""
    ndim = len(level.n)
    unknown = torch.zeros_like(level.excess, dtype=torch.bool)
    unknown[level.inside] = True
    c = []
    for offset in offsets(ndim):
        from_there = shift(level.couplings[tuple(-o for o in offset)], offset)
        c.append(torch.where(unknown, level.couplings[offset], from_there))
    return torch.stack(c)
