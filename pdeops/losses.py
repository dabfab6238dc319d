"""Loss functions: scalars from predicted and true fields on one domain.

A loss object is bound to its domain and rejects fields of other domains. Construction is cheap, so
build one loss per resolution. If positions differ from sample to sample, `loss.at(batch)` is the
loss on the points of the batch.
"""
# Axes: b batch, t time, c channel, *space nodes.

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from .calculus.norms import Lp, Norm, Sobolev, relative_error
from .domain import Domain, check_alike, fold_time

Field = Float[Tensor, "b c *space"]
PerSample = Float[Tensor, " b"]


class Loss(ABC):
    """(prediction, target), both (b, c, *space) ↦ the mean over the batch of `per_sample`.

    Trajectories (b, t, c, *space) are also accepted: each time counts like a group of channels
    (`domain.fold_time`).

    Attributes:
        norm: the norm of the error, on the domain of the fields.
        pools_channels: whether errors of all channels are summed; their units must then agree.
    """

    pools_channels = True
    norm: Norm

    def __call__(self, prediction: Field, target: Field) -> Float[Tensor, ""]:
        """The mean over the batch."""
        return self.per_sample(prediction, target).mean()

    def at(self, batch: Any) -> "Loss":
        """The same loss on the domain of the samples of a `Batch` (`Domain.at`)."""
        norm = self.norm.at(batch)
        return self if norm is self.norm else self.by(norm)

    @abstractmethod
    def by(self, norm: Any) -> "Loss":
        """The same loss measured by another norm."""

    @abstractmethod
    def per_sample(self, prediction: Field, target: Field) -> PerSample:
        """One number per sample."""


class Relative(Loss):
    """‖prediction - target‖ / ‖target‖ per sample, channels pooled; see `norms.relative_error`.

    The gradient is finite everywhere, and 0 where the error is zero.
    """

    def __init__(self, norm: Norm) -> None:
        self.norm = norm

    def by(self, norm: Norm) -> "Relative":
        return Relative(norm)

    def per_sample(self, prediction: Field, target: Field) -> PerSample:
        return relative_error(self.norm, prediction, target)

    def __repr__(self) -> str:
        return f"Relative({self.norm!r})"


class MeanSquare(Loss):
    """∫ Σ_c (prediction_c - target_c)² dx / (C |Ω|) per sample, by the quadrature of the domain.

    On periodic axes and cell centres it is the mean over nodes. Stored ends have half weight, and
    known ends that are not stored count as zeros, as in the integral. On a sphere, nodes near the
    poles have smaller weights. On points it is the weighted mean, or without weights the mean over
    the real points.
    """

    def __init__(self, domain: Domain) -> None:
        self.norm = Lp(2.0, domain=domain)

    def by(self, norm: Lp) -> "MeanSquare":
        return MeanSquare(norm.domain)

    def per_sample(self, prediction: Field, target: Field) -> PerSample:
        check_alike(prediction, target)
        error = fold_time(prediction - target, self.norm.domain)
        return self.norm(error).square() / (error.shape[1] * _volume(self.norm.domain, error))

    def __repr__(self) -> str:
        return f"MeanSquare({self.norm.domain!r})"


class PerChannel(Loss):
    """‖prediction_c - target_c‖ / ‖target_c - its mean‖ in L², mean over channels c, per sample.

    This loss is for channels in different units: all channels have equal weight, and predicting
    the mean gives 1, as in the metric vrmse. For a constant target channel the absolute error
    counts. In a trajectory, all times of all channels have equal weight.
    """

    pools_channels = False
    norm: Lp

    def __init__(self, domain: Domain) -> None:
        self.norm = Lp(2.0, domain=domain)

    def by(self, norm: Lp) -> "PerChannel":
        return PerChannel(norm.domain)

    def per_sample(self, prediction: Field, target: Field) -> PerSample:
        check_alike(prediction, target)
        domain = self.norm.domain
        p, t = (domain.mask_padding(fold_time(u, domain)) for u in (prediction, target))
        w = domain.quadrature().to(t)
        space = tuple(range(2, t.ndim))
        mean = (w * t).sum(space, keepdim=True) / w.sum(tuple(range(-domain.ndim, 0)), keepdim=True)
        whole, error, size = (self.norm.per_channel(u) for u in (t, p - t, t - mean))
        constant = size <= 10 * torch.finfo(size.dtype).eps * whole  # round-off of the mean
        return (error / torch.where(constant, 1.0, size)).mean(1)

    def __repr__(self) -> str:
        return f"PerChannel({self.norm.domain!r})"


def relative_l2(domain: Domain) -> Relative:
    """Relative L² error."""
    return Relative(Lp(2.0, domain=domain))


def relative_h1(domain: Domain, alpha: int | float = 1.0) -> Relative:
    """Relative H¹ error over all waves of the domain."""
    return Relative(Sobolev(1.0, domain, alpha))


LOSSES: dict[str, Callable[..., Loss]] = {
    "RelativeL2": relative_l2,
    "RelativeH1": relative_h1,
    "MSE": MeanSquare,
    "PerChannel": PerChannel,
}


def _volume(domain: Any, like: Tensor) -> Any:
    """The volume as a number, or as (b,) in the dtype and on the device of `like` if samples
    differ."""
    volume = domain.volume
    return volume.to(like) if isinstance(volume, Tensor) else volume
