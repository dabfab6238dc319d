"""Multilevel Monte Carlo on a hierarchy of grids."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from .estimates import MIN_SAMPLES, Estimate, StandardError, aim, require_positive
from .sampling import Sampler


def multilevel(
    levels: Sequence[Sampler], standard_error: float, *, first: int = 0, pilot: int = 20
) -> Estimate:
    """Σ_l mean(Q_l - Q_(l-1)) with independent samples on each level (Giles 2015), Q_(-1) = 0.

    The numbers of samples are those of least cost, N_l ∝ (V_l / C_l)^½, with variances V_l and
    seconds C_l of the differences from `pilot` samples per level, which are not used again. It is
    unbiased for the finest level; it starts on the level for which a pilot predicts least cost.

    Args:
        levels: samplers from the coarsest grid to the finest.

    Raises:
        ValueError: the standard error is not positive, or there are no levels.
    """
    require_positive(standard_error)
    if not levels:
        raise ValueError("Multilevel Monte Carlo needs at least one level; got none.")
    total = lambda: sum(level.seconds for level in levels)  # noqa: E731
    before = total()
    values = [level(range(first, first + pilot)) for level in levels]
    costs = [level.cost for level in levels]
    spent, start = total() - before, first + pilot
    # From which level on? Without the coarsest ones the next one is sampled alone.
    plans = []
    for lowest in range(len(levels)):
        parts = [values[lowest], *(b - a for a, b in pairwise(values[lowest:]))]
        v = [max(float(part.var(ddof=1)), 1e-300) for part in parts]
        c = [costs[i] + (costs[i - 1] if i > lowest else 0.0) for i in range(lowest, len(levels))]
        plans.append((sum(math.sqrt(a * b) for a, b in zip(v, c, strict=True)), lowest, v, c))
    root, lowest, v, c = min(plans)
    used = levels[lowest:]
    stride, aimed = 10**7, aim(standard_error, pilot)  # levels have disjoint samples
    differences: list[np.ndarray] = []
    for i, level in enumerate(used):
        n = max(math.ceil(root * math.sqrt(v[i] / c[i]) / aimed**2), MIN_SAMPLES)
        indices = range(start + i * stride, start + i * stride + n)
        differences.append(level(indices) - (used[i - 1](indices) if i else 0.0))
    return Estimate(
        "multilevel Monte Carlo",
        float(sum(d.mean() for d in differences)),
        StandardError.of(*((float(d.var(ddof=1)), len(d)) for d in differences)),
        {level.name: len(d) for level, d in zip(used, differences, strict=True)},
        total() - before - spent,
        spent,
    )
