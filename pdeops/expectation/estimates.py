"""Unbiased estimates of an expectation, and plain Monte Carlo."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from .sampling import Sampler

MIN_SAMPLES = 10  # of a variance
MARGIN = 1.05  # of the number of samples of a further stage, whose variance is itself estimated


@dataclass(frozen=True)
class Estimate:
    """An estimate of E[Q].

    Attributes:
        method: its name.
        mean, standard_error: the estimate, and its standard error from the same samples.
        freedom: degrees of freedom of the standard error.
        counts: evaluations by sampler, without the pilot.
        seconds: wall-clock seconds of these evaluations.
        pilot_seconds: of the samples that chose sizes and coefficients.
    """

    method: str
    mean: float
    standard_error: float
    freedom: float | int = math.inf
    counts: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    pilot_seconds: float = 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % confidence interval of Student's distribution, whose standard error is that of
        finitely many samples."""
        from scipy.special import stdtrit

        half = float(stdtrit(self.freedom, 0.975)) * self.standard_error
        return self.mean - half, self.mean + half


def degrees_of_freedom(variances: Sequence[float], counts: Sequence[int]) -> float:
    """Degrees of freedom of the standard error of a sum of independent means, from the variances of
    these means (Welch 1947, Satterthwaite 1946); infinite if all variances are zero."""
    total = sum(v**2 / (n - 1) for v, n in zip(variances, counts, strict=True))
    return sum(variances) ** 2 / total if total > 0 else math.inf


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
        return float(values.std(ddof=1)) / math.sqrt(len(values))

    in_stages(
        lambda: [max(math.ceil(variance / standard_error**2), MIN_SAMPLES)], draw, standard_error
    )
    return Estimate(
        "Monte Carlo",
        float(values.mean()),
        float(values.std(ddof=1)) / math.sqrt(len(values)),
        len(values) - 1,
        {sampler.name: len(values)},
        sampler.seconds - before - spent,
        spent,
    )
