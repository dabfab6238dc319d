"""One step of a method for a time-dependent equation."""

from abc import ABC, abstractmethod

from jaxtyping import Inexact
from torch import Tensor

from .evolution import Evolution


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

    @abstractmethod
    def step(self, u_hat: Inexact[Tensor, "*state"], t: float, dt: float) -> None:
        """Advance the state from t to t + dt, in place."""
