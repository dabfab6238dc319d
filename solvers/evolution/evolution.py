"""Time-dependent equations in Fourier space.

An equation is u_t = L u + N(u, t) with L diagonal in waves. Only the equation knows the layout of
its state, the coefficients û (`encode`, `decode`); steppers see a complex or real tensor, a symbol,
and N.
"""
# Axes: b batch, c channel, *space nodes, *waves coefficients as the equation stores them.

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Inexact, Shaped
from torch import Tensor

from ...domain import Domain


class Evolution(ABC):
    """u_t = L u + N(u, t): the map from fields to states, the symbol of L, and N.

    `PseudoSpectral` is the usual base: its state is that of `calculus.fourier.transform`.

    Attributes:
        grid: the nodes.
        num_channels: number of channels of the field.
        symbol: L per wave (float64 or complex128), of a shape that broadcasts to the state's; if
            `coupled`, a matrix per wave, (c, c, *waves).
        coupled: L mixes the channels.
        conserves_mean: the mean of every channel of every solution is constant in time.
        autonomous: N depends neither on t nor on the number of the sample. On a GPU N then also
            reads no number back from the device, so that steps can be recorded (`step_graph.py`).
    """

    num_channels: int = 1
    coupled: bool = False
    conserves_mean: bool = False
    autonomous: bool = True

    def __init__(self, grid: Domain, symbol: Tensor) -> None:
        self.grid: Any = grid
        self.symbol = symbol
        self._casts: dict[tuple[int, torch.dtype, torch.device], tuple[Tensor, Tensor]] = {}

    @property
    def depends_on_time(self) -> bool:
        """N depends on t."""
        return not self.autonomous

    @abstractmethod
    def encode(self, u: Float[Tensor, "b c *space"]) -> Inexact[Tensor, "*state"]:
        """The state of a field."""

    @abstractmethod
    def decode(self, u_hat: Inexact[Tensor, "*state"]) -> Float[Tensor, "b c *space"]:
        """The field of a state."""

    @abstractmethod
    def nonlinear(self, u_hat: Inexact[Tensor, "*state"], t: float) -> Inexact[Tensor, "*state"]:
        """N of a state at time t; differentiable."""

    def nonlinear_into(
        self, u_hat: Inexact[Tensor, "*state"], t: float, out: Inexact[Tensor, "*state"]
    ) -> Inexact[Tensor, "*state"]:
        """N written to `out`, which is returned; equations with buffers override this."""
        return out.copy_(self.nonlinear(u_hat, t))

    def padded(self) -> "Evolution":
        """The same equation, a `PseudoSpectral`, on a grid fine enough that N of a field of `grid`
        is exact: no wave of the field or of a product is dropped (zero padding). For residuals.

        Raises:
            ValueError: no such grid is known for this equation.
        """
        raise ValueError(
            f"{type(self).__name__} has no padded transforms, so its residual cannot be formed "
            f"without truncation. Equations derived from PseudoSpectral and NavierStokes have them."
        )

    def frozen(
        self, u_hat: Inexact[Tensor, "*state"], t: float
    ) -> Callable[[Inexact[Tensor, "*state"]], Inexact[Tensor, "*state"]]:
        """v ↦ N_u(v), the quasilinear form of N: affine in v with coefficients that depend on u,
        such as u·∇v for advection, and N_u(u) = N(u)."""
        raise ValueError(
            f"{type(self).__name__} has no quasilinear form. Use its derivative, `tangent`, or "
            f"define `frozen`."
        )

    def tangent(
        self, u_hat: Inexact[Tensor, "*state"], t: float
    ) -> Callable[[Inexact[Tensor, "*state"]], Inexact[Tensor, "*state"]]:
        """d ↦ N'(u) d, the derivative of N at u."""
        raise ValueError(f"{type(self).__name__} does not define `tangent`, the derivative of N.")

    def rate(self, u_hat: Inexact[Tensor, "*state"], t: float = 0.0) -> Float[Tensor, ""] | None:
        """max Σ_a |u_a|/h_a at time t, cells crossed per unit of time; None without advection."""
        return None

    def positive(self, u_hat: Inexact[Tensor, "*state"]) -> Float[Tensor, ""] | None:
        """A number that is positive for every state of a solution, such as the least depth; None
        without one. It is checked as often as the Courant number."""
        return None

    def fault(self, value: float) -> str:
        """What is wrong with a state whose `positive` has this value <= 0."""
        return f"{type(self).__name__} does not admit the value {value:.3g}"

    def cast(self, constant: Tensor, like: Shaped[Tensor, "..."]) -> Tensor:
        """A float64 or complex128 constant of this object in `like`'s precision, on its device."""
        real = torch.empty(0, dtype=like.dtype).real.dtype
        dtype = real.to_complex() if constant.is_complex() else real
        key = (id(constant), dtype, like.device)
        if key not in self._casts:  # keeping the constant keeps its id unique
            self._casts[key] = (constant, constant.to(like.device, dtype))
        return self._casts[key][1]

    def check(self, u: Float[Tensor, "b c *space"]) -> None:
        """Raise a ValueError unless u can be the equation's initial field."""
        self.grid.check(u, "initial field")
        require_real(u)
        if u.shape[1] != self.num_channels:
            raise ValueError(
                f"{type(self).__name__} has {self.num_channels} channel(s), so an initial field is "
                f"of shape (batch, {self.num_channels}, ...); got {tuple(u.shape)}."
            )
        if not u.isfinite().all():
            raise ValueError("The initial field holds NaN or infinity.")


def require_real(u: Tensor) -> None:
    """Raise a ValueError unless u holds a field of float32 or float64 for one sample or more."""
    if u.dtype not in (torch.float32, torch.float64):
        raise ValueError(
            f"An initial field is of float32 or float64; got {u.dtype}. Convert it by u.double(); "
            f"make channels of real and imaginary part."
        )
    if u.numel() == 0:
        raise ValueError(f"The initial field holds no sample; got shape {tuple(u.shape)}.")
