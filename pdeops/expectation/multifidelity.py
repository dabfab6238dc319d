"""Two-fidelity Monte Carlo: a cheap correlated quantity as a control variate."""

import math
from dataclasses import dataclass

import numpy as np

from .estimates import MIN_SAMPLES, Estimate, StandardError, aim, require_positive
from .sampling import Sampler


@dataclass(frozen=True)
class Pair:
    """What a pilot run says of a fine quantity f and a cheap one g.

    Attributes:
        deviation: standard deviation of f.
        correlation: ρ of f and g.
        coefficient: α = cov(f, g) / var(g).
        cost, cheap_cost: seconds of an evaluation of f and of g.
        pilot_seconds: seconds of the pilot run.
        pilot: its samples; infinity for exact figures.
    """

    deviation: float
    correlation: float
    coefficient: float
    cost: float
    cheap_cost: float
    pilot_seconds: float = 0.0
    pilot: float | int = math.inf

    @classmethod
    def measured(cls, fine: Sampler, cheap: Sampler, first: int, pilot: int) -> "Pair":
        """From `pilot` samples of both."""
        before = fine.seconds + cheap.seconds
        indices = range(first, first + pilot)
        f, g = fine(indices), cheap(indices)
        varies = f.std() > 0 and g.std() > 0
        rho = float(np.corrcoef(f, g)[0, 1]) if varies else 0.0
        alpha = rho * float(f.std() / g.std()) if varies else 0.0
        spent = fine.seconds + cheap.seconds - before
        return cls(float(f.std(ddof=1)), rho, alpha, fine.cost, cheap.cost, spent, pilot)

    @property
    def _unexplained(self) -> float:
        return max(1 - self.correlation**2, 1e-12)

    @property
    def ratio(self) -> float:
        """M/N of least cost: (ρ² / (c (1 - ρ²)))^½, c = cheap_cost / cost; at least 1."""
        c = self.cheap_cost / self.cost
        return max(math.sqrt(self.correlation**2 / (c * self._unexplained)), 1.0)

    @property
    def relative_cost(self) -> float:
        """Seconds at equal standard error, over those of Monte Carlo with f:
        ((1 - ρ²)^½ + (c ρ²)^½)², where M >= N."""
        c, r = self.cheap_cost / self.cost, self.ratio
        return (1 - (1 - 1 / r) * self.correlation**2) * (1 + c * r)

    def refusal(self, name: str) -> str | None:
        """Why g, "the `name`", is no help as a control variate; None if it is."""
        if self.relative_cost < 1:
            return None
        return (
            f"The {name} is no help as a control variate: its correlation with the solution is "
            f"{self.correlation:.3f} and it costs {self.cheap_cost / self.cost:.2g} of a solve, so "
            f"it takes {self.relative_cost:.2f} times the seconds of Monte Carlo. Use Monte Carlo "
            f"or a better control variate."
        )

    def sizes(self, standard_error: float) -> list[int]:
        """N evaluations of f and M of g, which include the N."""
        standard_error = aim(standard_error, self.pilot)
        variance = self.deviation**2 * (1 - (1 - 1 / self.ratio) * self.correlation**2)
        n = max(math.ceil(variance / standard_error**2), MIN_SAMPLES)
        # Where n is the least number, fewer evaluations of g than n · ratio suffice.
        explained = (self.correlation * self.deviation) ** 2
        left = standard_error**2 - (self.deviation**2 - explained) / n
        enough = explained / left if left > 0 else math.inf
        return [n, max(n, math.ceil(min(enough, n * self.ratio)))]


def multifidelity(
    fine: Sampler, cheap: Sampler, pair: Pair, standard_error: float, *, first: int = 0
) -> Estimate:
    """mean_N(f) + α (mean_M(g) - mean_N(g)), the N samples among the M (Peherstorfer, Willcox and
    Gunzburger 2016).

    It is unbiased for E[f] whatever g is, because α and the sizes are from the pilot run, whose
    samples must not be among first, first + 1, .... With d = f - α g its variance is

        var(d)/N + (α² var(g) + 2 α cov(d, g))/M.

    Raises:
        ValueError: the standard error is not positive, or g does not help: the figure is given.
    """
    require_positive(standard_error)
    if why := pair.refusal(cheap.name):
        raise ValueError(why)
    alpha, before = pair.coefficient, fine.seconds + cheap.seconds
    n, m = pair.sizes(standard_error)
    f, g = fine(range(first, first + n)), cheap(range(first, first + m))
    d = f - alpha * g[:n]
    shared = alpha**2 * g.var(ddof=1) + 2 * alpha * np.cov(d, g[:n])[0, 1]
    # The second term is not negative for exact variances; those of samples may be.
    error = StandardError.of((float(d.var(ddof=1)), n), (max(float(shared), 0.0), m))
    return Estimate(
        f"control variate: {cheap.name}",
        float(f.mean() + alpha * (g.mean() - g[:n].mean())),
        error,
        {fine.name: n, cheap.name: m},
        fine.seconds + cheap.seconds - before,
        pair.pilot_seconds,
    )
