"""The residual of an evolution equation on the frames of a trajectory."""
# Axes: b batch, t frame, c channel, *space nodes, *waves coefficients.

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Inexact
from torch import Tensor

from ..domain import Sphere
from ..solvers.evolution.equations.shallow_water import ShallowWater
from ..solvers.evolution.evolution import Evolution
from .affine import AffineResidual
from .estimator import TrajectoryEstimator
from .linear_part import LinearPart
from .normal_equations import NormalEquations
from .spherical_linear_part import SphericalLinearPart
from .time_derivative import Differences, in_time, trapezoidal_weights
from .waves import PaddedWaves, SphericalWaves, Waves

TimeDerivative = Callable[[Tensor], Tensor]


class ResidualOfFrames(TrajectoryEstimator):
    """η of R(u) = L u + N(u, t) - u_t at every frame, with θ of the trapezoidal rule in time.

    Attributes:
        step_dtype: precision in which a Gauss-Newton step is sought.

    Args:
        derivative: u_t by `Differences`; by a matrix (t, t) that maps the frames to it; or by a
            function u ↦ u_t at all frames, such as the exact derivative of a network's basis.
    """

    step_dtype: ClassVar[torch.dtype] = torch.float32

    def __init__(
        self,
        space: Waves,
        times: Sequence[float | int],
        derivative: Differences | Tensor | TimeDerivative | None,
    ) -> None:
        super().__init__(space, times, [float(t) for t in times], trapezoidal_weights(times))
        if derivative is None:
            derivative = Differences()
        if isinstance(derivative, Differences):
            derivative = derivative.matrix(self.times)
        if isinstance(derivative, Tensor) and derivative.shape != (len(self.times),) * 2:
            raise ValueError(
                f"The matrix of a time derivative is of shape {(len(self.times),) * 2}, one row "
                f"per frame; got {tuple(derivative.shape)}."
            )
        self.derivative = derivative
        self._normal: dict[int, NormalEquations] = {}

    @abstractmethod
    def linear_part(self, num_given: int) -> Callable[[Tensor], Tensor]:
        """g ↦ (AᵀA)⁻¹ g for the linear part A of the residual, for the frames after the given
        ones: the preconditioner of `normal_equations`."""

    def normal_equations(self, num_given: int) -> NormalEquations:
        """u ↦ the least-squares problem for the change of the frames after the given ones."""
        if num_given not in self._normal:
            self._normal[num_given] = NormalEquations(self, num_given, dtype=self.step_dtype)
        return self._normal[num_given]

    def coefficients(self, u: Float[Tensor, "b t c *space"]) -> Inexact[Tensor, "b t c *waves"]:
        """L û + N(û, t) - û_t at every frame."""
        u_hat = self.space.forward(u)
        return self.space.linear(u_hat) + self.nonlinear(u_hat) - self.rate(u, u_hat)

    def nonlinear(self, u_hat: Inexact[Tensor, "b t c *waves"]) -> Inexact[Tensor, "b t c *waves"]:
        """N at every frame; at all frames at once if the equation does not depend on t."""
        N = self.equation.nonlinear
        if self.equation.autonomous:
            return N(u_hat.flatten(0, 1), 0.0).unflatten(0, u_hat.shape[:2])
        return torch.stack([N(v, t) for v, t in zip(u_hat.unbind(1), self.times, strict=True)], 1)

    def rate(
        self, u: Float[Tensor, "b t c *space"], u_hat: Inexact[Tensor, "b t c *waves"]
    ) -> Inexact[Tensor, "b t c *waves"]:
        """The coefficients of u_t at every frame."""
        if isinstance(self.derivative, Tensor):
            return in_time(self.derivative, u_hat)
        rate = self.derivative(u)
        if rate.shape != u.shape:
            raise ValueError(
                f"The time derivative must give u_t at all frames, {tuple(u.shape)}; got "
                f"{tuple(rate.shape)}."
            )
        return self.space.forward(rate)

    def frozen(self, u: Float[Tensor, "b t c *space"]) -> AffineResidual:
        """w ↦ L w + N_u(w) - w_t with the coefficients of N frozen at u (`Evolution.frozen`), for
        advection its velocity; equal to the residual at w = u.

        Raises:
            ValueError: the time derivative is a function, which may not be linear; or N has no
                quasilinear form.
        """
        self.check(u)
        return AffineResidual(self, u, frozen=True)

    def linearised(self, u: Float[Tensor, "b t c *space"], num_given: int = 0) -> AffineResidual:
        """w ↦ R(u) + R'(u)(w - u), Newton's model of the residual at u, of the frames w after the
        given ones.

        Raises:
            ValueError: the time derivative is a function, which may not be linear.
        """
        self.check(u)
        return AffineResidual(self, u, frozen=False, num_given=num_given)


