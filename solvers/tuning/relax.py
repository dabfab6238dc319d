"""Learning a scalar parameter of a solver while a sequence of systems is solved."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any, ClassVar

import numpy as np
import torch

from ..result import SolveResult

# What is known before a solve: a number, or several.
Context = float | int | Sequence[float | int] | np.ndarray | None


class Tuner(ABC):
    """A bandit, which chooses a value of a parameter for each system and observes its cost.

    It learns from costs alone, without a spectrum or a gradient (Khodak, Chow, Balcan, Talwalkar
    2024, who tune the ω of SOR).

    Args:
        arms: the values to choose from.
        generator: source of its random numbers.

    Attributes:
        LEARNT: names of the attributes that hold what has been learnt.
        least_cost: of any solve; what counts is how much more a solve costs.
        probability: of the last choice, when it was made.

    Raises:
        ValueError: `arms` is empty.
    """

    LEARNT: ClassVar[tuple[str, ...]] = ()
    least_cost: ClassVar[float] = 1.0

    def __init__(self, arms: Sequence[float | int], generator: torch.Generator) -> None:
        if not arms:
            raise ValueError("A tuner needs values to choose from; got none.")
        self.arms = tuple(float(arm) for arm in arms)
        self.generator = generator
        self.probability = 1.0

    @abstractmethod
    def choose(self, context: Context = None) -> float:
        """The value for the next system; `context` is what is known before the solve."""

    @abstractmethod
    def observe(self, cost: float | int) -> None:
        """Report the cost of the last chosen value, for example iterations; at least
        `least_cost`."""

    def reason(self) -> str:
        """Why the last value was chosen."""
        return f"drawn from {len(self.arms)} with probability {self.probability:.2g}"

    def draw(self, probabilities: list[float]) -> int:
        """The index of an arm, drawn with these probabilities."""
        left = torch.rand((), generator=self.generator, dtype=torch.float64).item()
        # Round-off may leave the sum below 1: then the most probable arm.
        drawn = max(range(len(self.arms)), key=lambda i: probabilities[i])
        for i, p in enumerate(probabilities):
            left -= p
            if left < 0:
                drawn = i
                break
        self.probability = probabilities[drawn]
        return drawn

    def state(self) -> dict[str, Any]:
        """What has been learnt, as numbers and nested lists."""
        return {name: np.asarray(getattr(self, name)).tolist() for name in self.LEARNT}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from the `state` of a tuner with the same arguments.

        Raises:
            ValueError: a name is missing or unknown, an entry is not finite or of another shape, or
                the number of observations is negative.
        """
        if set(state) != set(self.LEARNT):
            raise ValueError(f"expected {sorted(self.LEARNT)}, got {sorted(state)}")
        found = {}
        for name in self.LEARNT:
            before = np.asarray(getattr(self, name))
            try:
                found[name] = np.asarray(state[name], dtype=before.dtype)
            except (TypeError, ValueError):
                raise ValueError(f"{name} holds no numbers") from None
            if found[name].shape != before.shape or not np.isfinite(found[name]).all():
                raise ValueError(
                    f"{name} must hold finite numbers of shape {before.shape}; got shape "
                    f"{found[name].shape}"
                )
        if found.get("count", 0) < 0:
            raise ValueError(f"count must not be negative; got {found['count']}")
        for name, value in found.items():
            setattr(self, name, value if value.ndim else value.item())


class Relaxation:
    """Solves a sequence of systems; a tuner chooses the parameter of each.

        tuned = Relaxation(TsallisINF([1 + 0.05 * i for i in range(20)], generator))
        for A, b in systems:
            x = tuned(lambda omega: sor(A, b, omega=omega)).x

    The cost of a solve is its number of iterations. A solve that does not converge costs twice the
    largest cost so far, so that an arm that diverges early is not cheap.
    """

    def __init__(self, tuner: Tuner) -> None:
        self.tuner = tuner
        self.costs: list[float] = []

    def __call__(
        self, solve: Callable[[float], SolveResult], context: float | int | None = None
    ) -> SolveResult:
        """The result of `solve` for the value that the tuner chooses."""
        result = solve(self.tuner.choose(context))
        cost = float(max(result.iterations, 1))
        if not result.converged:
            cost = cost_of_failure(cost, max(self.costs, default=1.0))
        self.costs.append(cost)
        self.tuner.observe(cost)
        return result


def cost_of_failure(spent: float, largest: float) -> float:
    """The cost of a solve that failed: what was spent, and at least twice the largest so far."""
    return max(spent, 2 * largest)


class Binned(Tuner):
    """One tuner for each of `num_bins` equal parts of the range of contexts.

    Args:
        make: a new tuner for a bin.
        low, high: the range; contexts beyond it belong to the outermost bins.

    Raises:
        ValueError: there are no bins, the range is empty, or `choose` gets no context.
    """

    def __init__(
        self, make: Callable[[], Tuner], *, low: float | int, high: float | int, num_bins: int = 5
    ) -> None:
        if num_bins < 1 or not low < high:
            raise ValueError(
                f"Bins need low < high and at least one bin; got low={low}, high={high}, "
                f"num_bins={num_bins}."
            )
        self.bins = [make() for _ in range(num_bins)]
        super().__init__(self.bins[0].arms, self.bins[0].generator)
        self.low, self.high = low, high
        self._current = self.bins[0]

    def choose(self, context: Context = None) -> float:
        part = (need(context) - self.low) / (self.high - self.low)
        self._current = self.bins[min(max(int(part * len(self.bins)), 0), len(self.bins) - 1)]
        return self._current.choose()

    def observe(self, cost: float | int) -> None:
        self._current.observe(cost)

    def state(self) -> dict[str, Any]:
        return {str(i): tuner.state() for i, tuner in enumerate(self.bins)}

    def restore(self, state: Mapping[str, Any]) -> None:
        if set(state) != {str(i) for i in range(len(self.bins))}:
            raise ValueError(f"expected the states of {len(self.bins)} bins, got {sorted(state)}")
        for i, tuner in enumerate(self.bins):
            tuner.restore(state[str(i)])


def need(context: Context) -> float:
    """The context as a number; raises a ValueError if there is none."""
    if not isinstance(context, Real) or math.isnan(context):
        raise ValueError(
            f"This tuner chooses by a context, a number known before the solve; got {context}. "
            f"Without one, use TsallisINF."
        )
    return float(context)
