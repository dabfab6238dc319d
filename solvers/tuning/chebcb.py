"""The contextual bandit ChebCB: a parameter as a function of a feature of the system."""

import math
from collections.abc import Sequence

import numpy as np
import torch

from .relax import Context, Tuner, need


class ChebCB(Tuner):
    """Choices by regression of each arm's cost on Chebyshev polynomials of a scalar context.

    SquareCB (Foster & Rakhlin 2020) as in *Learning to Relax* (Khodak et al. 2024): arm i predicts
    its cost by Σ_j θ_ij T_j(c), j < m, fitted to the costs observed with it by least squares within
    the bounds of a bounded Lipschitz function, |θ_0| <= 1/N and |θ_j| <= 2 (high - low) L /
    (N K j), with K the largest cost and L the steepest slope that the costs so far allow. An arm
    whose prediction exceeds the smallest one by g has probability 1 / (d + η g), and the arm of the
    smallest prediction has the rest. η grows with the number of systems and falls with the regret
    of the regression. If costs depend smoothly on the context, the choice comes close to the best
    arm of each system.

    Args:
        low, high: range of the context; values outside are clipped.
        num_features: m.
        greed: a factor of η; 1 is the published value. In the experiment of `benchmarks/relax.py` 4
            costs 2 % fewer iterations, and still a third fewer than the best fixed ω.

    The contexts should come in random order. If the context drifts from one end of the range to the
    other, so that no arm is observed everywhere in time, the cost is 1.3 to 1.5 times that of the
    best arms.

    Raises:
        ValueError: the range is empty, there are no features, or `choose` gets no context.
    """

    LEARNT = (
        "_gram", "_moment", "_square", "theta", "least", "largest", "count", "_online",
    )  # fmt: skip

    def __init__(
        self,
        arms: Sequence[float | int],
        generator: torch.Generator,
        *,
        low: float | int,
        high: float | int,
        num_features: int = 6,
        greed: float | int = 4.0,
    ) -> None:
        super().__init__(arms, generator)
        if not low < high or num_features < 1:
            raise ValueError(
                f"ChebCB needs low < high and at least one feature; got low={low}, high={high}, "
                f"num_features={num_features}."
            )
        d, m = len(self.arms), num_features
        self.low, self.high, self.num_features, self.greed = low, high, m, float(greed)
        # Prefer the smoothest fit to few costs: an arm tried once predicts a constant.
        self._smooth = np.diag(1e-5 * np.arange(m) ** 2.0)
        # Per arm: Σ φ φᵀ, Σ φ y, Σ y² of the costs y - 1 in iterations; θ in the scaled ones.
        self._gram, self._moment, self._square = np.zeros((d, m, m)), np.zeros((d, m)), np.zeros(d)
        self.theta = np.zeros((d, m))
        self.least, self.largest, self.count = 0.0, 0.0, 0
        self._online = 0.0  # Σ (prediction - y)² of the predictions made beforehand, in iterations
        self._last, self._features = 0, np.zeros(m)
        self._predicted = 0.0

    def choose(self, context: Context = None) -> float:
        c = min(max((2 * need(context) - self.low - self.high) / (self.high - self.low), -1.0), 1.0)
        self._features = np.cos(np.arange(self.num_features) * math.acos(c))
        costs = self.theta @ self._features
        d, best = len(self.arms), int(costs.argmin())
        p = 1 / (d + self._eta() * (costs - costs[best]))
        p[best] = 0
        p[best] = 1 - p.sum()
        self._last = self.draw(p.tolist())
        self._predicted = costs[self._last]
        return self.arms[self._last]

    def observe(self, cost: float | int) -> None:
        i, phi, y, before = self._last, self._features, cost - 1.0, self._scale()
        self._online += (self._predicted * before - y) ** 2
        self._gram[i] += np.outer(phi, phi)
        self._moment[i] += phi * y
        self._square[i] += y * y
        self.least = min(self.least, float(cost)) if self.count else float(cost)
        self.largest = max(self.largest, float(cost))
        self.count += 1
        if self._scale() == before:
            self._fit(i)
        else:
            self.theta *= before / self._scale()
            for arm in np.flatnonzero(self._square):
                self._fit(int(arm))

    def _lipschitz(self) -> float:
        """L (high - low)."""
        return max(self.largest - self.least, 0.0)

    def _bound(self) -> float:
        """N"""
        if self.largest == 0:
            return 2.0
        return 2 + 4 * self._lipschitz() / self.largest * (1 + math.log(self.num_features))

    def _scale(self) -> float:
        """N K, by which costs are divided."""
        return self._bound() * max(self.largest, 1.0)

    def _fit(self, arm: int) -> None:
        """Least squares within the box, by cyclic descent from where it was."""
        scale = self._scale()
        G, g = self._gram[arm] + self._smooth, self._moment[arm] / scale
        j = np.arange(1, self.num_features)
        box = np.concatenate(([1 / self._bound()], 2 * self._lipschitz() / (scale * j)))
        free = np.linalg.solve(G, g)
        if (abs(free) <= box).all():
            self.theta[arm] = free
            return
        theta = np.clip(self.theta[arm], -box, box)
        for _ in range(30):
            for k in range(self.num_features):
                if G[k, k] > 0:
                    step = theta[k] + (g[k] - G[k] @ theta) / G[k, k]
                    theta[k] = min(max(step, -box[k]), box[k])
        self.theta[arm] = theta

    def _eta(self) -> float:
        """η, from the regret of the regression so far."""
        t, m, scale = self.count, self.num_features, self._scale()
        if t == 0:
            return 0.0
        fits = scale**2 * np.einsum("ij,ijk,ik->", self.theta, self._gram, self.theta)
        fits += self._square.sum() - 2 * scale * (self.theta * self._moment).sum()
        regret = max((self._online - fits) / scale**2, 0.0)
        # The error of the best polynomial for a Lipschitz function (Jackson).
        alpha = (math.pi + 2 / math.pi * math.log(2 * m + 1)) * self._lipschitz()
        alpha /= 2 * scale * (m + 1)
        floor = regret + 2 * alpha**2 * t
        return self.greed * 2 * t * math.sqrt(len(self.arms) * t / floor) if floor > 0 else 0.0
