"""What training minimises: a scalar from predicted and true fields of one grid.

A loss object is bound to its grid and refuses fields of another; it is cheap, so for another
resolution build another.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from .calculus.norms import Lp, Norm, Sobolev, check_alike, relative_error
from .domain import Grid


class Loss(ABC):
    """(prediction, target), both (b, c, *space) ↦ the mean over the batch of `per_sample`.

    Attributes:
        pools_channels: errors of all channels are added up, so that their units must agree.
    """

    pools_channels = True

    def __call__(
        self, prediction: Float[Tensor, "b c *space"], target: Float[Tensor, "b c *space"]
    ) -> Float[Tensor, ""]:
        """The mean over the batch."""
        return self.per_sample(prediction, target).mean()

    @abstractmethod
    def per_sample(
        self, prediction: Float[Tensor, "b c *space"], target: Float[Tensor, "b c *space"]
    ) -> Float[Tensor, " b"]:
        """One number per sample."""


class Relative(Loss):
    """‖prediction - target‖ / ‖target‖ per sample, channels pooled; see `norms.relative_error`.

    The gradient is finite everywhere, 0 where the error is zero.
    """

    def __init__(self, norm: Norm) -> None:
        self.norm = norm

    def per_sample(
        self, prediction: Float[Tensor, "b c *space"], target: Float[Tensor, "b c *space"]
    ) -> Float[Tensor, " b"]:
        return relative_error(self.norm, prediction, target)

    def __repr__(self) -> str:
        return f"Relative({self.norm!r})"


class MeanSquare(Loss):
    """∫ Σ_c (prediction_c - target_c)² dx / (C |Ω|) per sample, by the quadrature of the grid.

    On periodic axes and cell centres that is the plain mean over nodes; stored ends weigh half, and
    ends that are known but not stored count as zeros, as they do in the integral.
    """

    def __init__(self, grid: Grid) -> None:
        self.norm = Lp(2.0, grid=grid)

    def per_sample(
        self, prediction: Float[Tensor, "b c *space"], target: Float[Tensor, "b c *space"]
    ) -> Float[Tensor, " b"]:
        check_alike(prediction, target)
        size = target.shape[1] * self.norm.grid.volume
        return self.norm(prediction - target).square() / size

    def __repr__(self) -> str:
        return f"MeanSquare({self.norm.grid!r})"


class PerChannel(Loss):
    """‖prediction_c - target_c‖ / ‖target_c - its mean‖ in L², mean over channels c, per sample.

    For channels in different units: each counts alike, and 1 is what its mean would reach, as by
    the metric vrmse. Where a channel of a target is constant, the error itself counts.
    """

    pools_channels = False

    def __init__(self, grid: Grid) -> None:
        self.norm = Lp(2.0, grid=grid)

    def per_sample(
        self, prediction: Float[Tensor, "b c *space"], target: Float[Tensor, "b c *space"]
    ) -> Float[Tensor, " b"]:
        check_alike(prediction, target)
        shape = (-1, 1, *target.shape[2:])
        t = target.reshape(shape)
        whole, error = self.norm(t), self.norm(prediction.reshape(shape) - t)
        w = self.norm.grid.quadrature().to(t)
        mean = (w * t).sum(tuple(range(2, t.ndim)), keepdim=True) / w.sum()
        size = self.norm(t - mean)
        constant = size <= 10 * torch.finfo(size.dtype).eps * whole  # round-off of the mean
        return (error / torch.where(constant, 1.0, size)).view(target.shape[:2]).mean(1)

    def __repr__(self) -> str:
        return f"PerChannel({self.norm.grid!r})"


def relative_l2(grid: Grid) -> Relative:
    """Relative L² error."""
    return Relative(Lp(2.0, grid=grid))


def relative_h1(grid: Grid, alpha: int | float = 1.0) -> Relative:
    """Relative H¹ error by the grid's own waves, every one of them."""
    return Relative(Sobolev(1.0, grid, alpha))


LOSSES: dict[str, Callable[..., Loss]] = {
    "RelativeL2": relative_l2,
    "RelativeH1": relative_h1,
    "MSE": MeanSquare,
    "PerChannel": PerChannel,
}
