"""One step of a method for a time-dependent equation."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Inexact
from torch import Tensor

from .evolution import Evolution

_TABLES = 8  # lengths of steps whose coefficients are kept


class Stepper(ABC):
    """One step of a method for u_t = L u + N(u, t), with its buffers and coefficients.

    Attributes:
        order: order of accuracy in dt if neither L nor N is zero.
        courant_limit: Courant number up to which advection alone, dealiased, is stable.
    """

    order: int
    courant_limit: float

    def __init__(self, equation: Evolution, u_hat: Inexact[Tensor, "*state"]) -> None:
        self.equation = equation
        self._coefficients: dict[float, list[Tensor]] = {}

    @abstractmethod
    def step(self, u_hat: Inexact[Tensor, "*state"], t: float, dt: float) -> None:
        """Advance the state from t to t + dt, in place."""

    def table(self, dt: float) -> Sequence[Inexact[Tensor, "*waves"]]:
        """The coefficients of a step of this length (float64 or complex128); none by default."""
        return ()

    def coefficients(
        self, dt: float, like: Inexact[Tensor, "*state"]
    ) -> list[Inexact[Tensor, "*waves"]]:
        """`table` in the precision of a state, on its device. Those of the last eight dt are kept,
        since adaptive steps return to halves of dt."""
        if dt not in self._coefficients:
            if len(self._coefficients) >= _TABLES:
                self._coefficients.clear()
            self._coefficients[dt] = [self._cast(m, like).contiguous() for m in self.table(dt)]
        return self._coefficients[dt]

    def _cast(self, m: Tensor, like: Tensor) -> Tensor:
        real = torch.empty(0, dtype=like.dtype).real.dtype
        # einsum needs one dtype; real factors times complex fields do not.
        dtype = like.dtype if self.equation.coupled else real
        return m.to(like.device, dtype.to_complex() if m.is_complex() else dtype)
