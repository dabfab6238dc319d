"""A contextual bandit: Thompson sampling with a linear model of the logarithm of the cost."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy import ndarray

from .relax import Context, Tuner

SHARED, SEPARATE = 1.0, 3.0  # precision of the prior of slopes, in units of that of a cost
NOISE, TRUST = 0.3, 4  # prior standard deviation of log cost, and the number of costs it counts as
FAR = 4.0  # standard deviations beyond which a feature is clipped
LEAST = 1e-3  # of the mean cost; a smaller cost counts as this


class Contextual(Tuner):
    """Choices by features of the system, each a number known before the solve.

    Arm i costs exp(f_i(x) + noise) with

        f_i(x) = (w + v_i) · (1, z),

    z the features x, standardised by their mean and deviation so far. Slopes w, which all arms have
    in common, and v_i, by which they differ, have a Gaussian prior of mean zero; v_i is expected to
    be smaller. So a cost of one arm also says what the others cost in such a system, and few
    systems suffice. Thompson sampling (1933; Agrawal & Goyal 2013) draws w and v_i from their
    distribution given the costs so far, and chooses the arm of least f_i(x).

    If log costs are linear in the features with such a prior and Gaussian noise, the expected
    regret in log cost grows as √T up to logarithms (Russo & Van Roy 2014). Costs of real systems
    are not, so there is no guarantee: `benchmarks/amg_tuning.py` measures. Features that say
    nothing cost little: their slopes stay near zero.

    The state has a fixed size: sums over the systems of each arm.

    Args:
        num_features: m.

    Raises:
        ValueError: `choose` gets another number of features, or one that is not finite.
    """

    LEARNT = ("gram", "moment", "square", "total", "count")
    least_cost = 0.0

    def __init__(
        self, arms: Sequence[float], generator: torch.Generator, *, num_features: int
    ) -> None:
        super().__init__(arms, generator)
        d, m = len(self.arms), num_features + 1
        # Per arm Σ φ φᵀ and Σ φ y, φ = (1, x), y = log cost; Σ y² and Σ cost of all.
        self.gram, self.moment = np.zeros((d, m, m)), np.zeros((d, m))
        self.square, self.total, self.count = 0.0, 0.0, 0
        self._phi, self._last = np.zeros(m), 0
        self.num_features, self.expected = num_features, np.zeros(d)

    def choose(self, context: Context = None) -> float:
        self._phi = np.concatenate([[1.0], self._features(context)])
        d, m = self.moment.shape
        if self.count == 0:
            self._last = self.draw([1 / d] * d)
            return self.arms[self._last]
        standardise = self._standardisation()
        z = np.clip(standardise @ self._phi, -FAR, FAR)
        factor, mean, deviation = self._posterior(standardise)
        noise = torch.randn(len(mean), generator=self.generator, dtype=torch.float64).numpy()
        drawn = mean + deviation * np.linalg.solve(factor.T, noise)
        self.expected = np.exp(_by_arm(mean, d, m) @ z)
        self._last = int((_by_arm(drawn, d, m) @ z).argmin())
        return self.arms[self._last]

    def observe(self, cost: float | int) -> None:
        i, mean = self._last, self.total / self.count if self.count else 0.0
        cost = max(float(cost), LEAST * mean)
        if cost <= 0:  # of the first system: nothing to compare with
            return
        y = math.log(cost)
        self.gram[i] += np.outer(self._phi, self._phi)
        self.moment[i] += y * self._phi
        self.square += y * y
        self.total += cost
        self.count += 1

    def reason(self) -> str:
        if self.count == 0:
            return super().reason()
        best = int(self.expected.argmin())
        text = f"expected cost {self.expected[self._last]:.3g}"
        least = f"{self.expected[best]:.3g}"
        tail = "the least" if best == self._last else f"to explore: the least is {least}"
        return f"{text}, {tail} of {len(self.arms)} after {self.count} systems"

    def _features(self, context: Context) -> ndarray:
        m = self.moment.shape[1] - 1
        x = np.asarray(context, dtype="float64").ravel() if context is not None else np.zeros(0)
        if x.shape != (m,) or not np.isfinite(x).all():
            raise ValueError(
                f"This tuner chooses by {m} finite features of each system; got {context}."
            )
        return x

    def _standardisation(self) -> ndarray:
        """T with T (1, x) = (1, z); z is 0 where a feature has not varied."""
        sums = self.gram.sum(axis=0)
        mean = sums[0] / self.count
        deviation = np.sqrt(np.maximum(sums.diagonal() / self.count - mean**2, 0.0))
        varies = deviation > 1e-9 * (1 + abs(mean))
        inverse = np.where(varies, 1 / np.where(varies, deviation, 1.0), 0.0)
        T = np.diag(inverse)
        T[1:, 0] = -mean[1:] * inverse[1:]
        T[0] = 0.0
        T[0, 0] = 1.0
        return T

    def _posterior(self, T: ndarray) -> tuple[ndarray, ndarray, float]:
        """Cholesky factor of the precision of (w, v_1, ..., v_d), their mean, and the standard
        deviation of the noise."""
        d, m = self.moment.shape
        gram, moment = T @ self.gram @ T.T, self.moment @ T.T
        H = np.zeros((d + 1, m, d + 1, m))
        H[0, :, 0] = gram.sum(axis=0)
        for i in range(d):
            H[i + 1, :, i + 1] = H[0, :, i + 1] = H[i + 1, :, 0] = gram[i]
        right = np.concatenate([moment.sum(axis=0), moment.ravel()])
        prior = np.full((d + 1, m), SEPARATE)
        prior[0] = SHARED
        prior[0, 0] = 1e-6  # the unit of the cost is not known
        H = H.reshape((d + 1) * m, -1) + np.diag(prior.ravel())
        factor = np.linalg.cholesky(H)
        mean = np.linalg.solve(factor.T, np.linalg.solve(factor, right))
        left = max(self.square - float(right @ mean), 0.0)
        return factor, mean, math.sqrt((TRUST * NOISE**2 + left) / (TRUST + self.count))


def _by_arm(slopes: ndarray, d: int, m: int) -> ndarray:
    """w + v_i, (d, m)."""
    w, *v = slopes.reshape(d + 1, m)
    return w + np.array(v)
