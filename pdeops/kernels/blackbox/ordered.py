"""Conversion of a system for the loops for any box and the twin: detached, with ordered axes."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from . import layout
from .hierarchy import System


@dataclass(frozen=True)
class Ordered:
    """The couplings of a system with permuted axes.

    If the coupling strengths of the axes differ, the strongest axis comes first. It is coarsened
    alone, so the rows along the last axis, over which the loops run, stay long; or lines along it
    are solved, and lie next to each other in these rows.

    Attributes:
        order: the axes of the grid in the order of the loops.
        lines: the axes along which lines are solved, in the order of the loops.
    """

    order: tuple[int, ...]
    n: list[int]
    periodic: list[bool]
    strength: list[float]
    faces: list[Tensor]
    excess: Tensor | None
    lines: tuple[int, ...]

    @classmethod
    def of(cls, system: System, lines: tuple[int, ...]) -> "Ordered":
        order = tuple(range(len(system.faces)))
        if min(system.strength) < layout.STRONG * max(system.strength):
            order = tuple(sorted(order, key=lambda a: -system.strength[a]))
        return cls(
            order,
            [system.shape[a] for a in order],
            [system.periodic[a] for a in order],
            [system.strength[a] for a in order],
            [system.faces[a].detach().permute(order) for a in order],
            None if system.excess is None else system.excess.detach().permute(order),
            tuple(order.index(a) for a in lines),
        )

    @property
    def num_missing(self) -> int:
        """Leading axes that a system of fewer than three axes lacks."""
        return 3 - len(self.n)

    def layout(self, num_sparsified: int = 0) -> tuple[np.ndarray, np.ndarray, int]:
        """The table of levels, the numbers of the coarsest unknowns, and the store's length."""
        missing = self.num_missing
        return layout.layout(
            [0] * missing + self.n,
            [False] * missing + self.periodic,
            [0.0] * missing + self.strength,
            self.excess is not None,
            num_sparsified,
            lines=[missing + a for a in self.lines],
        )

    def shapes(self, table: np.ndarray) -> list[tuple[int, ...]]:
        """Unknowns per axis on each level, in the order of the grid."""
        back = [self.num_missing + self.order.index(a) for a in range(len(self.n))]
        return [tuple(n) for n in table["n"][:, back].tolist()]
