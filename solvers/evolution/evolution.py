"""Time-dependent equations in waves, and the loop that takes them through time.

An equation is u_t = L u + N(u, t) with L diagonal in waves. How a field becomes its state, the
coefficients û, is the equation's own business (`encode`, `decode`): steppers see a complex or real
tensor, a symbol, and N.
"""
# Axes: b batch, t time, c channel, *space nodes, *waves coefficients as the equation lays them out.

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float, Inexact, Shaped
from torch import Tensor

from ...domain import Domain

_STEPS_PER_CHECK = 8  # of the Courant number: two transforms, one percent of the steps' time
_SYNC_EVERY = 32  # steps between looks at the size of the state on an accelerator
_MOST_HALVINGS = 30


@dataclass
class Trajectory:
    """A field at the times asked for, and whether it is to be trusted.

    Attributes:
        u: the fields at `times`; those that were reached.
        times: of the fields in u, float64.
        completed: every time was reached, no blow-up, no violated stability limit.
        num_steps: steps taken.
        courant: largest Courant number dt Σ|u_a|/h_a met where it was looked at: at each of
            `times` and after every eighth step between; 0 for an equation that advects nothing.
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


class Evolution(ABC):
    """u_t = L u + N(u, t): how a field becomes coefficients, the symbol of L, and N.

    `PseudoSpectral` is the usual base: its state is that of `fourier.transform`.

    Attributes:
        grid: the nodes.
        num_channels: of the field.
        symbol: L per wave (float64 or complex128), of a shape that broadcasts to the state's; or,
            where `coupled`, a matrix per wave, (c, c, *waves).
        coupled: L mixes the channels.
    """

    num_channels: int = 1
    coupled: bool = False

    def __init__(self, grid: Domain, symbol: Tensor) -> None:
        self.grid: Any = grid
        self.symbol = symbol
        self._casts: dict[tuple[int, torch.dtype, torch.device], tuple[Tensor, Tensor]] = {}

    @abstractmethod
    def encode(self, u: Float[Tensor, "b c *space"]) -> Inexact[Tensor, "*state"]:
        """The state of a field."""

    @abstractmethod
    def decode(self, u_hat: Inexact[Tensor, "*state"]) -> Float[Tensor, "b c *space"]:
        """The field of a state."""

    @abstractmethod
    def nonlinear(self, u_hat: Inexact[Tensor, "*state"], t: float) -> Inexact[Tensor, "*state"]:
        """N of a state at time t; differentiable."""

    def nonlinear_into(
        self, u_hat: Inexact[Tensor, "*state"], t: float, out: Inexact[Tensor, "*state"]
    ) -> Inexact[Tensor, "*state"]:
        """The same written to `out`, which is returned; equations with buffers override this."""
        return out.copy_(self.nonlinear(u_hat, t))

    def rate(self, u_hat: Inexact[Tensor, "*state"]) -> Float[Tensor, ""] | None:
        """max Σ_a |u_a|/h_a, cells crossed per unit of time; None where nothing is advected."""
        return None

    def fault(self, u_hat: Inexact[Tensor, "*state"]) -> str:
        """What shows, in words, that a state is no solution's, however small; nothing by default.

        Looked at where the Courant number is.
        """
        return ""

    def cast(self, constant: Tensor, like: Shaped[Tensor, "..."]) -> Tensor:
        """A float64 or complex128 constant of this object in the precision and place of `like`."""
        real = torch.empty(0, dtype=like.dtype).real.dtype
        dtype = real.to_complex() if constant.is_complex() else real
        key = (id(constant), dtype, like.device)
        if key not in self._casts:  # the constant is kept too, so that its id stays its own
            self._casts[key] = (constant, constant.to(like.device, dtype))
        return self._casts[key][1]

    def check(self, u: Float[Tensor, "b c *space"]) -> None:
        """Raise a ValueError unless u can be the equation's initial field."""
        self.grid.check(u, "initial field")
        require_real(u)
        if u.shape[1] != self.num_channels:
            raise ValueError(
                f"{type(self).__name__} has {self.num_channels} channel(s), so an initial field is "
                f"of shape (batch, {self.num_channels}, ...); got {tuple(u.shape)}."
            )
        if not u.isfinite().all():
            raise ValueError("The initial field holds NaN or infinity.")


