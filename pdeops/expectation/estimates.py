"""Unbiased estimates of an expectation, and plain Monte Carlo."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy.special import stdtrit

from .sampling import Sampler

MIN_SAMPLES = 10  # of a variance
MARGIN = 1.05  # of the number of samples of a further stage, whose variance is itself estimated


@dataclass(frozen=True)
class StandardError:
    """The standard error of a sum of independent means, (Σ v_i)^½ with v_i = s_i²/n_i.

    Its degrees of freedom are those of Welch and Satterthwaite, (Σ v_i)² / Σ v_i²/(n_i - 1).
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

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % confidence interval of Student's t, with the degrees of freedom of
        `uncertainty`."""
        half = float(stdtrit(self.uncertainty.freedom, 0.975)) * self.standard_error
        return self.mean - half, self.mean + half


def in_stages(
    sizes: Callable[[], list[int]],
    draw: Callable[[list[int]], float],
    standard_error: float,
) -> None:
    """Draw samples until the standard error is reached.

    Args:
        sizes: the numbers of samples that the present variances ask for.
        draw: extend the samples to these numbers; returns the standard error reached.
    """
    wanted = sizes()
    while (reached := draw(wanted)) > standard_error:
        factor = max((reached / standard_error) ** 2 * MARGIN, 1.01)
        wanted = [max(n, math.ceil(m * factor)) for n, m in zip(sizes(), wanted, strict=True)]


def require_positive(standard_error: float) -> None:
    """Raise a ValueError unless the standard error is positive and finite."""
    if not (standard_error > 0 and math.isfinite(standard_error)):
        raise ValueError(f"The standard error must be positive and finite; got {standard_error:g}.")


def monte_carlo(
    sampler: Sampler, standard_error: float, *, first: int = 0, pilot: int = 50
) -> Estimate:
    """The mean of independent samples, with s/√N at most the standard error.

    Samples first, first + 1, ... are used; the first `pilot` of them estimate the variance and are
    not part of the mean.
    """
    require_positive(standard_error)
    before = sampler.seconds
    variance = float(np.var(sampler(range(first, first + pilot)), ddof=1))
    spent, start = sampler.seconds - before, first + pilot
    values = np.zeros(0)

    def draw(wanted: list[int]) -> float:
        nonlocal values
        have = len(values)
        values = np.append(values, sampler(range(start + have, start + max(wanted[0], have))))
        return StandardError.of((float(values.var(ddof=1)), len(values))).value

    in_stages(
        lambda: [max(math.ceil(variance / standard_error**2), MIN_SAMPLES)], draw, standard_error
    )
    return Estimate(
        "Monte Carlo",
        float(values.mean()),
        StandardError.of((float(values.var(ddof=1)), len(values))),
        {sampler.name: len(values)},
        sampler.seconds - before - spent,
        spent,
    )
