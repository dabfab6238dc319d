"""Measures of predicted trajectories: correlation time, blow-up, budgets of vorticity.

Fields (b, t, c, *space) hold the frames after the last given one. All measures are computed in
float64 with the weights of the domain, for each sample separately.
"""
# Axes: b batch, t time, c channel, *space nodes.

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .calculus import calculus_of
from .calculus.norms import Lp
from .domain import Domain, Grid, check_alike, fold_time

Trajectory = Float[Tensor, "b t c *space"]
PerFrame = Float[Tensor, "b t"]

THRESHOLDS = (0.8, 0.95)  # of the correlation time
BLOW_UP = 10.0  # multiple of the data's largest norm


def correlation(prediction: Trajectory, target: Trajectory, domain: Domain) -> PerFrame:
    """Pearson correlation over the nodes, cov(p, t) / (σ_p σ_t), mean over channels.

    Means use `Domain.mean_weights`. It is 1 for p = a t + b with a > 0. A channel in which either
    field is constant, or the prediction is not finite, has correlation 0.
    """
    check_alike(prediction, target)
    shape = prediction.shape[:3]
    p, t = (fold_time(u, domain).double() for u in (prediction, target))
    finite = domain.mask_padding(p).flatten(2).isfinite().all(2)
    p, t = (domain.mask_padding(torch.where(finite[(..., *(None,) * domain.ndim)], u, 0.0))
            for u in (p, t))  # fmt: skip
    # No square overflows or underflows.
    p, t = (u / _or_one(u.flatten(2).abs().amax(2))[(..., *(None,) * domain.ndim)]
            for u in (p, t))  # fmt: skip
    a = domain.mean_weights().to(p)

    def mean(u: Tensor) -> Tensor:
        return (a * u).flatten(2).sum(2)

    p, t = (u - mean(u)[(..., *(None,) * domain.ndim)] for u in (p, t))
    size = (mean(p.square()) * mean(t.square())).sqrt()
    return (mean(p * t) / _or_one(size)).unflatten(1, shape[1:]).mean(2)


def correlation_time(
    correlations: PerFrame, times: Float[Tensor, " t"], threshold: float
) -> tuple[Float[Tensor, " b"], Bool[Tensor, " b"]]:
    """The time at which the correlation first falls below the threshold, and whether it is
    censored: a correlation that stays above has the last time, a lower bound.

    Between frames the correlation is interpolated linearly; at time 0, the last given frame, it is
    1.

    Args:
        times: times of the frames, counted from the last given one.

    Raises:
        ValueError: the threshold is not in (-1, 1), or the times do not increase from above 0.
    """
    if not -1 < threshold < 1:
        raise ValueError(f"A threshold of correlation lies between -1 and 1; got {threshold}.")
    t = torch.cat([times.new_zeros(1), times]).double().to(correlations.device)
    if not bool((t.diff() > 0).all()):
        raise ValueError(f"Times of predicted frames increase from above 0; got {times.tolist()}.")
    c = torch.cat([torch.ones_like(correlations[:, :1]), correlations], 1)
    below = c < threshold
    lost = below.any(1)
    k = torch.where(lost, below.int().argmax(1), 1)
    before, after = (c.gather(1, (k - j)[:, None])[:, 0] for j in (1, 0))
    part = (before - threshold) / _or_one(before - after)
    crossing = t[k - 1] + part * (t[k] - t[k - 1])
    return torch.where(lost, crossing, t[-1]), ~lost


def blow_up(
    prediction: Trajectory, target: Trajectory, domain: Any, *, multiple: float = BLOW_UP
) -> Int[Tensor, " b"]:
    """The first frame, counted from 1, in which a channel of the prediction is not finite or has an
    L² norm above `multiple` times the largest norm of that channel in the target's frames; 0 if
    there is none.

    A channel of the target that is zero throughout bounds nothing.
    """
    check_alike(prediction, target)
    norm = Lp(2.0, domain=domain)
    p, t = (norm.per_channel(u.double()).unflatten(1, u.shape[1:3]) for u in (prediction, target))
    bound = multiple * t.amax(1, keepdim=True)
    bad = (~p.isfinite() | ((p > bound) & (bound > 0))).any(2)
    return torch.where(bad.any(1), bad.int().argmax(1) + 1, 0)


@dataclass(frozen=True)
class VorticityBudget:
    """Energy and enstrophy of a 2D flow on a periodic box, and the terms of their balance, (b, t).

        E = ½∫|u|²,   dE/dt = -2νZ - 2μE + ∫ψf,       Z = ½∫ω²,   dZ/dt = -2νP - 2μZ + ∫ωf,

    with P = ½∫|∇ω|², -Δψ = ω and u = (ψ_y, -ψ_x), for ω_t + u·∇ω = νΔω - μω + f.

    Attributes:
        energy, enstrophy: E and Z.
        energy_injection, enstrophy_injection: ∫ψf and ∫ωf.
        energy_dissipation, enstrophy_dissipation: 2νZ + 2μE and 2νP + 2μZ.
    """

    energy: PerFrame
    enstrophy: PerFrame
    energy_injection: PerFrame
    energy_dissipation: PerFrame
    enstrophy_injection: PerFrame
    enstrophy_dissipation: PerFrame

    @property
    def energy_rate(self) -> PerFrame:
        """dE/dt according to the equation."""
        return self.energy_injection - self.energy_dissipation

    @property
    def enstrophy_rate(self) -> PerFrame:
        """dZ/dt according to the equation."""
        return self.enstrophy_injection - self.enstrophy_dissipation


def vorticity_budget(
    vorticity: Float[Tensor, "b t 1 x y"],
    grid: Grid,
    *,
    viscosity: float,
    drag: float = 0.0,
    forcing: Float[Tensor, "x y"] | None = None,
) -> VorticityBudget:
    """Energy and enstrophy of each frame and the terms of their balance, by Parseval's equation.

    Args:
        viscosity, drag, forcing: ν, μ and f of the equation of vorticity.
    """
    calculus = calculus_of(grid)
    w_hat = calculus.transform(vorticity.double()[:, :, 0])
    W = calculus.parseval_weights.to(vorticity.device)
    inverse = calculus.sobolev_multiplier(-2, 0.0).to(vorticity.device)
    symbol = calculus.symbol.to(vorticity.device)

    def integral(density: Tensor) -> Tensor:
        return density.flatten(2).sum(2)

    power = W * w_hat.abs().square()
    energy, enstrophy, palinstrophy = (
        integral(power * factor) / 2 for factor in (inverse, torch.ones_like(symbol), symbol)
    )
    zero = torch.zeros_like(energy)
    energy_injection, enstrophy_injection = zero, zero
    if forcing is not None:
        f_hat = calculus.transform(forcing.double().to(vorticity.device))
        product = W * (w_hat * f_hat.conj()).real
        energy_injection, enstrophy_injection = integral(product * inverse), integral(product)
    return VorticityBudget(
        energy=energy,
        enstrophy=enstrophy,
        energy_injection=energy_injection,
        energy_dissipation=2 * viscosity * enstrophy + 2 * drag * energy,
        enstrophy_injection=enstrophy_injection,
        enstrophy_dissipation=2 * viscosity * palinstrophy + 2 * drag * enstrophy,
    )


def _or_one(size: Tensor) -> Tensor:
    """Denominators: size, or 1 where size is 0."""
    return torch.where(size == 0, 1.0, size)
