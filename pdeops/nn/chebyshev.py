"""Mapped Chebyshev polynomials in time: functions on an interval that is not a period.

    f(t) = Σ_{j<m} f̂_j T_j(s(z)),   z = (2t - a - b) / (b - a) in [-1, 1] for t in [a, b],

    s(z) = sin(z arcsin α) / α,   0 <= α < 1      (Kosloff and Tal-Ezer, J. Comput. Phys. 104, 1993)

For α = 0 (s = z) they are polynomials, which need π nodes per oscillation and many more than m²/4
equally spaced frames to be determined. For α → 1 they become the cosines of z, which need two nodes
per oscillation, and nearly as few frames as functions; `mapping` chooses α between the two. Nothing
wraps around from b to a, as it does in a Fourier series.

The functions are evaluated at any instant. Their coefficients are exact at the Gauss nodes of the
interval, where they are orthogonal with equal weights; from other instants, such as equally spaced
frames, they follow by least squares. All matrices are float64 arrays.
"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy.polynomial import chebyshev

Interval = tuple[float, float]


def mapping(m: int, num_frames: int) -> float:
    """α for m functions that equally spaced frames must determine: 0 up to m = 2 sqrt(num_frames),
    above that sech(ln(100) / m), which resolves oscillations to one per cent with fewest functions.
    """
    return 0.0 if m * m <= 4 * num_frames else 1 / math.cosh(math.log(100) / m)


def gauss_nodes(interval: Interval, n: int, alpha: float = 0.0) -> Float[np.ndarray, " n"]:
    """The n instants where T_n(s) vanishes, in increasing order."""
    a, b = interval
    s = -np.cos(np.pi * (np.arange(n) + 0.5) / n)
    z = np.arcsin(alpha * s) / np.arcsin(alpha) if alpha else s
    return (a + b) / 2 + (b - a) / 2 * z


def values(
    times: Sequence[float] | np.ndarray, interval: Interval, m: int, alpha: float = 0.0
) -> Float[np.ndarray, "t m"]:
    """The functions j < m at the times; the first alone on an interval of length 0."""
    a, b = interval
    times = np.asarray(times, dtype=np.float64)
    if a == b:
        return np.eye(1, m).repeat(len(times), 0)
    z = (2 * times - a - b) / (b - a)
    s = np.sin(z * np.arcsin(alpha)) / alpha if alpha else z
    return chebyshev.chebvander(s, m - 1)


def analysis(n: int, m: int) -> Float[np.ndarray, "m n"]:
    """Coefficients j < m of a combination of n functions from its values at the n Gauss nodes, for
    every interval and α."""
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
