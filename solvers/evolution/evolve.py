"""Time integration of an evolution equation."""
# Axes: b batch, c channel, *space nodes.

import math
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ...kernels.forms import is_asynchronous
from .etdrk4 import ETDRK4
from .evolution import Evolution
from .step_graph import launched
from .stepper import Stepper
from .trajectory import Trajectory, check_times

_STEPS_PER_CHECK = 8  # steps per check of the Courant number (two transforms, 1 % of the time)
_READ_AT_ONCE = 32  # numbers of the state that an accelerator sends together
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
    watch = _Watch(u_hat, largest, method)
    steps = launched(method, u_hat)
    saved: list[Tensor] = []
    interval = _Interval(0.0, 0.0, dt)

    def stop(reason: str, completed: bool = False) -> Trajectory:
        u = torch.stack(saved, 1) if saved else u0[:, None][:, :0]
        reached = torch.tensor([float(s) for s in times[: len(saved)]], dtype=torch.float64)
        return Trajectory(u, reached, completed, watch.num_steps, watch.courant, reason)

    for target in times:
        interval, level = interval.next(float(target), dt), 0
        steps_here = 0
        while interval.left:
            t = interval.time
            if steps_here % _STEPS_PER_CHECK == 0:
                rate = equation.rate(u_hat, t)
                if rate is not None and courant is not None:
                    level = interval.level_for(float(rate), courant)
                if reason := watch.check_speed(rate, t, interval.whole / 2**level):
                    return stop(reason)
                if reason := watch.check_positive(u_hat, t):
                    return stop(reason)
            steps.step(u_hat, t, interval.take(level))
            steps_here += 1
            if reason := watch.after(u_hat, interval.time):
                return stop(reason)
        if reason := watch.check_positive(u_hat, interval.time) or watch.flush():
            return stop(reason)
        saved.append(equation.decode(u_hat))
    return stop(f"t = {interval.time:.6g} reached in {watch.num_steps} steps", completed=True)


class _Interval:
    """Steps from one time to the next: equal parts not longer than dt, halved as needed.

    Attributes:
        whole: length of a part.
        left: remaining time in units of whole / 2^finest: an integer, so that the end is reached
            exactly.
    """

    def __init__(
        self, start: float, end: float, dt: float | int, before: "_Interval | None" = None
    ) -> None:
        parts = max(1, math.ceil((end - start) / dt * (1 - 1e-12)))  # round-off: 0.1 / 0.02 > 5
        self.whole, self.end = (end - start) / parts, end
        # Lengths that differ by the round-off of the times are one, with the same coefficients.
        if before and abs(self.whole - before.whole) * parts <= 4 * sys.float_info.epsilon * end:
            self.whole = before.whole
        self.left, self.finest = parts if end > start else 0, 0

    def next(self, end: float, dt: float | int) -> "_Interval":
        """The interval from the end of this one on."""
        return _Interval(self.end, end, dt, self)

    def level_for(self, rate: float, courant: float | int) -> int:
        """Number of halvings of a step for this Courant number."""
        if not 0 < rate * self.whole < math.inf:
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


class _Number(NamedTuple):
    """A number of the state, the step and time at which it was formed, and the function that
    returns the reason to stop, or ""."""

    value: Tensor
    step: int
    t: float
    reason: Callable[["_Number", float], str]


class _Watch:
    """Numbers of the state that show a fault: its size after each step, and the Courant number and
    the equation's positive number before some of them. On an accelerator those of several steps are
    read at once.

    Attributes:
        num_steps: steps so far; after a fault, up to the step that had it.
        courant: the largest Courant number.
    """

    def __init__(
        self, u_hat: Tensor, largest: float | int | None, method: Stepper | None = None
    ) -> None:
        self.num_steps, self.courant, self.method = 0, 0.0, method
        self.last = _size(u_hat).item()
        self.bound = float(largest) if largest is not None else 1e6 * max(1.0, self.last)
        self.every = _READ_AT_ONCE if is_asynchronous(u_hat) else 1
        self.numbers: list[_Number] = []

    def check_speed(self, rate: Tensor | None, t: float, dt: float) -> str:
        """The reason not to take a step of length dt, or ""."""

        def reason(number: _Number, rate: float) -> str:
            assert self.method is not None
            courant, limit = rate * dt, self.method.courant_limit
            self.courant = max(self.courant, courant)
            if not courant > limit:
                return ""
            return (
                f"Courant number {courant:.3g} > {limit} at t = {number.t:.6g}: "
                f"{type(self.method).__name__} is unstable there; use dt <= {limit / rate:.2g}, or "
                f"courant=0.5"
            )

        return self._add(rate, t, reason)

    def check_positive(self, u_hat: Tensor, t: float) -> str:
        """The reason why this state cannot be that of a solution, or ""."""
        assert self.method is not None
        equation = self.method.equation

        def reason(number: _Number, value: float) -> str:
            if not value <= 0:  # a state that is not finite is reported as a blow-up
                return ""
            return f"{equation.fault(value)} at t = {number.t:.6g}"

        return self._add(equation.positive(u_hat), t, reason)

    def after(self, u_hat: Tensor, t: float) -> str:
        """The reason to stop after a step, or ""."""
        self.num_steps += 1
        return self._add(_size(u_hat), t, self._oversize)

    def _oversize(self, number: _Number, size: float) -> str:
        if not size <= self.bound:
            return (
                f"blow-up at t = {number.t:.6g}, step {number.step}: the largest coefficient is "
                f"{size:.3g}, after {self.last:.3g} a step before; use a smaller dt or a finer grid"
            )
        self.last = size
        return ""

    def _add(self, value: Tensor | None, t: float, reason: Callable[[_Number, float], str]) -> str:
        if value is not None:
            self.numbers.append(_Number(value, self.num_steps, t, reason))
        return self.flush() if len(self.numbers) >= self.every else ""

    def flush(self) -> str:
        """The reason to stop at a number that was not read yet, or ""."""
        numbers, self.numbers = self.numbers, []
        values = torch.stack([n.value for n in numbers]).tolist() if numbers else []
        for number, value in zip(numbers, values, strict=True):
            if reason := number.reason(number, value):
                self.num_steps = number.step
                return reason
        return ""


def _size(u_hat: Tensor) -> Tensor:
    parts = torch.view_as_real(u_hat) if u_hat.is_complex() else u_hat
    return torch.linalg.vector_norm(parts, math.inf)
