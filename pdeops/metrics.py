"""Error metrics: one number per sample in physical units, and means over samples.

Every metric maps (prediction, target, domain), with fields (b, c, *space), to (b,). Each value
depends on its own sample only, so results do not depend on the batch size or a short last batch.
Metrics are computed in float64, with integrals by the quadrature of the domain. A relative metric
returns its numerator, the absolute error, if its denominator is 0, so that the value is finite.
Trajectories (b, t, c, *space) are also accepted: each time counts like a group of channels
(`domain.fold_time`).

A metric exists on a domain that has the property `needs`; `metrics_of(domain)` lists these metrics.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from .calculus import calculus_of, has_calculus
from .calculus.norms import Lp, Norm, Sobolev, relative_error
from .domain import Domain, check_alike, fold_time
from .nearest import did_you_mean

# Axes: b batch, c channel, *space nodes, n all nodes.
Field = Float[Tensor, "b c *space"]
PerSample = Float[Tensor, " b"]

# Lower edges of the middle and the high band of |k|, as in PDEBench (Takamoto et al. 2022).
_BAND_EDGES = (4, 12)
# Bound of variance / mean square for a constant field in float64, whose mean is rounded.
_ROUND_OFF = (10 * torch.finfo(torch.float64).eps) ** 2


@dataclass(frozen=True)
class Metric:
    """A function (prediction, target, domain) ↦ (b,), and the domain property that it needs.

    Attributes:
        measure: the function.
        needs: a key of `NEEDS`; every domain has "quadrature".
    """

    measure: Callable[[Tensor, Tensor, Any], Tensor]
    needs: str = "quadrature"

    def __call__(self, prediction: Field, target: Field, domain: Domain) -> PerSample:
        """One number per sample."""
        return self.measure(prediction, target, domain)

    def exists_on(self, domain: Domain) -> bool:
        """Whether the domain has what the metric needs."""
        return NEEDS[self.needs](domain)


# Domain properties that metrics need, each with a test for a domain.
NEEDS: dict[str, Callable[[Any], bool]] = {
    "quadrature": lambda domain: True,
    "waves": has_calculus,
    "a known boundary": lambda domain: domain.outermost() is not None,
}


def relative_l2(prediction: Field, target: Field, domain: Domain) -> PerSample:
    """‖p - t‖ / ‖t‖ in L², channels pooled."""
    return relative_error(Lp(2.0, domain=domain), *_exact(prediction, target, domain))


def relative_h1(prediction: Field, target: Field, domain: Domain) -> PerSample:
    """‖p - t‖ / ‖t‖ in H¹, (∫ u² + |∇u|²)^{1/2}, over all waves of the domain, channels pooled."""
    return relative_error(_h1(domain), *_exact(prediction, target, domain))


def nrmse(prediction: Field, target: Field, domain: Domain) -> PerSample:
    """RMSE / RMS of the target, per channel over nodes, then the mean over channels (PDEBench).

    Means over nodes use `Domain.mean_weights`: equal weights on a box, as in PDEBench; area weights
    on a sphere, where equal weights would count each pole n_lon times; the quadrature weights of
    points if they are known.
    """
    p, t = _exact(prediction, target, domain)
    error, size = (_mean_over_nodes(v.square(), domain).sqrt() for v in (p - t, t))
    return (error / _or_one(size)).mean(1)


def vrmse(prediction: Field, target: Field, domain: Domain) -> PerSample:
    """(MSE / variance of the target)^{1/2} per channel, then the mean over channels.

    Means over nodes are those of `nrmse`. The variance is unbiased, Σ a (t - mean)² / (1 - Σ a²)
    with weights a, so n - 1 replaces n on a box. Predicting the target's mean gives 1 up to this
    factor. The Well uses the same variance plus 1e-7; here nothing is added, so that the metric
    does not depend on the units.
    """
    p, t = _exact(prediction, target, domain)
    mse = _mean_over_nodes((p - t).square(), domain)
    mean = _mean_over_nodes(t, domain)[(..., *[None] * domain.ndim)]
    a = domain.mean_weights().to(t)
    lost = a.square().sum(tuple(range(-domain.ndim, 0)))
    variance = _mean_over_nodes((t - mean).square(), domain) / _or_one(1 - lost)
    constant = variance <= _ROUND_OFF * _mean_over_nodes(t.square(), domain)
    return (mse / _or_one(torch.where(constant, 0.0, variance))).sqrt().mean(1)


def max_error(prediction: Field, target: Field, domain: Domain) -> PerSample:
    """max |p - t| over nodes and channels."""
    p, t = _exact(prediction, target, domain)
    return (p - t).flatten(1).abs().amax(1)


def boundary_error(prediction: Field, target: Field, domain: Domain) -> PerSample:
    """RMSE over the outermost nodes of the domain (`Domain.outermost`), channels pooled.

    These are the boundary nodes if they are stored, or the boundary cells if nodes are cell
    centres. The metric is 0 if there are none: on periodic boxes, on spheres, and on interior
    grids, whose boundary values are known.
    """
    p, t = _exact(prediction, target, domain)
    outermost = domain.outermost()
    if outermost is None:
        raise ValueError(f"The boundary of {domain} is not known. Use max_error or relative_l2.")
    error = (p - t)[..., outermost.to(p.device)].flatten(1)
    return error.square().sum(1).div(max(error.shape[1], 1)).sqrt()


def conserved_error(prediction: Field, target: Field, domain: Domain) -> PerSample:
    """|∫p - ∫t| / ∫|t| per channel, then the mean over channels.

    The denominator is ∫|t| because |∫t| vanishes for fields of zero mean.
    """
    p, t = _exact(prediction, target, domain)
    w = domain.quadrature().to(p)
    defect, size = ((w * v).flatten(2).sum(2) for v in (p - t, t.abs()))
    return (defect.abs() / _or_one(size)).mean(1)


def low_frequency_error(prediction: Field, target: Field, domain: Domain) -> PerSample:
    """The part of the mean squared error in waves with |k| < 4; see `band_errors`."""
    return band_errors(prediction, target, domain)[:, 0]


def mid_frequency_error(prediction: Field, target: Field, domain: Domain) -> PerSample:
    """The part of the mean squared error in waves with 4 <= |k| < 12; see `band_errors`."""
    return band_errors(prediction, target, domain)[:, 1]


def high_frequency_error(prediction: Field, target: Field, domain: Domain) -> PerSample:
    """The part of the mean squared error in waves with 12 <= |k|; see `band_errors`."""
    return band_errors(prediction, target, domain)[:, 2]


def band_errors(prediction: Field, target: Field, domain: Domain) -> Float[Tensor, "b 3"]:
    """The mean squared error ∫ Σ_c (p - t)² dx / (C |Ω|) in three bands: |k| < 4, < 12, >= 12.

    On a box |k| is the length of the vector of integer wave indices (`Grid.series`): waves per side
    for Fourier, half-waves for sines and cosines; all signs are included. On a sphere |k| is the
    degree l. Every wave is in one band, so by Parseval the bands sum to the mean squared error
    exactly (`losses.MeanSquare`).
    """
    p, t = _exact(prediction, target, domain)
    energy, band = _bands(domain)
    e_hat = calculus_of(domain).transform(p - t).abs().square() * energy.to(p)
    parts = e_hat.new_zeros(len(p), 1 + len(_BAND_EDGES))
    parts.index_add_(1, band.to(p.device), e_hat.sum(1).flatten(1))
    return parts / (p.shape[1] * domain.volume)


def definitions() -> dict[str, str]:
    """The definition of each metric: the first line of its docstring, p prediction, t target."""
    return {
        name: (inspect.getdoc(metric.measure) or "").split("\n")[0]
        for name, metric in METRICS.items()
    }


METRICS: dict[str, Metric] = {
    "relative_l2": Metric(relative_l2),
    "relative_h1": Metric(relative_h1, needs="waves"),
    "nrmse": Metric(nrmse),
    "vrmse": Metric(vrmse),
    "max_error": Metric(max_error),
    "boundary_error": Metric(boundary_error, needs="a known boundary"),
    "conserved_error": Metric(conserved_error),
    "low_frequency_error": Metric(low_frequency_error, needs="waves"),
    "mid_frequency_error": Metric(mid_frequency_error, needs="waves"),
    "high_frequency_error": Metric(high_frequency_error, needs="waves"),
}


def metrics_of(domain: Domain) -> dict[str, Metric]:
    """The metrics that exist on a domain, by name."""
    return {name: metric for name, metric in METRICS.items() if metric.exists_on(domain)}


class MetricMean:
    """Means of metrics over all samples, independent of the split into batches.

    Sums are accumulated in float64. With several processes, each process updates with its own
    samples and calls `all_reduce` once; `compute` then returns the same means in every process.

    Args:
        names: names of the metrics; by default all metrics that exist on the domain.

    Raises:
        ValueError: a name is not in METRICS, or a metric does not exist on the domain.
    """

    def __init__(self, domain: Domain, names: Sequence[str] | None = None) -> None:
        self.domain = domain
        existing = metrics_of(domain)
        self.names = tuple(existing if names is None else names)
        for name in self.names:
            if name not in METRICS:
                raise ValueError(
                    f"There is no metric {name!r}; choose from {', '.join(existing)}."
                    f"{did_you_mean(name, METRICS)}"
                )
            if name not in existing:
                raise ValueError(
                    f"The metric {name!r} needs {METRICS[name].needs}, which {domain} do not have; "
                    f"choose from {', '.join(existing)}."
                )
        self.num_samples = 0
        self._sums = torch.zeros(len(self.names), dtype=torch.float64)
        self._reduced = False

    @torch.no_grad()
    def update(self, prediction: Field, target: Field, batch: Any = None) -> None:
        """Add the samples of one batch.

        Args:
            batch: the `Batch` of the samples; needed if positions differ from sample to sample.
        """
        if self._reduced:
            raise ValueError(
                "These means are already summed over all processes; further samples would get a "
                "wrong weight. Make a new MetricMean."
            )
        domain = self.domain if batch is None else self.domain.at(batch)
        values = [METRICS[name](prediction, target, domain).sum() for name in self.names]
        if values:
            self._sums += torch.stack(values).to("cpu", torch.float64)
        self.num_samples += len(target)

    def all_reduce(self) -> "MetricMean":
        """Sum over the processes of torch.distributed, if it is initialised; returns self."""
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
            ValueError: `update` has received no sample.
        """
        if self.num_samples == 0:
            raise ValueError("No mean of no samples: call update() with at least one batch first.")
        means = (self._sums / self.num_samples).tolist()
        return dict(zip(self.names, means, strict=True))


