"""Base class of sets of linear systems: shapes by epoch, samples by index, held-out systems."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...batch import Batch
from ..problems.random_fields import sample_generator


class LinearSystems(torch.utils.data.Dataset, ABC):
    """Systems with known errors, drawn anew in every epoch: sample i of epoch e depends on (seed,
    e, i) alone. A sample has the couplings, as in `kernels/diffusion/reference.py`, as `operator`
    and the error e (*space) as `target`; the residual is r = A e.

    Args:
        shapes: cells per axis; epoch e uses shapes[e mod len(shapes)].
        num_samples: number of samples per epoch.
        arguments: constructor arguments of the subclass, for `held_out`.

    Raises:
        ValueError: the shapes differ in dimension, or an axis has fewer than 4 cells.
    """

    def __init__(
        self, shapes: Sequence[Sequence[int]], num_samples: int, seed: int, **arguments: Any
    ) -> None:
        if len({len(s) for s in shapes}) != 1 or min(min(s) for s in shapes) < 4:
            raise ValueError(
                f"shapes must be one or more, all of one dimension, 4 or more cells per axis, such "
                f"as [[32, 32], [64, 64]]; got {shapes}."
            )
        self.shapes = [tuple(s) for s in shapes]
        self.num_samples, self.seed, self._arguments = num_samples, seed, arguments
        self.ndim, self.epoch = len(self.shapes[0]), 0

    def __len__(self) -> int:
        return self.num_samples

    def __getitem__(self, index: int) -> Batch:
        shape = self.shapes[self.epoch % len(self.shapes)]
        random = sample_generator(self.seed, self.epoch * self.num_samples + index)
        faces, error = self.draw(shape, random)
        return Batch(operator=tuple(faces), target=error)

    @abstractmethod
    def draw(
        self, shape: tuple[int, ...], random: np.random.Generator
    ) -> tuple[Sequence[Tensor], Tensor]:
        """The couplings and the error of one system."""

    def set_epoch(self, epoch: int) -> None:
        """Switch to the samples and the shape of this epoch."""
        self.epoch = epoch

    def held_out(self, num_samples: int) -> "LinearSystems":
        """Different samples of the same distribution, with the last of the shapes."""
        return type(self)(
            shapes=self.shapes[-1:],
            num_samples=num_samples,
            seed=self.seed + 2**31,
            **self._arguments,
        )
