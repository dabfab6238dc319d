"""Estimators of the error of a trajectory."""
# Axes: b batch, t frame, m instant, c channel, *space nodes, *fine nodes of the equation's grid,
# *waves coefficients, i components.

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float, Inexact, Shaped
from torch import Tensor

from .time_derivative import require_increasing
from .waves import Waves


class TrajectoryEstimator(ABC):
    """Trajectories u ↦ η, (b, t, c, *space) ↦ (b,): η² = ‖u(t_0) - u_0‖² + Σ_m θ_m ‖R_m‖²_{H^s}.

    The first term, in L², is there if u_0 is given. Differentiable, in float32 and float64.

    Attributes:
        space: the coefficients and the norm of R.
        times: times of the frames.
        instants: times t_m of the residuals.
        weights: θ_m (float64), of sum t_end - t_0.
    """

    def __init__(
        self,
        space: Waves,
        times: Sequence[float | int],
        instants: Sequence[float],
        weights: Float[Tensor, " m"],
    ) -> None:
        require_increasing(times)
        self.space, self.grid, self.equation = space, space.grid, space.equation
        self.times = tuple(float(t) for t in times)
        self.instants, self.weights = tuple(instants), weights
        self._casts: dict[tuple[str, torch.dtype, torch.device], Tensor] = {}

    @abstractmethod
    def coefficients(self, u: Float[Tensor, "b t c *space"]) -> Inexact[Tensor, "b m c *waves"]:
        """The coefficients of R at the instants."""

    def __call__(
        self,
        u: Float[Tensor, "b t c *space"],
        initial: Float[Tensor, "..."] | None = None,
    ) -> Float[Tensor, " b"]:
        """η of each sample.

        Args:
            u: all frames, known input frames first.
            initial: u_0, if the first frame of u is predicted and not known.

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
        """R at `instants` and at the nodes of `equation.grid`, which is finer than that of u."""
        self.check(u)
        return self.space.inverse(self.coefficients(u))

    def by_instant(self, u: Float[Tensor, "b t c *space"]) -> Float[Tensor, "b m"]:
        """‖R_m‖_{H^s} at each instant."""
        self.check(u)
        R = self.coefficients(u)
        return torch.linalg.vector_norm((R * self._cast("root", R)).flatten(2), dim=2)

    def components(self, u: Float[Tensor, "b t c *space"]) -> Float[Tensor, "b i"]:
        """The components r of R in an orthonormal basis of L²(t_0, t_end; H^s): |r|² is η² without
        the initial error. u is not checked."""
        R = self.coefficients(u)
        if self.space.misses_mean:
            self._require_zero_mean(R, u)
        return self.whiten(R)

    def whiten(self, R: Inexact[Tensor, "b m c *waves"]) -> Float[Tensor, "b i"]:
        """The components of a residual with these coefficients."""
        theta = self._cast("theta", R).reshape(-1, *[1] * (R.ndim - 2))
        R = R * (theta * self._cast("root", R))
        return (torch.view_as_real(R) if R.is_complex() else R).flatten(1)

    def check(self, u: Shaped[Tensor, "..."]) -> None:
        """Raise a ValueError unless u is a trajectory of this estimator, and finite."""
        self.grid.check(u, "trajectory")
        frames, channels = len(self.times), self.equation.num_channels
        if u.ndim != self.grid.ndim + 3 or tuple(u.shape[1:3]) != (frames, channels):
            raise ValueError(
                f"This estimator takes trajectories (batch, {frames}, {channels}, *space) with all "
                f"{frames} frames of its times, the known ones first; got {tuple(u.shape)}."
            )
        if u.dtype not in (torch.float32, torch.float64):
            raise ValueError(f"A trajectory is of float32 or float64; got {u.dtype}.")
        if not u.isfinite().all():
            finite = u.isfinite().flatten(2).all(2).all(0)
            frame = int((~finite).nonzero()[0])
            raise ValueError(
                f"The trajectory holds NaN or infinity from frame {frame} on, at t = "
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
        mean = R.detach().flatten(3)[..., 0].abs().amax()  # of the constant wave
        step = min(b - a for a, b in pairwise(self.times))
        scale = u.detach().square().mean().sqrt() / step
        if mean > math.sqrt(torch.finfo(u.dtype).eps) * scale:
            raise ValueError(
                f"The residual has a mean of up to {mean.item():.3g}, which a norm of order "
                f"{self.space.order:g} with α = 0 does not see. Take α > 0, or None."
            )

    def _cast(self, name: str, like: Tensor) -> Tensor:
        dtype = torch.empty(0, dtype=like.dtype).real.dtype
        key = (name, dtype, like.device)
        if key not in self._casts:
            constant = self.space.root if name == "root" else self.weights.sqrt()
            self._casts[key] = constant.to(like.device, dtype)
        return self._casts[key]