@lru_cache(maxsize=16)
def _h1(domain: Domain) -> Norm:
    """The H¹ norm of a domain, cached because of its multiplier."""
    return Sobolev(1.0, domain)


@lru_cache(maxsize=16)
def _bands(domain: Domain) -> tuple[Tensor, Tensor]:
    """Parseval's weights, and the flattened band index (0, 1 or 2) of every wave."""
    calculus = calculus_of(domain)
    edges = torch.tensor(_BAND_EDGES, dtype=torch.float64)
    band = torch.bucketize(calculus.wave_number, edges, right=True)
    return calculus.parseval_weights, band.flatten()


def _exact(prediction: Tensor, target: Tensor, domain: Domain) -> tuple[Tensor, Tensor]:
    """Both fields in float64 after their checks, with times folded and padding zeroed."""
    check_alike(prediction, target)
    p, t = (fold_time(u, domain, "prediction and target").double() for u in (prediction, target))
    return domain.mask_padding(p), domain.mask_padding(t)


def _mean_over_nodes(u: Tensor, domain: Domain) -> Tensor:
    """The weighted mean over nodes, (b, c, *space) ↦ (b, c)."""
    return (domain.mean_weights().to(u) * u).flatten(2).sum(2)


def _or_one(size: Tensor) -> Tensor:
    """Denominators: size, or 1 where size is 0."""
    return torch.where(size > 0, size, 1.0)