class Stepper(ABC):
    """One step of a method for u_t = L u + N(u, t), with its buffers and coefficients.

    Attributes:
        order: in dt, where L and N both act.
        courant_limit: Courant number up to which advection alone, dealiased, is stable.
    """

    order: int
    courant_limit: float

    def __init__(self, equation: Evolution, u_hat: Inexact[Tensor, "*state"]) -> None:
        self.equation = equation

    @abstractmethod
    def step(self, u_hat: Inexact[Tensor, "*state"], t: float, dt: float) -> None:
        """Take the state from t to t + dt, in place."""


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
    """The solution with u(0) = u0 at the given times, none of them interpolated.

    Between two times the steps are equal, as few as keep to dt. With `courant` a step is halved as
    often as that Courant number demands (0.5 is a good value), and dt is the largest. The state's
    size is looked at after each step: coefficients that are not finite or beyond `largest` (by
    default 1e6, or 1e6 times the initial ones) end the loop with the time. u carries no gradient.

    Args:
        stepper: the method, `ETDRK4` by default.

    Raises:
        ValueError: the field is not the equation's, times do not increase from 0 on, or dt, courant
            or largest is not positive.
    """
    from .etdrk4 import ETDRK4

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
                rate = equation.rate(u_hat)
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
    """Steps from one time to the next: equal parts of it, as few as keep to dt, and their halves.

    Attributes:
        whole: length of a part.
        left: what is to be gone, in units of whole / 2^finest; a whole number, so that no time is
            missed and no step is a remainder.
    """

    def __init__(self, start: float, end: float, dt: float | int) -> None:
        parts = max(1, math.ceil((end - start) / dt * (1 - 1e-12)))  # 0.1 / 0.02 is a bit above 5
        self.whole, self.end = (end - start) / parts, end
        self.left, self.finest = parts if end > start else 0, 0

    def level_for(self, rate: float, courant: float | int | None) -> int:
        """How often to halve a step for this Courant number."""
        if courant is None or not 0 < rate * self.whole < math.inf:
            return 0
        return min(_MOST_HALVINGS, max(0, math.ceil(math.log2(rate * self.whole / courant))))

    def take(self, level: int) -> float:
        """Go on by whole / 2^level, or what is left; the length of the step."""
        finer = max(0, level - self.finest)
        self.left, self.finest = self.left << finer, self.finest + finer
        size = min(1 << (self.finest - level), 1 << (self.left.bit_length() - 1))
        self.left -= size
        return self.whole * size / 2**self.finest

    @property
    def time(self) -> float:
        """Where the last step ended."""
        return self.end - self.whole * self.left / 2**self.finest


class _Watch:
    """The size of the state after each step; on an accelerator read every so many steps only."""

    def __init__(self, u_hat: Tensor, largest: float | int | None) -> None:
        self.num_steps = 0
        self.last = _size(u_hat).item()
        self.bound = float(largest) if largest is not None else 1e6 * max(1.0, self.last)
        self.every = 1 if u_hat.device.type == "cpu" else _SYNC_EVERY
        self.times: list[float] = []
        self.sizes: list[Tensor] = []

    def after(self, u_hat: Tensor, t: float) -> str:
        """Why to stop, or nothing."""
        self.num_steps += 1
        self.times.append(t)
        self.sizes.append(_size(u_hat))
        return self.flush() if len(self.times) >= self.every else ""

    def flush(self) -> str:
        """As `after`, for all steps since the last look."""
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


def require_real(u: Tensor) -> None:
    """Raise a ValueError unless u holds a field of float32 or float64 for one sample or more."""
    if u.dtype not in (torch.float32, torch.float64):
        raise ValueError(
            f"An initial field is of float32 or float64; got {u.dtype}. Convert it by u.double(); "
            f"make channels of real and imaginary part."
        )
    if u.numel() == 0:
        raise ValueError(f"The initial field holds no sample; got shape {tuple(u.shape)}.")


def check_times(times: Sequence[float | int]) -> None:
    """Raise a ValueError unless the times increase from 0 or later."""
    ordered = all(a < b for a, b in pairwise(times))
    if not times or not ordered or not (times[0] >= 0 and math.isfinite(times[-1])):
        raise ValueError(f"times must increase from 0 or later, and be finite; got {list(times)}.")
