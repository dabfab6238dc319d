"""Time integration of an evolution equation."""
# Axes: b batch, c channel, *space nodes.

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ...kernels.forms import is_asynchronous
from .etdrk4 import ETDRK4
from .evolution import Evolution
from .stepper import Stepper
from .trajectory import Trajectory, check_times

_STEPS_PER_CHECK = 8  # steps per check of the Courant number (two transforms, 1 % of the time)
_SYNC_EVERY = 32  # steps between reads of the size of the state on an accelerator
_MOST_HALVINGS = 30


@torch.no_grad()
def evolve(
    equation: Evolution,
    u0: Float[Tensor, "b c *space"],
    times: Sequence[float | int],
    *,
    dt: float | int,
    stepper: type[Stepper] | None = None,
    courant: float | int | None = None,
    largest: float | int | None = None,
) -> Trajectory:
    """The solution with u(0) = u0 at the given times, without interpolation.

    Between two times all steps are equal and at most dt long. With `courant`, a step is halved as
    often as that Courant number requires (0.5 is a good value), and dt is the largest step. After
    each step the size of the state is checked: the loop stops if a coefficient is not finite or
    exceeds `largest` (by default 1e6, or 1e6 times the initial coefficients). u carries no
    gradient.

    Args:
        stepper: the method, `ETDRK4` by default.

    Raises:
        ValueError: u0 is not a field of the equation, times do not increase from 0 on, or dt,
            courant or largest is not positive.
    """
    equation.check(u0)
    check_times(times)
    if not (dt > 0 and math.isfinite(dt)):
        raise ValueError(f"dt must be positive and finite; got {dt}.")
    if courant is not None and not 0 < courant < math.inf:
        raise ValueError(
            f"courant must be positive and finite; got {courant}. Good values lie near 0.5."
        )
    if largest is not None and not largest > 0:
        raise ValueError(
            f"largest must be positive; got {largest}. It bounds the coefficients; leave it out "
            f"for 1e6 times the initial ones."
        )
    u_hat = equation.encode(u0)
    method = (stepper or ETDRK4)(equation, u_hat)
    watch = _Watch(u_hat, largest)
    saved: list[Tensor] = []
    t, largest_courant = 0.0, 0.0

    def stop(reason: str, completed: bool = False) -> Trajectory:
        u = torch.stack(saved, 1) if saved else u0[:, None][:, :0]
        reached = torch.tensor([float(s) for s in times[: len(saved)]], dtype=torch.float64)
        return Trajectory(u, reached, completed, watch.num_steps, largest_courant, reason)

    for target in times:
        interval, level = _Interval(t, float(target), dt), 0
        steps_here = 0
        while interval.left:
            if steps_here % _STEPS_PER_CHECK == 0:
                rate = equation.rate(u_hat, t)
                cells = 0.0 if rate is None else float(rate)
                level = interval.level_for(cells, courant)
                number = cells * interval.whole / 2**level
                largest_courant = max(largest_courant, number)
                if number > method.courant_limit:
                    return stop(
                        f"Courant number {number:.3g} > {method.courant_limit} at t = {t:.6g}: "
                        f"{type(method).__name__} is unstable there; use "
                        f"dt <= {method.courant_limit / cells:.2g}, or courant=0.5"
                    )
                if reason := equation.fault(u_hat):
                    return stop(f"{reason} at t = {t:.6g}")
            method.step(u_hat, t, interval.take(level))
            t = interval.time
            steps_here += 1
            if reason := watch.after(u_hat, t):
                return stop(reason)
        if reason := watch.flush():
            return stop(reason)
        if reason := equation.fault(u_hat):
            return stop(f"{reason} at t = {t:.6g}")
        saved.append(equation.decode(u_hat))
    return stop(f"t = {t:.6g} reached in {watch.num_steps} steps", completed=True)


class _Interval:
    """Steps from one time to the next: equal parts not longer than dt, halved as needed.

    Attributes:
        whole: length of a part.
        left: remaining time in units of whole / 2^finest: an integer, so that the end is reached
            exactly.
    """

    def __init__(self, start: float, end: float, dt: float | int) -> None:
        parts = max(1, math.ceil((end - start) / dt * (1 - 1e-12)))  # round-off: 0.1 / 0.02 > 5
        self.whole, self.end = (end - start) / parts, end
        self.left, self.finest = parts if end > start else 0, 0

    def level_for(self, rate: float, courant: float | int | None) -> int:
        """Number of halvings of a step for this Courant number."""
        if courant is None or not 0 < rate * self.whole < math.inf:
            return 0
        return min(_MOST_HALVINGS, max(0, math.ceil(math.log2(rate * self.whole / courant))))

    def take(self, level: int) -> float:
        """Advance by whole / 2^level, or by what remains; returns the length of the step."""
        finer = max(0, level - self.finest)
        self.left, self.finest = self.left << finer, self.finest + finer
        size = min(1 << (self.finest - level), 1 << (self.left.bit_length() - 1))
        self.left -= size
        return self.whole * size / 2**self.finest

    @property
    def time(self) -> float:
        """End of the last step."""
        return self.end - self.whole * self.left / 2**self.finest


class _Watch:
    """The size of the state after each step; on an accelerator read after several steps at once."""

    def __init__(self, u_hat: Tensor, largest: float | int | None) -> None:
        self.num_steps = 0
        self.last = _size(u_hat).item()
        self.bound = float(largest) if largest is not None else 1e6 * max(1.0, self.last)
        self.every = _SYNC_EVERY if is_asynchronous(u_hat) else 1
        self.times: list[float] = []
        self.sizes: list[Tensor] = []

    def after(self, u_hat: Tensor, t: float) -> str:
        """The reason to stop, or ""."""
        self.num_steps += 1
        self.times.append(t)
        self.sizes.append(_size(u_hat))
        return self.flush() if len(self.times) >= self.every else ""

    def flush(self) -> str:
        """The reason to stop in the steps since the last check, or ""."""
        sizes = torch.stack(self.sizes).tolist() if self.sizes else []
        steps = range(self.num_steps - len(sizes) + 1, self.num_steps + 1)
        for step, t, size in zip(steps, self.times, sizes, strict=True):
            if not size <= self.bound:
                self.num_steps = step
                return (
                    f"blow-up at t = {t:.6g}, step {step}: the largest coefficient is {size:.3g}, "
                    f"after {self.last:.3g} a step before; use a smaller dt or a finer grid"
                )
            self.last = size
        self.times, self.sizes = [], []
        return ""


def _size(u_hat: Tensor) -> Tensor:
    parts = torch.view_as_real(u_hat) if u_hat.is_complex() else u_hat
    return torch.linalg.vector_norm(parts, math.inf)
