"""The entries of a symmetric stencil, represented for the kernels."""

from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float
from torch import Tensor

from .reference import stencil_offsets


@dataclass(frozen=True)
class Entries:
    """A symmetric matrix whose rows couple a node of a box to its 3^d - 1 neighbours.

    Attributes:
        diagonal: the entries a(p, p).
        couplings: the entries a(p, p + δ_i) for the offsets δ_i of `stencil_offsets`; 0 where the
            neighbour lies outside the box.
    """

    diagonal: Float[Tensor, "*space"]
    couplings: Float[Tensor, "k *space"]
    arrays: list[Any] = field(default_factory=list, compare=False, repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of nodes per axis."""
        return tuple(self.diagonal.shape)

    @property
    def offsets(self) -> list[tuple[int, ...]]:
        """The offsets of the couplings."""
        return stencil_offsets(self.diagonal.ndim)
