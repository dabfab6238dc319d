"""Input and result of the set-up of black-box multigrid."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from jaxtyping import Float
from torch import Tensor


class NotPositiveDefiniteError(Exception):
    """The operator of a level is not positive definite in its precision."""


@dataclass(frozen=True)
class System:
    """The operator -div(a grad u) + e u on a box of one to three axes.

    Attributes:
        faces: per axis, the couplings at its faces (`diffusion/reference.py`).
        excess: e at the unknowns; None for zero.
        periodic: per axis; False on an axis with one unknown, which has no neighbour.
        strength: per axis, the mean coupling.
        singular: A is semidefinite, with a kernel.
    """

    faces: Sequence[Float[Tensor, "..."]]
    excess: Float[Tensor, "*space"] | None
    periodic: Sequence[bool]
    strength: Sequence[float]
    singular: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of unknowns per axis."""
        return tuple(n - (axis == 0) for axis, n in enumerate(self.faces[0].shape))


@dataclass(frozen=True)
class Cycle:
    """The order of the steps of a multigrid cycle.

    Attributes:
        kind: "V", "W", "F", or "full" (full multigrid: a V-cycle on each level from the coarsest
            up).
        pre, post: number of sweeps of the smoother before and after the coarse-grid correction.
        mirrored: after the correction the steps of a sweep, its colours and lines, are reversed.
        lengths: step lengths ω of the smoother u += ω D⁻¹ (b - A u) (damped Jacobi, Chebyshev);
            none for Gauss-Seidel.
    """

    kind: str = "V"
    pre: int = 1
    post: int = 1
    mirrored: bool = True
    lengths: tuple[float, ...] = ()


class Hierarchy(ABC):
    """The levels of one operator, on which cycles run.

    Work arrays belong to the hierarchy: it must not be used by two threads at once.

    Attributes:
        shapes: number of unknowns per axis on each level, finest first.
    """

    shapes: list[tuple[int, ...]]

    @abstractmethod
    def run(
        self, b: Float[Tensor, "m *space"], out: Float[Tensor, "m *space"], cycle: Cycle
    ) -> None:
        """out = M b: one cycle from zero, in the dtype of the system; out is contiguous."""

    def bind(
        self, b: Float[Tensor, "*space"], out: Float[Tensor, "*space"], cycle: Cycle
    ) -> Callable[[], object]:
        """`run` for one contiguous field, without arguments, to be called many times."""
        return partial(self.run, b[None], out[None], cycle)

    def runs(self, cycle: Cycle) -> bool:
        """Whether this hierarchy can run the cycle."""
        return True
