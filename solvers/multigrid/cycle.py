"""The parameters of a multigrid cycle with its smoother."""

from dataclasses import dataclass, field

from ...kernels.blackbox import Cycle
from ..operators.diffusion import Diffusion
from .smoothers import Chebyshev, GaussSeidel, Jacobi, LineGaussSeidel, Smoother


@dataclass(frozen=True)
class CycleSpec:
    """A multigrid cycle.

    Attributes:
        kind: "V", "W", "F", or "full" (full multigrid: a V-cycle on each level from the coarsest
            up).
        pre, post: number of sweeps of the smoother before and after the coarse-grid correction.
        mirrored: after the correction the steps of a sweep, its colours and lines, are reversed.
        smoother: applied on each level but the coarsest.
    """

    kind: str = "V"
    pre: int = 1
    post: int = 1
    mirrored: bool = True
    smoother: Smoother = field(default_factory=GaussSeidel)

    @property
    def symmetric(self) -> bool:
        """Whether the cycle is a symmetric operator."""
        unordered = isinstance(self.smoother, Jacobi | Chebyshev)
        return self.kind in ("V", "W") and self.pre == self.post and (self.mirrored or unordered)

    @property
    def steps(self) -> Cycle:
        """The cycle in the form that the kernels take."""
        return Cycle(self.kind, self.pre, self.post, self.mirrored, self.smoother.lengths)

    def lines(self, A: Diffusion) -> tuple[int, ...]:
        """The axes along which lines of A are solved; none for smoothers by points."""
        return self.smoother.lines(A) if isinstance(self.smoother, LineGaussSeidel) else ()
