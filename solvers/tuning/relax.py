"""Learning a scalar parameter of a solver while a sequence of systems is solved."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch

from ..result import SolveResult


class Tuner(ABC):
    """A bandit, which chooses a value of a parameter for each system and observes its cost.

    It learns from costs alone, without a spectrum or a gradient (Khodak, Chow, Balcan, Talwalkar
    2024, who tune the ω of SOR).

    Args:
        arms: the values to choose from.
        generator: source of its random numbers.

    Raises:
        ValueError: `arms` is empty.
    """

    def __init__(self, arms: Sequence[float], generator: torch.Generator) -> None:
        if not arms:
            raise ValueError("A tuner needs values to choose from; got none.")
        self.arms = tuple(float(arm) for arm in arms)
        self.generator = generator

    @abstractmethod
    def choose(self, context: float | int | None = None) -> float:
        """The value for the next system; `context` is a number known before the solve."""

    @abstractmethod
    def observe(self, cost: float | int) -> None:
        """Report the cost of the last chosen value, for example iterations; at least 1."""

    def draw(self, probabilities: list[float]) -> int:
        """The index of an arm, drawn with these probabilities."""
        left = torch.rand((), generator=self.generator, dtype=torch.float64).item()
        for i, p in enumerate(probabilities):
            left -= p
            if left < 0:
                return i
        return max(range(len(self.arms)), key=lambda i: probabilities[i])  # round-off of the sum


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
            cost = max([2 * max(self.costs, default=1.0), cost])
        self.costs.append(cost)
        self.tuner.observe(cost)
        return result


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

    def choose(self, context: float | int | None = None) -> float:
        part = (need(context) - self.low) / (self.high - self.low)
        self._current = self.bins[min(max(int(part * len(self.bins)), 0), len(self.bins) - 1)]
        return self._current.choose()

    def observe(self, cost: float | int) -> None:
        self._current.observe(cost)


def need(context: float | int | None) -> float:
    """The context as a number; raises a ValueError if there is none."""
    if context is None or context != context:
        raise ValueError(
            f"This tuner chooses by a context, a number known before the solve; got {context}. "
            f"Without one, use TsallisINF."
        )
    return float(context)
