"""The samples and nodes of an array that a conversion keeps, and their places in the new file."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Kept:
    """The numbers of the kept samples, in increasing order, and the kept nodes of each axis."""

    samples: np.ndarray
    nodes: tuple[slice, ...]

    def of_samples(self, start: int, size: int) -> tuple[np.ndarray, slice]:
        """The kept samples among the `size` from `start` on, relative to `start`, and their numbers
        in the output."""
        first, last = np.searchsorted(self.samples, (start, start + size))
        return self.samples[first:last] - start, slice(int(first), int(last))

    def of_nodes(self, axis: int, start: int, size: int) -> tuple[slice, slice]:
        """The kept nodes of an axis of space among the `size` from `start` on, relative to `start`,
        and their numbers in the output."""
        kept = self.nodes[axis]
        before = max(-((kept.start - start) // kept.step), 0)  # kept nodes before `start`
        inside = slice(kept.start + before * kept.step - start, None, kept.step)
        return inside, slice(before, before + len(range(inside.start, size, kept.step)))


def kept_samples(num_samples: int, without: Sequence[int]) -> np.ndarray:
    """The numbers of all samples but those in `without`.

    Raises:
        ValueError: a number is not that of a sample, or no sample is left.
    """
    outside = [i for i in without if not 0 <= i < num_samples]
    if outside:
        raise ValueError(
            f"The samples have the numbers 0..{num_samples - 1}; got {outside[0]} to leave out."
        )
    samples = np.setdiff1d(np.arange(num_samples), without)
    if not len(samples):
        raise ValueError(f"All {num_samples} samples are left out. Keep one at least.")
    return samples
