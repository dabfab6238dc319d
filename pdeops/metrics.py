"""What is reported: one number per sample on the physical scale, and means over samples.

Every metric is a function of (prediction, target, grid), fields (b, c, *space), that returns (b,).
It depends on its own sample only, so neither the batch size nor a short last batch matters. It is
computed in float64, integrals by the quadrature of the grid. Where a metric divides by a size of
the target and that size is 0, it reports the numerator itself: the absolute error, finite.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from .calculus.fourier import parseval_weights, squared_length, transform, wave_indices
from .calculus.norms import Lp, Norm, Sobolev, check_alike, relative_error
from .domain import Boundary, Grid, Placement
from .nearest import did_you_mean

# Axes: b batch, c channel, *space nodes, n all nodes.
Field = Float[Tensor, "b c *space"]
PerSample = Float[Tensor, " b"]
Metric = Callable[[Tensor, Tensor, Grid], Tensor]

# Lower edges of the middle and the high band of |k|, as in PDEBench (Takamoto et al. 2022).
_BAND_EDGES = (4, 12)


def relative_l2(prediction: Field, target: Field, grid: Grid) -> PerSample:
    """‖p - t‖ / ‖t‖ in L², channels pooled."""
    return relative_error(Lp(2.0, grid=grid), *_exact(prediction, target, grid))


def relative_h1(prediction: Field, target: Field, grid: Grid) -> PerSample:
    """‖p - t‖ / ‖t‖ in H¹ = (∫ u² + |∇u|²)^{1/2}, every wave of the grid, channels pooled."""
    return relative_error(_h1(grid), *_exact(prediction, target, grid))


def nrmse(prediction: Field, target: Field, grid: Grid) -> PerSample:
    """RMSE / RMS of the target, per channel over nodes, then the mean over channels (PDEBench)."""
    p, t = _exact(prediction, target, grid)
    error, size = (v.flatten(2).square().mean(2).sqrt() for v in (p - t, t))
    return (error / _or_one(size)).mean(1)


def vrmse(prediction: Field, target: Field, grid: Grid) -> PerSample:
    """(MSE / variance of the target)^{1/2} per channel, then the mean over channels.

    1 for a prediction that is the target's mean. The variance is unbiased, as in The Well, which
    adds 1e-7 to it; here nothing is added, so that the units of a field do not matter.
    """
    p, t = _exact(prediction, target, grid)
    mse = (p - t).flatten(2).square().mean(2)
    variance = t.flatten(2).var(2, correction=min(1, grid.num_nodes - 1))
    return (mse / _or_one(variance)).sqrt().mean(1)


def max_error(prediction: Field, target: Field, grid: Grid) -> PerSample:
    """max |p - t| over nodes and channels."""
    p, t = _exact(prediction, target, grid)
    return (p - t).flatten(1).abs().amax(1)


def boundary_error(prediction: Field, target: Field, grid: Grid) -> PerSample:
    """RMSE over the outermost nodes of the axes that have ends, channels pooled.

    Those on the boundary where it is stored, the cells that touch it where nodes are cell centres.
    0 on grids without such nodes: periodic, or interior ones, whose boundary values are known.
    """
    p, t = _exact(prediction, target, grid)
    outermost = torch.zeros(grid.shape, dtype=torch.bool)
    for axis, (b, place) in enumerate(zip(grid.boundary, grid.placement, strict=True)):
        if b is not Boundary.PERIODIC and place is not Placement.INTERIOR:
            outermost.index_fill_(axis, torch.tensor([0, grid.shape[axis] - 1]), True)
    error = (p - t)[..., outermost.to(p.device)].flatten(1)
    return error.square().sum(1).div(max(error.shape[1], 1)).sqrt()


def conserved_error(prediction: Field, target: Field, grid: Grid) -> PerSample:
    """|∫p - ∫t| / ∫|t| per channel, then the mean over channels.

    ∫|t| and not |∫t|, which is zero for fields of zero mean.
    """
    p, t = _exact(prediction, target, grid)
    w = grid.quadrature().to(p).flatten()
    defect = ((p - t).flatten(2) @ w).abs()
    return (defect / _or_one(t.abs().flatten(2) @ w)).mean(1)


def low_frequency_error(prediction: Field, target: Field, grid: Grid) -> PerSample:
    """The part of the mean squared error in waves with |k| < 4; see `band_errors`."""
    return band_errors(prediction, target, grid)[:, 0]


def mid_frequency_error(prediction: Field, target: Field, grid: Grid) -> PerSample:
    """The part of the mean squared error in waves with 4 <= |k| < 12; see `band_errors`."""
    return band_errors(prediction, target, grid)[:, 1]


def high_frequency_error(prediction: Field, target: Field, grid: Grid) -> PerSample:
    """The part of the mean squared error in waves with 12 <= |k|; see `band_errors`."""
    return band_errors(prediction, target, grid)[:, 2]


def band_errors(prediction: Field, target: Field, grid: Grid) -> Float[Tensor, "b 3"]:
    """The mean squared error ∫ Σ_c (p - t)² dx / (C |Ω|), split by |k| < 4, < 12, and the rest.

    k is the vector of whole-number indices of the grid's waves (`Grid.series`), all signs
    included, |k| its length: waves per side for Fourier, half-waves for sines and cosines. Every
    wave is in one band, so by Parseval the three sum to the mean squared error exactly
    (`losses.MeanSquare`).
    """
    p, t = _exact(prediction, target, grid)
    energy, band = _bands(grid)
    e_hat = transform(p - t, grid).abs().square() * energy.to(p)
    parts = e_hat.new_zeros(len(p), 1 + len(_BAND_EDGES))
    parts.index_add_(1, band.to(p.device), e_hat.sum(1).flatten(1))
    return parts / (p.shape[1] * math.prod(grid.extent))


METRICS: dict[str, Metric] = {
    "relative_l2": relative_l2,
    "relative_h1": relative_h1,
    "nrmse": nrmse,
    "vrmse": vrmse,
    "max_error": max_error,
    "boundary_error": boundary_error,
    "conserved_error": conserved_error,
    "low_frequency_error": low_frequency_error,
    "mid_frequency_error": mid_frequency_error,
    "high_frequency_error": high_frequency_error,
}


class MetricMean:
    """Means over all samples seen, whatever the batches: each sample counts once.

    Sums are kept in float64. Over several processes, each updates with its own samples, all call
    `all_reduce` once, and `compute` then gives every one of them the same means.

    Raises:
        ValueError: a name that is not in METRICS.
    """

    def __init__(self, grid: Grid, names: Sequence[str] | None = None) -> None:
        self.grid = grid
        self.names = tuple(METRICS if names is None else names)
        for name in self.names:
            if name not in METRICS:
                raise ValueError(
                    f"There is no metric {name!r}; choose from {', '.join(METRICS)}."
                    f"{did_you_mean(name, METRICS)}"
                )
        self.num_samples = 0
        self._sums = torch.zeros(len(self.names), dtype=torch.float64)
        self._reduced = False

    @torch.no_grad()
    def update(self, prediction: Field, target: Field) -> None:
        """Add the samples of one batch."""
        if self._reduced:
            raise ValueError(
                "These means are already summed over all processes; further samples would weigh "
                "wrongly. Make a new MetricMean."
            )
        values = [METRICS[name](prediction, target, self.grid).sum() for name in self.names]
        if values:
            self._sums += torch.stack(values).to("cpu", torch.float64)
        self.num_samples += len(target)

    def all_reduce(self) -> "MetricMean":
        """Sum over all processes of torch.distributed, if there are any; returns itself."""
        distributed = torch.distributed
        if distributed.is_available() and distributed.is_initialized() and not self._reduced:
            device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
            count = torch.tensor([self.num_samples], dtype=torch.float64)
            packed = torch.cat([self._sums, count]).to(device)
            distributed.all_reduce(packed)
            self._sums, self.num_samples = packed[:-1].cpu(), int(packed[-1].item())
            self._reduced = True
        return self

    def compute(self) -> dict[str, float]:
        """The mean of each metric over the samples.

        Raises:
            ValueError: there was no sample.
        """
        if self.num_samples == 0:
            raise ValueError("No mean of no samples: call update() with at least one batch first.")
        means = (self._sums / self.num_samples).tolist()
        return dict(zip(self.names, means, strict=True))


@lru_cache(maxsize=16)
def _h1(grid: Grid) -> Norm:
    """The H¹ norm of a grid; its multiplier is worth keeping."""
    return Sobolev(1.0, grid)


@lru_cache(maxsize=16)
def _bands(grid: Grid) -> tuple[Tensor, Tensor]:
    """Parseval's weights and the band 0, 1, 2 of every wave, the latter flat."""
    squared_index = squared_length(wave_indices(grid))
    edges = torch.tensor([edge**2 for edge in _BAND_EDGES], dtype=squared_index.dtype)
    return parseval_weights(grid), torch.bucketize(squared_index, edges, right=True).flatten()


def _exact(prediction: Tensor, target: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
    """Both fields in float64, checked."""
    check_alike(prediction, target)
    grid.check(target, "prediction and target")
    if target.ndim != 2 + grid.ndim:
        raise ValueError(
            f"Metrics take fields (b, c, *space) with {grid.ndim} axes of space; got shape "
            f"{tuple(target.shape)}. Add a batch or channel axis, or flatten time into the batch."
        )
    return prediction.double(), target.double()


def _or_one(size: Tensor) -> Tensor:
    """Sizes to divide by: 1 where they are 0."""
    return torch.where(size > 0, size, 1.0)
