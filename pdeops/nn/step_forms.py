"""Time-dependent equations at scattered points, for steppers whose state is a network."""
# Axes: c channel, d direction, n points.

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..calculus.fourier import check_zero_mean, inverse_laplacian
from .fourier_field import FourierField
from .jets import Jet, jet_of

Field = Callable[[Tensor], Tensor]
_NODES = 128  # per axis, of the stream function at t = 0


class StepForm(ABC):
    """An equation s_t = F for a state s that is a part of the outputs of a network.

    Attributes:
        num_outputs: channels of the outputs.
    """

    num_outputs: int

    @abstractmethod
    def initial(self, x: Float[Tensor, "d n"]) -> Jet:
        """The jet of the outputs at t = 0."""

    @abstractmethod
    def state(self, outputs: Jet) -> Float[Tensor, "c n"]:
        """s, the solution."""

    @abstractmethod
    def rate(self, outputs: Jet, x: Float[Tensor, "d n"], t: float) -> Float[Tensor, "c n"]:
        """F."""

    @abstractmethod
    def constraints(self, outputs: Jet) -> Float[Tensor, "e n"]:
        """Rows that are zero for the solution at each time."""

    @abstractmethod
    def check_terms(self, outputs: Jet, x: Float[Tensor, "d n"], t: float) -> None:
        """Raise a ValueError that names the first term that is not finite, and where."""


class TransportForm(StepForm):
    """u_t = -(c + f₁)·∇u + f₂ Δu + λ u + S; the outputs are u.

    Args:
        equation: a `Transport`.
        u0: initial field, (1, d, n) points -> (1, c, n).
    """

    def __init__(self, equation: Any, u0: Field) -> None:
        self.equation, self.u0 = equation, u0
        self.num_outputs: int = equation.num_channels

    def initial(self, x: Float[Tensor, "d n"]) -> Jet:
        """u0."""
        return jet_of(lambda y: self.u0(y[None])[0], x)

    def state(self, outputs: Jet) -> Float[Tensor, "c n"]:
        """u."""
        return outputs.value

    def rate(self, outputs: Jet, x: Float[Tensor, "d n"], t: float) -> Float[Tensor, "c n"]:
        """The right-hand side."""
        u = outputs.value
        laplacian = torch.einsum("caan->cn", outputs.hessian)
        at = (torch.zeros_like(u), u, outputs.gradient, laplacian, x, torch.full_like(x[:1], t))
        return -self.equation.residual(*(v[None] for v in at))[0]

    def constraints(self, outputs: Jet) -> Float[Tensor, "e n"]:
        """None."""
        return outputs.value[:0]

    def check_terms(self, outputs: Jet, x: Float[Tensor, "d n"], t: float) -> None:
        """f₁, f₂ and S."""
        u = outputs.value
        self.equation.check_terms(u[None], x[None], torch.full_like(x[None, :1], t))


class VorticityForm(StepForm):
    """ω_t = -u·∇ω + ν Δω - μ ω + f with u = (ψ_y, -ψ_x) and ω = -Δψ; the outputs are (ψ, ω).

    u is divergence-free for any weights, so that no pressure is needed: u is the projection of the
    velocities of vorticity ω. With ω as an output of its own, second derivatives suffice also for
    ν > 0, and u·∇ω and ω_t involve the same function. The constraint is ω + Δψ = 0.

    Args:
        equation: a `NavierStokes`, with a forcing that is a function or None.
        u0: initial vorticity of zero mean, (1, 2, n) points -> (1, 1, n).

    Raises:
        ValueError: the forcing is a field, or the mean of u0 is not zero.
    """

    num_outputs = 2

    def __init__(self, equation: Any, u0: Field) -> None:
        if isinstance(equation.forcing, Tensor):
            raise ValueError(
                f"A neural field needs the forcing at any point, as a function of positions and "
                f"time; got a field {tuple(equation.forcing.shape)} at nodes. Give such a "
                f"function, NavierStokes(..., forcing=f) with f(x, t)."
            )
        self.equation, self.u0 = equation, u0
        grid = equation.grid.with_shape((_NODES, _NODES))
        omega = u0(grid.nodes().flatten(1)[None])[0].reshape(1, *grid.shape)
        check_zero_mean(omega, grid, purpose="The vorticity of a periodic flow")
        self.psi0 = FourierField(-inverse_laplacian(omega, grid), grid)

    def initial(self, x: Float[Tensor, "2 n"]) -> Jet:
        """The stream function of u0, by Fourier series, and u0."""
        return jet_of(lambda y: torch.cat([self.psi0(y[None]), self.u0(y[None])], 1)[0], x)

    def state(self, outputs: Jet) -> Float[Tensor, "1 n"]:
        """ω."""
        return outputs.value[1:]

    def velocity(self, outputs: Jet) -> Float[Tensor, "2 n"]:
        """u."""
        psi_x, psi_y = outputs.gradient[0]
        return torch.stack([psi_y, -psi_x])

    def rate(self, outputs: Jet, x: Float[Tensor, "2 n"], t: float) -> Float[Tensor, "1 n"]:
        """The right-hand side."""
        equation = self.equation
        omega, slopes, H = outputs.value[1], outputs.gradient[1], outputs.hessian[1]
        rate = -(self.velocity(outputs) * slopes).sum(0) - equation.drag * omega
        rate = rate + equation.viscosity * (H[0, 0] + H[1, 1])
        if equation.forcing is not None:
            rate = rate + self._forcing(x, t)
        return rate[None]

    def constraints(self, outputs: Jet) -> Float[Tensor, "1 n"]:
        """ω + Δψ."""
        H = outputs.hessian[0]
        return (outputs.value[1] + H[0, 0] + H[1, 1])[None]

    def check_terms(self, outputs: Jet, x: Float[Tensor, "2 n"], t: float) -> None:
        """The forcing."""
        if self.equation.forcing is None:
            return
        wrong = ~self._forcing(x, t).isfinite()
        if wrong.any():
            at = x[:, int(wrong.nonzero()[0])].tolist()
            raise ValueError(
                f"The forcing of NavierStokes is not finite at x = {at}, t = {t:.6g}. Check the "
                f"function that defines it."
            )

    def _forcing(self, x: Float[Tensor, "2 n"], t: float) -> Float[Tensor, " n"]:
        """f, a function of (2, x, y) positions."""
        return self.equation.forcing(x[:, :, None], t).reshape(-1)
