"""Samples of a scalar quantity, with the seconds that they take."""

import time
from collections.abc import Callable, Sequence

import numpy as np

Evaluate = Callable[[Sequence[int]], np.ndarray]


class Sampler:
    """i ↦ Q_i, the quantity of random input i; counts its evaluations and their seconds.

    Samplers of one study map the same i to the same random input, on a grid or by a method of
    their own, so that their values are correlated.

    Attributes:
        name: for the report.
        count, seconds: evaluations so far, and their wall-clock seconds.
    """

    def __init__(self, name: str, evaluate: Evaluate) -> None:
        self.name, self._evaluate = name, evaluate
        self.count, self.seconds = 0, 0.0

    def __call__(self, indices: Sequence[int]) -> np.ndarray:
        """The values of these samples.

        Raises:
            ValueError: a value is not finite.
        """
        if not len(indices):
            return np.zeros(0)
        start = time.perf_counter()
        values = np.asarray(self._evaluate(indices), dtype=np.float64)
        self.seconds += time.perf_counter() - start
        self.count += len(indices)
        if not np.isfinite(values).all():
            bad = indices[int(np.flatnonzero(~np.isfinite(values))[0])]
            raise ValueError(
                f"The quantity of sample {bad} by {self.name} is not finite. Check the quantity, "
                f"or the operator on this input."
            )
        return values

    @property
    def cost(self) -> float:
        """Mean seconds of an evaluation so far."""
        return self.seconds / self.count
