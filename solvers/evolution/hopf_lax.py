"""The exact entropy solution of the inviscid Burgers equation, before and after shocks."""
# Axes: x points, y candidates for the foot of a characteristic.

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor


def hopf_lax(
    u0: Callable[[Tensor], Tensor],
    potential: Callable[[Tensor], Tensor],
    x: Float[Tensor, " x"],
    t: float | int,
    *,
    largest: float | int,
    num_candidates: int = 1001,
) -> tuple[Float[Tensor, " x"], Float[Tensor, " x"]]:
    """u and its potential U at x and t > 0, where u_t + (u²/2)_x = 0 and u0 = potential'.

    U(x, t) = min_y potential(y) + (x - y)²/2t (Hopf 1950, Lax 1957), and u = (x - y*)/t with y* the
    foot of the characteristic through (x, t). The average of u over [a, b] is (U(b) - U(a))/(b -
    a), also across a shock. The foot is the best of `num_candidates` points between x - t·largest
    and x + t·largest, refined by bisection to round-off; u0 may jump.

    Args:
        largest: a bound on |u0|.
        num_candidates: enough to separate the local minima.
    """
    if not (t > 0 and largest > 0):
        raise ValueError(f"t and largest must be positive; got {t} and {largest}.")
    points = x.double()
    reach = torch.linspace(-1, 1, num_candidates, dtype=torch.float64) * (t * largest)
    y = points[:, None] + reach
    best = (potential(y) + (points[:, None] - y) ** 2 / (2 * t)).argmin(1)
    foot = y.gather(1, best[:, None])[:, 0]
    width = (reach[1] - reach[0]).item()
    low, high = foot - width, foot + width
    for _ in range(60):  # the slope in y, u0(y) - (x - y)/t, is negative before a minimum
        middle = (low + high) / 2
        before = u0(middle) < (points - middle) / t
        low, high = torch.where(before, middle, low), torch.where(before, high, middle)
    foot = (low + high) / 2
    U = potential(foot) + (points - foot) ** 2 / (2 * t)
    return ((points - foot) / t).to(x.dtype), U.to(x.dtype)
