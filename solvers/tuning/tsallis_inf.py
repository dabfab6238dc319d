"""The bandit Tsallis-INF: asymptotically as good as the best fixed parameter."""

from collections.abc import Sequence

import numpy as np
import torch

from .relax import Context, Tuner


class TsallisINF(Tuner):
    """Choices with probabilities p_i = 4 / (η (K_i - x))², η = 2/√t (Zimmert & Seldin 2021).

    K_i is the sum of the costs observed with arm i, each divided by the probability of the choice:
    an unbiased estimate of the total cost of arm i. x is such that Σ p = 1. The order of the
    systems is arbitrary. The regret against the best fixed arm grows as √(d t) for d arms and t
    systems, so few arms learn faster than many.

    Costs are at least 1 (one iteration) and are scaled by their mean so far, as in *Learning to
    Relax*. No context is used.
    """

    LEARNT = ("losses", "total", "count")

    def __init__(self, arms: Sequence[float | int], generator: torch.Generator) -> None:
        super().__init__(arms, generator)
        self.losses = np.zeros(len(self.arms))  # K, before division by the mean cost
        self.total, self.count = 0.0, 0
        self._last, self._p = 0, np.full(len(self.arms), 1 / len(self.arms))

    def choose(self, context: Context = None) -> float:
        self._p = self.probabilities()
        self._last = self.draw(self._p.tolist())
        return self.arms[self._last]

    def observe(self, cost: float | int) -> None:
        self.losses[self._last] += (cost - 1) / self._p[self._last]
        self.total += cost - 1
        self.count += 1

    def probabilities(self) -> np.ndarray:
        """The probabilities of the arms for the next choice."""
        if self.total == 0:  # no system yet, or all done in one iteration
            return np.full(len(self.arms), 1 / len(self.arms))
        K = self.losses * (self.count / self.total)
        eta = 2 / np.sqrt(self.count + 1)
        # Newton's method for Σ p = 1 from the right, where Σ p >= 1: Σ p is convex in x, so the
        # iterates fall to the root and never pass it.
        x = K.min() - 2 / eta
        for _ in range(100):
            p = 4 / (eta * (K - x)) ** 2
            excess = p.sum() - 1
            if excess < 1e-12:
                break
            x -= excess / (eta * (p**1.5).sum())
        return p / p.sum()
