"""The residual of an evolution equation on a trajectory, in a Sobolev norm."""
# Axes: b batch, t frame, c channel, *space nodes, *fine nodes of the padded grid, *waves
# coefficients on the padded grid, m instants, i components.

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float, Inexact, Shaped
from torch import Tensor

from ..calculus.box import BoxCalculus
from ..calculus.fourier import pad_waves, resample
from ..domain import Placement
from ..solvers.evolution.evolution import Evolution
from .affine import AffineResidual
from .normal_equations import NormalEquations
from .time_derivative import Differences, require_increasing, trapezoidal_weights

TimeDerivative = Callable[[Tensor], Tensor]


class TrajectoryEstimator(ABC):
    """Trajectories u ↦ η, (b, t, c, *space) ↦ (b,): η² = ‖u(t_0) - u_0‖² + Σ_m θ_m ‖R_m‖²_{H^s}.

    The first term is there if u_0 is given. The coefficients of R_m are exact: transforms are
    padded (`Evolution.padded`), so that each wave of the frames and of their products counts. The
    norm is Σ_k W_k (α + |ξ_k|²)^s |R_k|² with Parseval's weights W. Differentiable, in float32 and
    float64.

    Attributes:
        equation: the equation.
        times: times of the frames.
        order, alpha: s and α.
        padded: the equation on the padded grid.
        weights: θ_m (float64).
    """

    instants: tuple[float, ...]
    weights: Float[Tensor, " m"]

    def __init__(
        self,
        equation: Evolution,
        times: Sequence[float | int],
        order: float | int,
        alpha: float | int | None,
    ) -> None:
        require_increasing(times)
        self.equation, self.times = equation, tuple(float(t) for t in times)
        self.padded: Any = equation.padded()
        self.grid = equation.grid
        calculus = BoxCalculus(self.padded.grid, self.padded.series)
        if alpha is None:
            alpha = _smallest_positive(calculus.symbol)
        self._blind_to_mean = alpha == 0 and order < 0 and calculus.has_constant
        if self._blind_to_mean and not self.padded.conserves_mean:
            raise ValueError(
                f"{type(equation).__name__} does not conserve the mean, and with α = 0 a norm of "
                f"order {order:g} does not see the mean of the residual. Take α > 0, or None for "
                f"the smallest |ξ|² > 0."
            )
        self.order, self.alpha = float(order), float(alpha)
        multiplier = calculus.sobolev_multiplier(self.order, self.alpha)
        self._root = calculus.parseval_weights.sqrt() * multiplier
        self._casts: dict[tuple[str, torch.dtype, torch.device], Tensor] = {}
        # Coefficients can be padded where their origin is the first node of both grids.
        self._pads = self.padded.is_fourier and set(self.grid.placement) == {Placement.LEFT}

    @abstractmethod
    def coefficients(self, u: Float[Tensor, "b t c *space"]) -> Inexact[Tensor, "b m c *waves"]:
        """The coefficients of R at the instants."""

    def __call__(
        self,
        u: Float[Tensor, "b t c *space"],
        initial: Float[Tensor, "b c *space"] | None = None,
    ) -> Float[Tensor, " b"]:
        """η of each sample.

        Args:
            u: all frames, known input frames first.
            initial: u_0, if the first frame of u is not known but predicted.

        Raises:
            ValueError: u does not have the frames, channels and nodes, or holds NaN or infinity.
                With α = 0 and s < 0 also if the mean of a residual is not zero.
        """
        self.check(u)
        squares = self.components(u).square().sum(1)
        if initial is not None:
            squares = squares + self._initial_error(u[:, 0], initial)
        return torch.where(squares > 0, squares, 1.0).sqrt() * (squares > 0)

    def residual(self, u: Float[Tensor, "b t c *space"]) -> Float[Tensor, "b m c *fine"]:
        """R at the nodes of `padded.grid` and at `instants`."""
        self.check(u)
        R = self.coefficients(u)
        return self.padded.decode(R.flatten(0, 1)).unflatten(0, R.shape[:2])

    def components(self, u: Float[Tensor, "b t c *space"]) -> Float[Tensor, "b i"]:
        """The components r of R in an orthonormal basis of L²(t_0, t_end; H^s): |r|² is η² without
        the initial error."""
        R = self.coefficients(u)
        if self._blind_to_mean:
            self._require_zero_mean(R, u)
        return self.whiten(R)

    def by_instant(self, u: Float[Tensor, "b t c *space"]) -> Float[Tensor, "b m"]:
        """‖R_m‖_{H^s} at each instant."""
        self.check(u)
        R = self.coefficients(u) * self._cast("root", u)
        return torch.linalg.vector_norm(R.flatten(2), dim=2)

    def whiten(self, R: Inexact[Tensor, "b m c *waves"]) -> Float[Tensor, "b i"]:
        """Coefficients times θ^{1/2} W^{1/2} (α + |ξ|²)^{s/2}, as real numbers."""
        theta = self._cast("theta", R).reshape(-1, *[1] * (R.ndim - 2))
        R = R * theta * self._cast("root", R)
        return (torch.view_as_real(R) if R.is_complex() else R).flatten(1)

    def waves(self, u: Float[Tensor, "b t c *space"]) -> Inexact[Tensor, "b t c *waves"]:
        """The coefficients of fields of `grid` on the padded grid."""
        grid, fine = self.grid, self.padded
        if self._pads:
            dims = tuple(range(-grid.ndim, 0))
            return pad_waves(
                torch.fft.rfftn(u, dim=dims, norm="forward"), grid, fine.grid.shape, fine.series
            )
        lead = u.shape[: -grid.ndim - 1]
        u = resample(u, grid, fine.grid.shape, fine.series)
        return fine.encode(u.flatten(0, len(lead) - 1)).unflatten(0, lead)

    def linear(self, u_hat: Inexact[Tensor, "b m c *waves"]) -> Inexact[Tensor, "b m c *waves"]:
        """L û."""
        L = self.padded.cast(self.padded.symbol, u_hat)
        if not self.padded.coupled:
            return L * u_hat
        L = L.to(u_hat.dtype)
        return torch.einsum("ij...,bmj...->bmi...", L, u_hat)

    def check(self, u: Shaped[Tensor, "..."]) -> None:
        """Raise a ValueError unless u is a trajectory of this estimator, finite."""
        self.grid.check(u, "trajectory")
        expected = (len(self.times), self.equation.num_channels)
        if u.ndim != self.grid.ndim + 3 or tuple(u.shape[1:3]) != expected:
            raise ValueError(
                f"This estimator takes trajectories (batch, {expected[0]}, {expected[1]}, *space), "
                f"all {expected[0]} frames of its times, the known ones first; got "
                f"{tuple(u.shape)}."
            )
        if u.dtype not in (torch.float32, torch.float64):
            raise ValueError(f"A trajectory is of float32 or float64; got {u.dtype}.")
        if not u.isfinite().all():
            frame = int((~u.isfinite()).flatten(3).any(3).any(2).any(0).nonzero()[0])
            raise ValueError(
                f"The trajectory holds NaN or infinity from frame {frame} on, t = "
                f"{self.times[frame]:g}: it has blown up and has no residual."
            )

    def _initial_error(self, first: Tensor, initial: Tensor) -> Tensor:
        """‖u(t_0) - u_0‖² in L²."""
        if first.shape != initial.shape:
            raise ValueError(
                f"The initial field must be of shape {tuple(first.shape)}; got "
                f"{tuple(initial.shape)}."
            )
        w = self.grid.quadrature().to(first)
        return (w * (first - initial).square()).flatten(1).sum(1)

    def _require_zero_mean(self, R: Tensor, u: Tensor) -> None:
        """Raise a ValueError if a residual has a mean, which α = 0 would not count."""
        mean = R.detach()[(..., *[0] * self.grid.ndim)].abs().amax()
        step = min(b - a for a, b in pairwise(self.times))
        scale = u.detach().square().mean().sqrt() / step
        if mean > math.sqrt(torch.finfo(u.dtype).eps) * scale:
            raise ValueError(
                f"The residual has a mean of up to {mean.item():.3g}, which a norm of order "
                f"{self.order:g} with α = 0 does not see. Take α > 0, or None."
            )

    def _cast(self, name: str, like: Tensor) -> Tensor:
        dtype = torch.empty(0, dtype=like.dtype).real.dtype
        key = (name, dtype, like.device)
        if key not in self._casts:
            constant = self._root if name == "root" else self.weights.sqrt()
            self._casts[key] = constant.to(like.device, dtype)
        return self._casts[key]


