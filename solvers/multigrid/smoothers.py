"""Smoothers of multigrid, and which one suits an operator."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...kernels.blackbox.layout import STRONG
from ..operators.diffusion import Diffusion

SAMPLE = 4096
WEAK = 0.05  # a node's second strongest coupling against its strongest, where lines pay


@dataclass(frozen=True)
class GaussSeidel:
    """Node by node, by colours; red and black on five and seven points."""

    lengths: ClassVar[tuple[float, ...]] = ()


@dataclass(frozen=True)
class Jacobi:
    """u += ω D⁻¹ (b - A u), damped by ω in (0, 1); 0.8 is good in a plane, 0.86 in a box.

    The eigenvalues of D⁻¹ A lie in (0, 2) on the finest level, so that it converges.
    """

    damping: float | int = 0.8

    def __post_init__(self) -> None:
        if not 0 < self.damping < 1:
            raise ValueError(f"Jacobi's damping lies between 0 and 1; got {self.damping}. Use 0.8.")

    @property
    def lengths(self) -> tuple[float, ...]:
        """Of its one step."""
        return (float(self.damping),)


@dataclass(frozen=True)
class Chebyshev:
    """The polynomial in D⁻¹ A that is smallest on the upper three quarters of (0, 2).

    Degree k costs k products with A and is a sweep like k - 1 of Gauss-Seidel; it knows no colours.
    """

    degree: int = 2

    def __post_init__(self) -> None:
        if not 1 <= self.degree <= 8:
            raise ValueError(f"Chebyshev smoothing uses a degree of 1 to 8; got {self.degree}.")

    @property
    def lengths(self) -> tuple[float, ...]:
        """The inverse roots of the Chebyshev polynomial on [½, 2]."""
        angles = [math.pi * (2 * i + 1) / (2 * self.degree) for i in range(self.degree)]
        return tuple(1 / (1.25 + 0.75 * math.cos(angle)) for angle in angles)


@dataclass(frozen=True)
class LineGaussSeidel:
    """Line by line, each solved exactly; by colours, in a plane first the even, then the odd lines.

    It smooths where A couples strongly along the lines, so that only the other axes ask which of
    them are to be coarsened.

    Attributes:
        axes: that lines follow, one after the other; None takes the one that dominates at every
            node, if there is one, else all.
    """

    axes: tuple[int, ...] | None = None

    lengths: ClassVar[tuple[float, ...]] = ()

    def __post_init__(self) -> None:
        if self.axes is not None and (not self.axes or len(set(self.axes)) < len(self.axes)):
            raise ValueError(f"Lines follow one axis or more, each once; got {self.axes}.")

    def lines(self, A: Diffusion) -> tuple[int, ...]:
        """The axes that lines follow for A.

        Raises:
            ValueError: A has no such axis.
        """
        if self.axes is None:
            one = dominant(A)
            return tuple(range(A.ndim)) if one is None else (one,)
        if not all(0 <= a < A.ndim for a in self.axes):
            raise ValueError(f"Lines along {self.axes} on {A.grid}: axes are 0 to {A.ndim - 1}.")
        return self.axes


Smoother = GaussSeidel | LineGaussSeidel | Jacobi | Chebyshev


def strength(A: Diffusion) -> list[float]:
    """The mean coupling along each axis."""
    if A.constant is not None:  # its faces are not made for this
        return [A.constant[0] / h**2 for h in A.grid.spacing]
    return [f.detach().sum().item() / A.grid.num_nodes for f in A.faces]


def dominant(A: Diffusion) -> int | None:
    """The axis along which each node's couplings are twice as strong as its others, if any.

    Where this does not hold at some (jumps beyond the anisotropy, walls), lines along it smooth,
    but errors on neighbouring lines do not look alike: points and semicoarsening converge better.
    """
    own = strength(A)
    best = max(range(A.ndim), key=lambda a: own[a])
    others = [a for a in range(A.ndim) if a != best]
    if max((own[a] for a in others), default=math.inf) >= STRONG * own[best]:
        return None
    if A.constant is not None:
        return best
    if min(A.grid.shape) < 2:  # an axis without couplings between nodes
        return None
    least = STRONG * beside(A, best, torch.minimum)
    return best if all((beside(A, a, torch.maximum) < least).all() for a in others) else None


def beside(A: Diffusion, axis: int, pick: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Of each node's two couplings along an axis to other nodes, the smaller or the larger one."""
    f = A.faces[axis].detach().movedim(axis, 0)[1:-1]
    return torch.cat((f[:1], pick(f[:-1], f[1:]), f[-1:])).movedim(0, axis)


def second(A: Diffusion) -> float:
    """The second strongest coupling of a node against its strongest: the median of SAMPLE nodes or
    so, without those that are coupled along one axis only, as between walls."""
    each = round(SAMPLE ** (1 / A.ndim))
    steps = tuple(slice(None, None, max(1, n // each)) for n in A.grid.shape)
    nodes = [f.detach().narrow(a, 0, A.grid.shape[a])[steps] for a, f in enumerate(A.faces)]
    ranked = torch.stack(nodes).flatten(1).sort(0, descending=True).values
    ranked = ranked[:, ranked[1] > 0]
    return (ranked[1] / ranked[0]).median().item() if ranked.numel() else 1.0


def suited(A: Diffusion) -> Smoother:
    """Lines where one axis dominates, everywhere or turning from place to place, else points, which
    take a third of the time. Points on a GPU, too: a line is solved node by node."""
    if A.device.type != "cpu" or A.ndim == 1:
        return GaussSeidel()
    ratio = 1.0 if A.constant is not None else second(A)
    if A.constant is None and ratio >= STRONG:  # soon seen
        return GaussSeidel()
    if (axis := dominant(A)) is not None:
        return LineGaussSeidel((axis,))
    own = strength(A)
    turns = ratio < WEAK and min(own) >= STRONG * max(own)
    return LineGaussSeidel(tuple(range(A.ndim))) if turns else GaussSeidel()
