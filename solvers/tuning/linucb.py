"""The contextual bandit LinUCB, with a linear model of the logarithm of costs."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy import ndarray

from .relax import Context, Tuner

SHARED, SEPARATE = 1.0, 3.0  # precision of the priors of w and v_i, that of one cost being 1
NOISE, TRUST = 0.3, 4  # prior deviation of log cost, and the number of costs it counts as
FAR = 4.0  # standard deviations beyond which a feature is clipped
LEAST = 1e-3  # of the mean cost; a smaller cost counts as this


class LinUCB(Tuner):
    """Choices by features x of the system, which are numbers known before the solve.

    The hybrid model of Li, Chu, Langford & Schapire (2010): arm i costs exp(f_i(x) + noise) with

        f_i(x) = (w + v_i) · (1, z),

    z the features, standardised by their mean and deviation so far. The slopes w are those that all
    arms have in common, v_i those by which arm i differs; a ridge penalty is larger for v_i. So a
    cost of one arm also changes the estimates of the others, and few systems suffice. With the
    least-squares fit f, the choice is the arm of least

        f_i(x) - width s_i(x),    s_i(x)² = e_i(x)² + 0.3² / (1 + n_i),

    e its standard error and n_i the number of costs of arm i: an arm is tried where its cost is
    uncertain and may be small. No random number is used.

    If log costs were linear in the features, a width of order √(d m log t) would bound the regret
    in log cost by O(d m √t log t) (Abbasi-Yadkori, Pál & Szepesvári 2011). Costs of solvers are not
    linear, and the default width is smaller: there is no guarantee, `benchmarks/amg_tuning.py`
    measures. An adversary, or costs that change with time, need `TsallisINF`.

    What has been learnt has a fixed size: sums over the systems of each arm.

    Args:
        num_features: m.
        width: good values are 0.3 to 1.

    Raises:
        ValueError: `choose` gets another number of features, or one that is not finite.
    """

    LEARNT = ("gram", "moment", "square", "total", "count")
    least_cost = 0.0

    def __init__(
        self,
        arms: Sequence[float | int],
        generator: torch.Generator,
        *,
        num_features: int,
        width: float | int = 0.5,
    ) -> None:
        super().__init__(arms, generator)
        self.num_features, self.width = num_features, float(width)
        d, m = len(self.arms), num_features + 1
        # Per arm Σ φ φᵀ and Σ φ y, φ = (1, x), y = log cost; Σ y² and Σ cost of all arms.
        self.gram, self.moment = np.zeros((d, m, m)), np.zeros((d, m))
        self.square, self.total, self.count = 0.0, 0.0, 0
        self.expected = np.ones(d)
        self._phi, self._last = np.zeros(m), 0

    def choose(self, context: Context = None) -> float:
        self._phi = np.concatenate([[1.0], self._features(context)])
        if self.count:
            f, s = self._fit()
            self.expected = np.exp(f)
            self._last = int((f - self.width * s).argmin())
        else:
            self._last = 0
        return self.arms[self._last]

    def observe(self, cost: float | int) -> None:
        cost = max(float(cost), LEAST * self.total / max(self.count, 1))
        if cost <= 0:  # nothing to compare with
            return
        i, y = self._last, math.log(cost)
        self.gram[i] += np.outer(self._phi, self._phi)
        self.moment[i] += y * self._phi
        self.square += y * y
        self.total += cost
        self.count += 1

    def reason(self) -> str:
        if not self.count:
            return f"the first of {len(self.arms)}, nothing has been learnt"
        best = int(self.expected.argmin())
        least = "the least" if best == self._last else f"to learn: the least is {_text(self, best)}"
        return f"expected cost {_text(self, self._last)}, {least}; systems so far: {self.count}"

    def _features(self, context: Context) -> ndarray:
        x = np.asarray([] if context is None else context, dtype="float64").ravel()
        if x.shape != (self.num_features,) or not np.isfinite(x).all():
            raise ValueError(
                f"This tuner chooses by {self.num_features} finite features of each system; got "
                f"{context}."
            )
        return x

    def _fit(self) -> tuple[ndarray, ndarray]:
        """f and s of each arm for the features of the last `choose`."""
        d, m = self.moment.shape
        T = self._standardisation()
        gram, moment = T @ self.gram @ T.T, self.moment @ T.T
        # Normal equations of (w, v_1, ..., v_d).
        H = np.zeros((d + 1, m, d + 1, m))
        H[0, :, 0] = gram.sum(axis=0)
        for i in range(d):
            H[i + 1, :, i + 1] = H[0, :, i + 1] = H[i + 1, :, 0] = gram[i]
        penalty = np.full((d + 1, m), SEPARATE)
        penalty[0] = SHARED
        penalty[0, 0] = 1e-6  # the unit of costs is arbitrary
        size = (d + 1) * m
        H = H.reshape(size, size) + np.diag(penalty.ravel())
        right = np.concatenate([moment.sum(axis=0), moment.ravel()])
        # ψ_i with f_i = ψ_i · (w, v_1, ..., v_d)
        z = np.clip(T @ self._phi, -FAR, FAR)
        psi = np.zeros((d, d + 1, m))
        psi[:, 0] = z
        psi[np.arange(d), np.arange(1, d + 1)] = z
        inverse_psi = np.linalg.solve(H, psi.reshape(d, size).T)
        slopes = np.linalg.solve(H, right)
        left = max(self.square - float(right @ slopes), 0.0)
        noise = math.sqrt((TRUST * NOISE**2 + left) / (TRUST + self.count))
        variance = noise**2 * (psi.reshape(d, size).T * inverse_psi).sum(axis=0)
        # The features do not explain all: an arm without a cost stays uncertain, however well the
        # others are known.
        variance += NOISE**2 / (1 + self.gram[:, 0, 0])
        return inverse_psi.T @ right, np.sqrt(variance)

    def _standardisation(self) -> ndarray:
        """T with T (1, x) = (1, z); z = 0 where a feature has not varied."""
        sums = self.gram.sum(axis=0)
        mean = sums[0] / self.count
        deviation = np.sqrt(np.maximum(sums.diagonal() / self.count - mean**2, 0.0))
        varies = deviation > 1e-6 * (1 + abs(mean))
        scale = np.where(varies, 1 / np.where(varies, deviation, 1.0), 0.0)
        T = np.diag(scale)
        T[:, 0] = -mean * scale
        T[0, 0] = 1.0
        return T


def _text(tuner: LinUCB, arm: int) -> str:
    return f"{tuner.expected[arm]:.3g}"
