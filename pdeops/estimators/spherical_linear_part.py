"""The exact inverse of the normal equations of linear gravity waves on a sphere."""
# Axes: b batch, t free frames, s all frames, c channel, lat lon nodes, l degree, m order, i j pairs
# (channel, frame).

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from .linear_part import check_frames, damping
from .waves import SphericalWaves


class SphericalLinearPart:
    """g ↦ (AᵀA)⁻¹ g with A d = L d - d_t, for the frames after the given ones; L are the gravity
    waves of the mean depth and the viscosity, a 3 x 3 matrix for each degree l.

    In the units of the equation's state, with θ the weights in time and ω_l those of the norm,

        AᵀA ↔ ω_l N_l,   N_l = B_lᵀ diag(θ) B_l,   B_l = L_l ⊗ I - I ⊗ D,

    without the columns of given frames: a small matrix per degree, plus `damping` times I, inverted
    once, which all orders of a degree share. Corrections are sums of the harmonics that the nodes
    determine. What remains for conjugate gradients are the Coriolis force and advection.

    Args:
        estimator: a `ShallowWaterIndicator`; its derivative must be a matrix in time.
        num_given: number of known frames, at least 1.

    Raises:
        ValueError: no frame is free, none is given, or the derivative is a function.
    """

    def __init__(self, estimator: Any, num_given: int) -> None:
        D = check_frames(estimator, num_given).double()
        space: SphericalWaves = estimator.space
        equation, self.transform = space.equation, space.transform
        degrees = self.transform.degree + 1
        L = equation.symbol[..., :degrees, 0].movedim(-1, 0)  # (l, c, c)
        channels, count = L.shape[-1], len(D)
        free = torch.eye(count, dtype=torch.float64)[:, num_given:]
        B = torch.einsum("lcd,st->lcsdt", L, free)
        B = B - torch.einsum("cd,st->csdt", torch.eye(channels).double(), D[:, num_given:])
        B = B.flatten(3, 4).flatten(1, 2)
        theta = estimator.weights.repeat(channels)
        N = B.mT @ (theta[:, None] * B)
        N = N + damping(estimator) * torch.eye(N.shape[-1], dtype=torch.float64)
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(N))
        # From the state's units to those of the fields; means that the state drops stay 0.
        units = (equation.units * (equation.per_unit > 0))[:, :degrees, 0].T  # (l, c)
        scale = units.repeat_interleave(count - num_given, 1)
        weight = space.root[:degrees, :1].square()[..., None]
        self.inverse = scale[:, :, None] * inverse * scale[:, None] / weight

    def __call__(self, g: Float[Tensor, "b t c lat lon"]) -> Float[Tensor, "b t c lat lon"]:
        """(AᵀA)⁻¹ g."""
        g_hat = self.transform.sums(g).movedim(2, 1)
        inverse = self.inverse.to(g_hat)
        d_hat = torch.einsum("lij,bjlm->bilm", inverse, g_hat.flatten(1, 2)).view_as(g_hat)
        return self.transform.inverse(d_hat.movedim(1, 2).contiguous())