class EvolutionResidual(ResidualOfFrames):
    """η of R(u) = L u + N(u, t) - u_t on a box; for 2D Navier-Stokes f - ω_t - u·∇ω + ν Δω - μ ω.

        η² = Σ_m θ_m ‖R(u)(t_m)‖²_{H^s},   ‖R‖²_{H^s} = Σ_k W_k (α + |ξ_k|²)^s |R_k|²,

    θ the weights of the trapezoidal rule in time, W those of Parseval's equation. Transforms are
    padded (`Evolution.padded`): each wave of the frames and of their products counts, whatever the
    solver's truncation.

    s = -1 is the norm of the dual space of H¹, in which a residual bounds the error e = u_true - u
    of a parabolic equation: sup ‖e‖² + ν ∫‖∇e‖² <= C (‖e(t_0)‖² + ν⁻¹ ∫‖R‖²_{H⁻¹}), where C
    grows exponentially with the horizon and with 1/ν if the equation is nonlinear.

    u_t couples the frames: known input frames belong to u, so that an error of the first predicted
    frame counts, and frames in another order have a large η. On a true trajectory η is not zero but
    the floor: the error of the time difference, O(Δt^accuracy), and the effect of the waves that
    the grid of the frames does not hold.

    Args:
        equation: of a class with `padded`.
        times: times of all frames, increasing, equally spaced or not.
        order: s.
        alpha: α >= 0; None is the smallest |ξ|² > 0 of the box. α = 0 is the dual of the seminorm.
        derivative: u_t by `Differences`; by a matrix (t, t) that maps the frames to it; or by a
            function u ↦ u_t at all frames, such as the exact derivative of a network's basis.

    Raises:
        ValueError: times do not increase or are too few, the equation has no padded transforms, or
            α = 0 and the equation does not conserve the mean.
    """

    def __init__(
        self,
        equation: Evolution,
        times: Sequence[float | int],
        *,
        order: float | int = -1.0,
        alpha: float | int | None = None,
        derivative: Differences | Tensor | TimeDerivative | None = None,
    ) -> None:
        super().__init__(PaddedWaves(equation, order, alpha), times, derivative)

    def linear_part(self, num_given: int) -> LinearPart:
        return LinearPart(self, num_given)


class ShallowWaterIndicator(ResidualOfFrames):
    """η of the residual of the shallow water equations, an indicator: no bound of the error by η is
    known for this hyperbolic system.

    The norm is that of the linearised energy ∫ g h² + H|v|² dA of depth and wind, times
    (α + l(l+1)/R²)^{s/2} by degree. Harmonics above the equation's degree are dropped, in the
    frames and in their products, as in the solver (`SphericalWaves`).

    Args:
        times: in seconds.
        grid: the nodes of the frames, by default the equation's.
        order, alpha, derivative: as for `EvolutionResidual`; alpha None is 2/R².
    """

    step_dtype = torch.float64  # weights of 1e36 in SI units

    def __init__(
        self,
        equation: ShallowWater,
        times: Sequence[float | int],
        *,
        grid: Sphere | None = None,
        order: float | int = -1.0,
        alpha: float | int | None = None,
        derivative: Differences | Tensor | TimeDerivative | None = None,
    ) -> None:
        super().__init__(SphericalWaves(equation, grid, order, alpha), times, derivative)

    def linear_part(self, num_given: int) -> SphericalLinearPart:
        return SphericalLinearPart(self, num_given)


def residual_on(
    grid: Any, equation: Evolution, times: Sequence[float | int], **options: Any
) -> ResidualOfFrames:
    """The residual of an equation on the frames of a trajectory at the nodes of `grid`:
    `ShallowWaterIndicator` of a sphere, `EvolutionResidual` of a box, with its options.

    Args:
        times: times of all frames, in the units of the equation.
    """
    if isinstance(equation, ShallowWater):
        return ShallowWaterIndicator(equation, times, grid=grid, **options)
    return EvolutionResidual(equation, times, **options)
