"""Unbiased estimates of an expectation, and plain Monte Carlo."""

import math
from dataclasses import dataclass, field

import numpy as np
from scipy.special import stdtrit

from .sampling import Sampler

MIN_SAMPLES = 10  # of a variance


@dataclass(frozen=True)
class StandardError:
    """The standard error of a sum of means, (Σ v_i)^½ with v_i = s_i²/n_i.

    Its degrees of freedom are those of Welch and Satterthwaite, (Σ v_i)² / Σ v_i²/(n_i - 1), which
    are approximate unless there is one mean of normal samples.
    """

    value: float
    freedom: float

    @classmethod
    def of(cls, *terms: tuple[float, int]) -> "StandardError":
        """From the sample variance s_i² and the number n_i > 1 of samples of each mean."""
        parts = [(variance / n, n - 1) for variance, n in terms]
        total = sum(v for v, _ in parts)
        spread = sum(v**2 / left for v, left in parts)
        return cls(math.sqrt(total), total**2 / spread if spread > 0 else math.inf)


@dataclass(frozen=True)
class Estimate:
    """An estimate of E[Q].

    Attributes:
        method: its name.
        mean: the estimate.
        uncertainty: its standard error, from the same samples.
        counts: evaluations by sampler, without the pilot.
        seconds: wall-clock seconds of these evaluations.
        pilot_seconds: of the samples that chose sizes and coefficients.
    """

    method: str
    mean: float
    uncertainty: StandardError
    counts: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    pilot_seconds: float = 0.0

    @property
    def standard_error(self) -> float:
        """Of the mean."""
        return self.uncertainty.value

    def seconds_at(self, standard_error: float) -> float:
        """Seconds for another standard error E: those of the pilot, and those of the samples times
        (standard error / E)², also where `MIN_SAMPLES` allows no smaller number."""
        return self.pilot_seconds + self.seconds * (self.standard_error / standard_error) ** 2

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % confidence interval of Student's t, with the degrees of freedom of
        `uncertainty`."""
        half = float(stdtrit(self.uncertainty.freedom, 0.975)) * self.standard_error
        return self.mean - half, self.mean + half


def aim(standard_error: float, pilot: float | int) -> float:
    """The standard error to plan for, given a variance from `pilot` samples: smaller than the
    wanted one by the ratio of the quantiles of Student and Gauss (Stein 1945).

    The numbers of samples depend on the pilot run alone. To draw more wherever the variance of the
    samples asks for it would stop at chance variances that are too small, which for skewed
    quantities go with a mean that is wrong to one side.
    """
    student, gauss = (float(stdtrit(freedom, 0.975)) for freedom in (pilot - 1, math.inf))
    return standard_error * gauss / student


def require_positive(standard_error: float) -> None:
    """Raise a ValueError unless the standard error is positive and finite."""
    if not (standard_error > 0 and math.isfinite(standard_error)):
        raise ValueError(f"The standard error must be positive and finite; got {standard_error:g}.")


def monte_carlo(
    sampler: Sampler, standard_error: float, *, first: int = 0, pilot: int = 50
) -> Estimate:
    """The mean of independent samples.

    Samples first, first + 1, ... are used; the first `pilot` of them estimate the standard
    deviation s and so the number N of those that follow, of which the mean is taken, by s/√N = the
    standard error to `aim` at.
    """
    require_positive(standard_error)
    before = sampler.seconds
    variance = float(np.var(sampler(range(first, first + pilot)), ddof=1))
    spent, start = sampler.seconds - before, first + pilot
    n = max(math.ceil(variance / aim(standard_error, pilot) ** 2), MIN_SAMPLES)
    values = sampler(range(start, start + n))
    return Estimate(
        "Monte Carlo",
        float(values.mean()),
        StandardError.of((float(values.var(ddof=1)), n)),
        {sampler.name: n},
        sampler.seconds - before - spent,
        spent,
    )
