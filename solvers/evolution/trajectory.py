"""The record of a solution through time."""
# Axes: b batch, t time, c channel, *space nodes.

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor


@dataclass
class Trajectory:
    """A field at the requested times, and whether it is reliable.

    Attributes:
        u: the fields at the times that were reached.
        times: the times of the fields in u, float64.
        completed: every time was reached without a blow-up or a violated stability limit.
        num_steps: steps taken.
        courant: largest Courant number dt Σ|u_a|/h_a, computed at each of `times` and after every
            eighth step in between; 0 for an equation that advects nothing.
        reason: why the loop stopped, in words.
    """

    u: Float[Tensor, "b t c *space"]
    times: Float[Tensor, " t"]
    completed: bool
    num_steps: int
    courant: float
    reason: str

    def __repr__(self) -> str:
        state = "completed" if self.completed else "NOT completed"
        dtype = str(self.u.dtype).removeprefix("torch.")
        return (
            f"Trajectory({state}, {self.num_steps} steps, Courant number {self.courant:.2g}, "
            f"u: {tuple(self.u.shape)} {dtype}; {self.reason})"
        )


def check_times(times: Sequence[float | int]) -> None:
    """Raise a ValueError unless the times increase from 0 or later."""
    ordered = all(a < b for a, b in pairwise(times))
    if not times or not ordered or not (times[0] >= 0 and math.isfinite(times[-1])):
        raise ValueError(f"times must increase from 0 or later, and be finite; got {list(times)}.")
