"""Time derivatives of stored frames by finite differences, and quadrature in time."""
# Axes: b batch, t frame, m instant, c channel, *waves coefficients.

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float, Inexact
from torch import Tensor


@dataclass(frozen=True)
class Differences:
    """u_t at every frame from the polynomial through the nearest `accuracy` + 1 frames.

    The error is O(Δt^accuracy): central differences in the interior, one-sided ones at both ends,
    where the constant is accuracy!/((accuracy/2)!)² times as large. Frames need not be equally
    spaced (Fornberg 1988). Even values are best, 4 or 6.

    Raises:
        ValueError: the accuracy is less than 1.
    """

    accuracy: int = 4

    def __post_init__(self) -> None:
        if self.accuracy < 1:
            raise ValueError(f"The accuracy of differences is 1 or more; got {self.accuracy}.")

    def matrix(self, times: Sequence[float | int]) -> Float[Tensor, "t t"]:
        """D (float64) with u_t(t_m) ≈ Σ_n D_mn u(t_n).

        Raises:
            ValueError: there are fewer than `accuracy` + 1 frames.
        """
        count, width = len(times), self.accuracy + 1
        if count < width:
            raise ValueError(
                f"Differences of accuracy {self.accuracy} need {width} frames; got {count}. Use "
                f"more frames, or Differences({max(1, count - 1)})."
            )
        D = torch.zeros(count, count, dtype=torch.float64)
        for m in range(count):
            first = min(max(m - self.accuracy // 2, 0), count - width)
            nearest = slice(first, first + width)
            D[m, nearest] = torch.tensor(
                derivative_weights(times[nearest], times[m]), dtype=torch.float64
            )
        return D


def in_time(
    D: Float[Tensor, "m t"], u_hat: Inexact[Tensor, "b t c *waves"]
) -> Inexact[Tensor, "b m c *waves"]:
    """Σ_t D_mt û_t for every coefficient."""
    # A real matrix times real and imaginary parts costs half of a complex product.
    parts = torch.view_as_real(u_hat) if u_hat.is_complex() else u_hat
    sums = (D.to(parts) @ parts.flatten(2)).unflatten(2, parts.shape[2:])
    return torch.view_as_complex(sums) if u_hat.is_complex() else sums


def derivative_weights(times: Sequence[float | int], at: float | int) -> list[float]:
    """w with p'(at) = Σ w_n p(t_n) for every polynomial p of degree less than the number of times
    (Fornberg 1988, Math. Comp. 51, 699)."""
    x = [float(t) - float(at) for t in times]
    value, slope = [1.0] + [0.0] * (len(x) - 1), [0.0] * len(x)
    product = 1.0
    for i in range(1, len(x)):
        new = 1.0
        last_value, last_slope = value[i - 1], slope[i - 1]
        for j in range(i):
            d = x[i] - x[j]
            new *= d
            slope[j] = (x[i] * slope[j] - value[j]) / d
            value[j] = x[i] * value[j] / d
        value[i] = -product / new * x[i - 1] * last_value
        slope[i] = product / new * (last_value - x[i - 1] * last_slope)
        product = new
    return slope


def trapezoidal_weights(times: Sequence[float | int]) -> Float[Tensor, " t"]:
    """θ (float64) of the composite trapezoidal rule: positive, of sum t_end - t_0."""
    t = torch.tensor([float(v) for v in times], dtype=torch.float64)
    theta = torch.zeros_like(t)
    theta[:-1] += t.diff() / 2
    theta[1:] += t.diff() / 2
    return theta


def require_increasing(times: Sequence[float | int]) -> None:
    """Raise a ValueError unless there are two times or more, finite and increasing."""
    ordered = all(a < b for a, b in pairwise(times))
    if len(times) < 2 or not ordered or not all(map(math.isfinite, times)):
        raise ValueError(
            f"The times of the frames must be finite and increase, two at least; got "
            f"{[float(t) for t in times]}."
        )
