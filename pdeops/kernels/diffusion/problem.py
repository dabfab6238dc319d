"""The operator -div(a grad u) + e u, represented for the kernels."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from .reference import outer


@dataclass(frozen=True)
class Couplings:
    """An operator with any coefficient.

    Attributes:
        faces: per axis, the couplings at its n + 1 faces (`diffusion/reference.py`).
        excess: e at the unknowns; None for zero.
        periodic: per axis.
    """

    faces: Sequence[Float[Tensor, "..."]]
    excess: Float[Tensor, "*space"] | None
    periodic: Sequence[bool]
    arrays: dict[torch.dtype, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of unknowns per axis."""
        return tuple(n - (axis == 0) for axis, n in enumerate(self.faces[0].shape))

    @property
    def stored(self) -> tuple[Tensor, ...]:
        """The couplings and the excess."""
        return tuple(self.faces) if self.excess is None else (*self.faces, self.excess)

    @property
    def dtype(self) -> torch.dtype | None:
        """The precision of the couplings and the excess, None if they differ."""
        return self.faces[0].dtype if len({t.dtype for t in self.stored}) == 1 else None

    def of(self, u: Tensor) -> "Couplings":
        """The operator for fields like u: the same for all."""
        return self


@dataclass(frozen=True)
class Profiles:
    """An operator with constant coefficients: its couplings are products of one factor per axis.

    Attributes:
        couplings: per axis, a / h² at its n + 1 faces; 0 at an end without flux.
        fractions: per axis, the fraction of a cell that belongs to each of the n unknowns.
        excess: e of a whole cell.
        periodic: per axis.
        dtype: the precision of the coefficient; None for one given as a number, which takes the
            precision of the field.
    """

    couplings: Sequence[Float[Tensor, " faces"]]
    fractions: Sequence[Float[Tensor, " n"]]
    excess: float
    periodic: Sequence[bool]
    dtype: torch.dtype | None = None
    arrays: dict[torch.dtype, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of unknowns per axis."""
        return tuple(len(s) for s in self.fractions)

    def of(self, u: Tensor) -> Couplings:
        """The couplings at all faces for fields like u."""
        s, dtype = self.fractions, self.dtype or u.dtype
        faces = [
            outer([t if a == axis else s[a] for a in range(len(s))]).to(u.device, dtype)
            for axis, t in enumerate(self.couplings)
        ]
        excess = (self.excess * outer(s)).to(u.device, dtype) if self.excess else None
        return Couplings(faces, excess, self.periodic)
