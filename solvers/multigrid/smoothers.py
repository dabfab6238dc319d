"""Multigrid smoothers, and the choice of one for an operator."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...kernels.blackbox import line_smoothing_pays, prefers_polynomials
from ...kernels.blackbox.layout import STRONG
from ..operators.diffusion import Diffusion

SAMPLE = 4096  # approximate number of nodes from which `second` takes its median
WEAK = 0.05  # lines pay if a node's second strongest coupling is below this times the strongest


@dataclass(frozen=True)
class GaussSeidel:
    """Gauss-Seidel by points in colours; red-black with five or seven points."""

    lengths: ClassVar[tuple[float, ...]] = ()


@dataclass(frozen=True)
class Jacobi:
    """Damped Jacobi: u += ω D⁻¹ (b - A u) with ω in (0, 1).

    Good values are 0.8 in two dimensions and 0.86 in three. It converges, because the eigenvalues
    of D⁻¹ A lie in (0, 2) on the finest level.
    """

    damping: float | int = 0.8

    def __post_init__(self) -> None:
        if not 0 < self.damping < 1:
            raise ValueError(f"Jacobi's damping lies between 0 and 1; got {self.damping}. Use 0.8.")

    @property
    def lengths(self) -> tuple[float, ...]:
        """The step length ω of its single step."""
        return (float(self.damping),)


@dataclass(frozen=True)
class Chebyshev:
    """Chebyshev smoothing: the polynomial in D⁻¹ A that is smallest on [½, 2].

    Degree k costs k products with A and smooths like k - 1 sweeps of Gauss-Seidel. It does not
    depend on an order of the nodes.
    """

    degree: int = 2

    def __post_init__(self) -> None:
        if not 1 <= self.degree <= 8:
            raise ValueError(f"Chebyshev smoothing uses a degree of 1 to 8; got {self.degree}.")

    @property
    def lengths(self) -> tuple[float, ...]:
        """The step lengths: inverse roots of the Chebyshev polynomial on [½, 2]."""
        angles = [math.pi * (2 * i + 1) / (2 * self.degree) for i in range(self.degree)]
        return tuple(1 / (1.25 + 0.75 * math.cos(angle)) for angle in angles)


@dataclass(frozen=True)
class LineGaussSeidel:
    """Line Gauss-Seidel: each line is solved exactly, in colours (zebra order in two dimensions).

    It smooths if A couples strongly along the lines. Then only the strengths of the other axes
    decide which of these are coarsened.

    Attributes:
        axes: the directions of the lines, one after the other. None: the axis that dominates at
            every node if there is one, else all axes.
    """

    axes: tuple[int, ...] | None = None

    lengths: ClassVar[tuple[float, ...]] = ()

    def __post_init__(self) -> None:
        if self.axes is not None and (not self.axes or len(set(self.axes)) < len(self.axes)):
            raise ValueError(f"Lines follow one axis or more, each once; got {self.axes}.")

    def lines(self, A: Diffusion) -> tuple[int, ...]:
        """The directions of the lines for A.

        Raises:
            ValueError: A has no such axis.
        """
        if self.axes is None:
            one = dominant(A)
            return tuple(range(A.ndim)) if one is None else (one,)
        if not all(0 <= a < A.ndim for a in self.axes):
            raise ValueError(f"Lines along {self.axes} on {A.grid}: axes are 0 to {A.ndim - 1}.")
        return self.axes


@dataclass(frozen=True)
class DirectionalLines:
    """Line Gauss-Seidel for a `Stencil` in 2D, along axes or diagonals of the grid.

    Attributes:
        directions: offsets along which lines are solved, one after the other: (0, 1) or (1, 0),
            (1, 1) and (1, -1).
    """

    directions: tuple[tuple[int, ...], ...]

    lengths: ClassVar[tuple[float, ...]] = ()

    def __post_init__(self) -> None:
        known = {(0, 1), (1, 0), (1, 1), (1, -1)}
        if not self.directions or not set(self.directions) <= known:
            raise ValueError(
                f"Lines lead along (0, 1), (1, 0), (1, 1) or (1, -1); got {self.directions}."
            )


Smoother = GaussSeidel | LineGaussSeidel | DirectionalLines | Jacobi | Chebyshev


def strength(A: Diffusion) -> list[float]:
    """The mean coupling along each axis."""
    if A.constant is not None:  # without computing the faces
        return [A.constant[0] / h**2 for h in A.grid.spacing]
    return [f.detach().sum().item() / A.grid.num_nodes for f in A.faces]


def dominant(A: Diffusion) -> int | None:
    """The axis along which the couplings of every node are twice as strong as its others, or None.

    If this fails at some nodes (walls, or jumps larger than the anisotropy), lines along the axis
    still smooth, but the errors of neighbouring lines differ; points with semicoarsening then
    converge better.
    """
    mean = strength(A)
    best = max(range(A.ndim), key=lambda a: mean[a])
    others = [a for a in range(A.ndim) if a != best]
    if max((mean[a] for a in others), default=math.inf) >= STRONG * mean[best]:
        return None
    if A.constant is not None:
        return best
    if min(A.grid.shape) < 2:  # an axis without couplings between nodes
        return None
    least = STRONG * neighbour_coupling(A, best, torch.minimum)
    return (
        best
        if all((neighbour_coupling(A, a, torch.maximum) < least).all() for a in others)
        else None
    )


def neighbour_coupling(A: Diffusion, axis: int, pick: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """For each node the smaller or the larger (`pick`) of its two couplings along an axis.

    Couplings to the boundary do not count.
    """
    f = A.faces[axis].detach().movedim(axis, 0)[1:-1]
    return torch.cat((f[:1], pick(f[:-1], f[1:]), f[-1:])).movedim(0, axis)


def second(A: Diffusion) -> float:
    """The ratio of a node's second strongest coupling to its strongest: the median of a sample.

    Nodes that are coupled along one axis only, as between walls, do not count.
    """
    each = round(SAMPLE ** (1 / A.ndim))
    steps = tuple(slice(None, None, max(1, n // each)) for n in A.grid.shape)
    nodes = [f.detach().narrow(a, 0, A.grid.shape[a])[steps] for a, f in enumerate(A.faces)]
    ranked = torch.stack(nodes).flatten(1).sort(0, descending=True).values
    ranked = ranked[:, ranked[1] > 0]
    return (ranked[1] / ranked[0]).median().item() if ranked.numel() else 1.0


def suited(A: Diffusion) -> Smoother:
    """Lines if one axis dominates everywhere, or different axes in different places; else points.

    Points take a third of the time. They are also chosen if lines have no compiled loops. The
    smoother by points is Gauss-Seidel, on GPUs Chebyshev.
    """
    points = Chebyshev() if prefers_polynomials(A.device) else GaussSeidel()
    if A.ndim == 1 or not line_smoothing_pays(A.device):
        return points
    ratio = 1.0 if A.constant is not None else second(A)
    if A.constant is None and ratio >= STRONG:  # decides most cases at little cost
        return points
    if (axis := dominant(A)) is not None:
        return LineGaussSeidel((axis,))
    mean = strength(A)
    turns = ratio < WEAK and min(mean) >= STRONG * max(mean)
    return LineGaussSeidel(tuple(range(A.ndim))) if turns else points
