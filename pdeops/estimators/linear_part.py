"""The exact inverse of the normal equations of the linear part of an evolution equation."""
# Axes: b batch, t and s free frames, m instants, c channel, *space nodes, *waves coefficients.

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..calculus.box import BoxCalculus


class LinearPart:
    """g ↦ (AᵀA)⁻¹ g with A d = L d - d_t, for the frames after the given ones.

    A couples the frames of one wave only. With θ the weights in time and ω = (α + |ξ|²)^s,

        AᵀA ↔ ω_k N_k,   N_k = B_kᴴ diag(θ) B_k,   B_k = λ_k I - D   without the given columns,

    a small matrix per wave in space, plus `damping` times I, inverted once. As a preconditioner of
    Gauss-Newton this is the analogue in space-time of a step that is implicit in L: what remains is
    advection. Node values of g are divided by the quadrature weights, so that the map is symmetric
    and positive in the Euclidean product of node values.

    Args:
        estimator: an `EvolutionResidual`; its derivative must be a matrix in time.
        num_given: number of frames that are known, at least 1.

    Raises:
        ValueError: no frame is free, none is given, or the derivative is a function.
    """

    def __init__(self, estimator: Any, num_given: int) -> None:
        derivative, count = check_frames(estimator, num_given), len(estimator.times)
        self.calculus = BoxCalculus(estimator.grid, estimator.equation.series)
        self.quadrature = estimator.grid.quadrature()
        symbol = _on_waves_of(self.calculus, estimator)
        theta, D, space = estimator.weights, derivative.double(), estimator.space
        identity = torch.eye(count, dtype=torch.float64)
        B = symbol[..., None, None] * identity[:, num_given:] - D[:, num_given:]
        N = B.mH @ (theta[:, None] * B)
        N = N + damping(estimator) * identity[num_given:, num_given:]
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(N))
        weight = self.calculus.sobolev_multiplier(2 * space.order, space.alpha)
        self.inverse = inverse / weight.masked_fill(weight == 0, torch.inf)[..., None, None]
        self._cast: Tensor | None = None

    def __call__(self, g: Float[Tensor, "b t c *space"]) -> Float[Tensor, "b t c *space"]:
        """(AᵀA)⁻¹ g."""
        g_hat = self.calculus.transform(g / self.quadrature.to(g))
        inverse = self._on(g_hat)
        # (c, *waves, t, b), the time matrices of all waves at once
        columns = g_hat.movedim((0, 1), (-1, -2))
        if g_hat.is_complex() and not inverse.is_complex():
            pairs = torch.view_as_real(columns)  # real matrices act on both parts
            solved = (inverse @ pairs.flatten(-2)).unflatten(-1, pairs.shape[-2:])
            d_hat = torch.view_as_complex(solved)
        else:
            d_hat = inverse @ columns
        return self.calculus.inverse_transform(d_hat.movedim((-1, -2), (0, 1)).contiguous())

    def _on(self, like: Tensor) -> Tensor:
        real = torch.empty(0, dtype=like.dtype).real.dtype
        dtype = real.to_complex() if self.inverse.is_complex() else real
        if self._cast is None or (self._cast.dtype, self._cast.device) != (dtype, like.device):
            self._cast = self.inverse.to(like.device, dtype)
        return self._cast


def damping(estimator: Any) -> float:
    """(δ/T)² times the mean of θ, δ = 1e-3 and T the time from the first to the last frame. It
    bounds the inverse where a given matrix in time annihilates a change of the free frames;
    `Differences` have none, and their N is far larger."""
    span = estimator.times[-1] - estimator.times[0]
    return (1e-3 / span) ** 2 * estimator.weights.mean().item()


def check_frames(estimator: Any, num_given: int) -> Float[Tensor, "t t"]:
    """The matrix of the time derivative of an estimator.

    Raises:
        ValueError: no frame is free, none is given, or the derivative is a function.
    """
    count = len(estimator.times)
    if not 1 <= num_given < count:
        raise ValueError(
            f"A refinement needs one given frame or more, and one predicted frame or more; got "
            f"{num_given} given of {count} frames."
        )
    if not isinstance(estimator.derivative, Tensor):
        raise ValueError(
            "The normal equations need a time derivative that is linear in the frames; got a "
            "function. Use Differences, or the matrix of the basis in time."
        )
    return estimator.derivative


def _on_waves_of(calculus: BoxCalculus, estimator: Any) -> Tensor:
    """λ per channel and wave of the frames, (c, *waves), picked from the waves of the padded grid.
    Of a matrix that couples channels, the diagonal."""
    padded = estimator.equation
    symbol = padded.symbol
    if padded.coupled:
        symbol = symbol.diagonal().movedim(-1, 0)
    fine = BoxCalculus(padded.grid, padded.series).symbol
    symbol = symbol.expand(padded.num_channels, *fine.shape)
    for axis, (n, m) in enumerate(zip(calculus.symbol.shape, fine.shape, strict=True)):
        at = torch.arange(n)
        if padded.is_fourier and axis < fine.ndim - 1:
            at = torch.where(2 * at >= n, at - n + m, at)  # negative waves stand at the end
        symbol = symbol.index_select(axis + 1, at)
    return symbol