class EvolutionResidual(TrajectoryEstimator):
    """η of R(u) = L u + N(u, t) - u_t; for 2D Navier-Stokes f - ω_t - u·∇ω + ν Δω - μ ω.

        η² = Σ_m θ_m ‖R(u)(t_m)‖²_{H^s},   θ the weights of the trapezoidal rule in time.

    s = -1 is the norm of the dual space of H¹, in which a residual bounds the error: for e = u_true
    - u of a parabolic equation, sup ‖e‖² + ν ∫‖∇e‖² <= C (‖e(t_0)‖² + ν⁻¹ ∫‖R‖²_{H⁻¹}), where C
    grows exponentially with the horizon and with 1/ν for a nonlinear equation.

    u_t couples the frames: known input frames belong to u, so that an error of the first predicted
    frame counts, and frames in another order have a large η. On exact frames η is the error of the
    time difference (the floor), O(Δt^accuracy).

    Args:
        equation: of a class with `padded`; its solver's truncation plays no part.
        times: times of all frames, increasing.
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
        super().__init__(equation, times, order, alpha)
        self.instants = self.times
        self.weights = trapezoidal_weights(self.times)
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

    def coefficients(self, u: Float[Tensor, "b t c *space"]) -> Inexact[Tensor, "b t c *waves"]:
        """L û + N(û, t) - û_t at every frame."""
        u_hat = self.waves(u)
        return self.linear(u_hat) + self.nonlinear(u_hat) - self.waves(self.rate(u))

    def nonlinear(self, u_hat: Inexact[Tensor, "b t c *waves"]) -> Inexact[Tensor, "b t c *waves"]:
        """N at every frame."""
        return self.by_frame(lambda t, v: self.padded.nonlinear(v, t), u_hat)

    def rate(self, u: Float[Tensor, "b t c *space"]) -> Float[Tensor, "b t c *space"]:
        """u_t at every frame."""
        if isinstance(self.derivative, Tensor):
            D = self.derivative.to(u)
            return (D @ u.flatten(2)).view_as(u)
        rate = self.derivative(u)
        if rate.shape != u.shape:
            raise ValueError(
                f"The time derivative must give u_t at all frames, {tuple(u.shape)}; got "
                f"{tuple(rate.shape)}."
            )
        return rate

    def by_frame(
        self, f: Callable[[float, Tensor], Tensor], u_hat: Inexact[Tensor, "b t c *waves"]
    ) -> Inexact[Tensor, "b t c *waves"]:
        """f(t, û) of every frame: of all at once if the equation does not depend on t."""
        if self.padded.autonomous:
            return f(0.0, u_hat.flatten(0, 1)).unflatten(0, u_hat.shape[:2])
        parts = [f(t, v) for t, v in zip(self.times, u_hat.unbind(1), strict=True)]
        return torch.stack(parts, 1)

    def frozen(self, u: Float[Tensor, "b t c *space"]) -> "AffineResidual":
        """w ↦ L w + N_u(w) - w_t with the coefficients of N frozen at u (`Evolution.frozen`), for
        advection its velocity; equal to the residual at w = u.

        Raises:
            ValueError: the time derivative is a function, which may not be linear.
        """
        self.check(u)
        return AffineResidual(self, u, frozen=True)

    def linearised(self, u: Float[Tensor, "b t c *space"]) -> "AffineResidual":
        """w ↦ R(u) + R'(u)(w - u), Newton's model of the residual at u.

        Raises:
            ValueError: the time derivative is a function, which may not be linear.
        """
        self.check(u)
        return AffineResidual(self, u, frozen=False)

    def normal_equations(self, num_given: int) -> NormalEquations:
        """u ↦ the least-squares problem for the change of the frames after the given ones."""
        if num_given not in self._normal:
            self._normal[num_given] = NormalEquations(self, num_given)
        return self._normal[num_given]


def _smallest_positive(symbol: Tensor) -> float:
    return symbol[symbol > 0].min().item()
