"""Chebyshev polynomials in time: functions on an interval that is not a period.

    f(t) = Σ_{j<m} f̂_j T_j(s),   s = (2t - a - b) / (b - a) in [-1, 1] for t in [a, b].

A polynomial is evaluated at any instant, and its coefficients are exact at the Gauss nodes of the
interval, where the T_j are orthogonal with equal weights. At other instants, such as equally spaced
frames, they are those of the least-squares fit. Nothing wraps around from b to a, as in a Fourier
series. All matrices are float64 arrays.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy.polynomial import chebyshev

Interval = tuple[float, float]


def gauss_nodes(interval: Interval, n: int) -> Float[np.ndarray, " n"]:
    """The n zeros of T_n on the interval, in increasing order."""
    a, b = interval
    return (a + b) / 2 - (b - a) / 2 * np.cos(np.pi * (np.arange(n) + 0.5) / n)


def values(
    times: Sequence[float] | np.ndarray, interval: Interval, m: int, *, derivative: int = 0
) -> Float[np.ndarray, "t m"]:
    """d^k T_j / dt^k at the times, k = `derivative`; T_0 alone on an interval of length 0."""
    a, b = interval
    times = np.asarray(times, dtype=np.float64)
    if a == b:
        return np.eye(1, m).repeat(len(times), 0) * (derivative == 0)
    s = (2 * times - a - b) / (b - a)
    coefficients = np.eye(m)
    if derivative:
        coefficients = chebyshev.chebder(coefficients, derivative, scl=2 / (b - a))
    return chebyshev.chebval(s, coefficients).T


def analysis(n: int, m: int) -> Float[np.ndarray, "m n"]:
    """Coefficients j < m of a polynomial below degree n from its values at the n Gauss nodes."""
    V = values(gauss_nodes((-1.0, 1.0), n), (-1.0, 1.0), m)
    weights = np.where(np.arange(m) == 0, 1, 2)[:, None] / n
    return weights * V.T


def fit(
    times: Sequence[float] | np.ndarray, interval: Interval, m: int
) -> Float[np.ndarray, "m t"]:
    """Coefficients j < m of the least-squares fit to values at these times of the interval.

    Raises:
        ValueError: there are fewer than m times, or they leave the polynomial undetermined on the
            interval: values of size 1 give polynomials above 100.
    """
    if len(times) < m:
        raise ValueError(
            f"A fit by {m} polynomials in time needs {m} or more frames; got {len(times)}."
        )
    L = np.linalg.pinv(values(times, interval, m))
    dense = values(np.linspace(*interval, 8 * m + 1), interval, m)
    growth = np.abs(dense @ L).sum(1).max()
    if not growth < 100:
        raise ValueError(
            f"Frames at the times {', '.join(f'{t:.4g}' for t in times)} do not determine {m} "
            f"polynomials on [{interval[0]:.4g}, {interval[1]:.4g}] (errors grow {growth:.0f} "
            f"times). Give frames that cover the interval, or use fewer polynomials."
        )
    return L
