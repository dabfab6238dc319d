"""Checks of values: which samples hold NaN, infinite values, or values too large for a type."""

import numpy as np

from .layouts.chosen import Chosen
from .sample_numbers import numbers


class Finite:
    """Counts of the values of an array that are not finite, or not once they are converted, by
    sample.

    Args:
        name, title: names of the array and of its file in messages.
        num_samples: number of samples of the array.
        allow_nan: whether values that are not finite in the file are accepted.
    """

    def __init__(self, name: str, title: str, num_samples: int, *, allow_nan: bool = False) -> None:
        self.name, self.title, self.num_samples = name, title, num_samples
        self.allow_nan = allow_nan
        self._not_finite: dict[int, int] = {}
        self._too_large: dict[int, int] = {}
        self._vanished = 0
        self._largest = 0.0
        self._dtype = ""

    def add(self, values: np.ndarray, stored: np.ndarray, c: Chosen, samples: np.ndarray) -> None:
        """Count in a block of the array; `stored` (b, ...) are its values as they are written, and
        `samples` (b,) the numbers of its samples."""
        self._dtype = str(stored.dtype)
        narrow = values.dtype.kind == "f" and values.dtype.itemsize > stored.dtype.itemsize
        bad = ~np.isfinite(stored)
        if not bad.any() and not narrow:
            return
        source = c.arranged(values)
        lost = bad & np.isfinite(source)
        if lost.any():
            self._largest = max(self._largest, float(np.abs(source[lost]).max()))
        _count(self._too_large, samples, lost)
        _count(self._not_finite, samples, bad & ~lost)
        self._vanished += int(((stored == 0) & (source != 0)).sum()) if narrow else 0

    def result(self) -> None:
        """Raise a ValueError that names the samples with values that cannot be stored."""
        if self._too_large:
            raise ValueError(
                f"{self.name!r} in {self.title} holds {sum(self._too_large.values())} values that "
                f"are too large for {self._dtype} (up to {self._largest:.3g}), in sample(s) "
                f"{numbers(self._too_large)}. Store it as float64 (--dtype float64), or scale it."
            )
        if self._not_finite and not self.allow_nan:
            leave_out = (
                f"leave these samples out (--without {numbers(self._not_finite, shown=None)}, or "
                f"without=[...] in Python), "
            )
            raise ValueError(
                f"{self.name!r} in {self.title} holds {self._summary()}. Fill in the values, "
                f"{leave_out if len(self._not_finite) < self.num_samples else ''}or store them as "
                f"they are (--allow-nan, or allow_nan=True)."
            )

    def notes(self) -> list[str]:
        """What was stored although it may surprise."""
        notes = []
        if self._not_finite:
            notes.append(f"{self.name} holds {self._summary()}")
        if self._vanished:
            notes.append(
                f"{self.name}: {self._vanished} values are so small that they are 0 in "
                f"{self._dtype}"
            )
        return notes

    def _summary(self) -> str:
        return (
            f"{sum(self._not_finite.values())} values that are not finite (NaN, infinite or "
            f"missing), in {len(self._not_finite)} sample(s): {numbers(self._not_finite)}"
        )


def _count(counts: dict[int, int], samples: np.ndarray, bad: np.ndarray) -> None:
    """Add the number of bad values (b, ...) of each sample."""
    if bad.any():
        for i, count in zip(samples, bad.reshape(len(bad), -1).sum(1), strict=True):
            if count:
                counts[int(i)] = counts.get(int(i), 0) + int(count)
