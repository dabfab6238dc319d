"""What a multigrid cycle is: its smoother, its order, and what every way to run it offers."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from ..kernels import bands
from ..kernels.blackbox_layout import STRONG
from .diffusion import Diffusion


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
        axes: that lines follow, one after the other; None takes the one that is coupled strongly
            if there is one throughout, else all, for it may turn from place to place.
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
            own = strength(A)
            strong = [a for a in range(A.ndim) if own[a] >= STRONG * max(own)]
            return tuple(strong if len(strong) == 1 else range(A.ndim))
        if not all(0 <= a < A.ndim for a in self.axes):
            raise ValueError(f"Lines along {self.axes} on {A.grid}: axes are 0 to {A.ndim - 1}.")
        return self.axes


Smoother = GaussSeidel | LineGaussSeidel | Jacobi | Chebyshev


@dataclass(frozen=True)
class CycleSpec:
    """Which cycle: the order in which levels are visited, and sweeps before and after the
    correction.

    Attributes:
        kind: "V", "W", "F", or "full" (full multigrid: a V-cycle on each level from the coarsest
        up). pre, post: sweeps of the smoother.
        mirrored: a sweep's steps, its colours and lines, are reversed after the correction.
    """

    kind: str = "V"
    pre: int = 1
    post: int = 1
    mirrored: bool = True
    smoother: Smoother = GaussSeidel()

    @property
    def symmetric(self) -> bool:
        """The cycle is a symmetric operator."""
        ordered = self.mirrored or isinstance(self.smoother, Jacobi | Chebyshev)
        return self.kind in ("V", "W") and self.pre == self.post and ordered


class NotPositiveError(Exception):
    """A level is not positive definite."""


class Cycle(ABC):
    """One way to run a cycle on the levels of an operator."""

    shapes: list[tuple[int, ...]]

    @abstractmethod
    def __call__(self, b: Tensor, out: Tensor, spec: CycleSpec) -> None:
        """out = M b for a batch of fields, contiguous, in the dtype of the levels."""

    def bind(self, b: Tensor, out: Tensor, spec: CycleSpec) -> Callable[[], object]:
        """The same for one field, to be called again and again."""
        return partial(self, b[None], out[None], spec)

    @staticmethod
    @abstractmethod
    def fits(A: Diffusion, spec: CycleSpec) -> bool:
        """Whether it can run this cycle for this operator."""


def divided(shapes: list[tuple[int, ...]], least: int) -> list[int]:
    """Among how many threads each level is divided, up to the first that is too small."""
    counts = (bands.count(math.prod(shape), least) for shape in shapes)
    return list(takewhile(lambda parts: parts > 1, counts))


def strength(A: Diffusion) -> list[float]:
    """The mean coupling along each axis."""
    return [f.detach().sum().item() / A.grid.num_nodes for f in A.faces]


def zeros(size: int, dtype: torch.dtype) -> Tensor:
    """By numpy, which asks for huge pages where torch does not (`kernels/memory.py`)."""
    like = torch.empty(0, dtype=dtype).numpy()
    return torch.from_numpy(np.zeros(size, dtype=like.dtype))
