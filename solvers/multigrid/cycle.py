"""What a multigrid cycle is: its order, and what every way to run it offers."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile

import numpy as np
import torch
from torch import Tensor

from ...kernels.runtime import bands
from ..operators.diffusion import Diffusion
from .smoothers import Chebyshev, GaussSeidel, Jacobi, Smoother


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
    smoother: Smoother = field(default_factory=GaussSeidel)

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


def zeros(size: int, dtype: torch.dtype) -> Tensor:
    """By numpy, which asks for huge pages where torch does not (`kernels/memory.py`)."""
    like = torch.empty(0, dtype=dtype).numpy()
    return torch.from_numpy(np.zeros(size, dtype=like.dtype))
