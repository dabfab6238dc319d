"""Training systems −∇·(a∇u) = b with various coefficients, walls and boundary conditions."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ...domain import Grid
from ...nearest import did_you_mean
from ..problems.random_fields import GaussianField, sample_generator
from .linear_systems import LinearSystems

# Coefficients are numpy arrays over cells, >= 0, and 0 in solid cells.


class DarcySystems(LinearSystems):
    """Diffusion on cells with jumps, noise, obstacles, anisotropy, open and closed sides.

    Couplings are harmonic means of the coefficient at inner faces, the coefficient at open sides,
    and 0 at closed sides, in float64. Each side is open (zero Dirichlet) with probability 0.6; at
    least one is open, and all fluid is connected with an open side, so that A is positive definite.
    The error is white noise in the fluid.

    Args:
        shapes, num_samples: as for `LinearSystems`.
        kinds: names in `COEFFICIENTS`, drawn with equal probability; a name given twice is drawn
            twice as often.
        contrast: the largest ratio of coefficients; the ratio is log-uniform in [1, contrast].
        anisotropy: the largest ratio of couplings between axes, constant during an epoch. The ratio
            is log-uniform in every second epoch and 1 in the others, including the first.

    Raises:
        ValueError: the shapes are invalid, a kind is unknown, or contrast or anisotropy is below 1.
    """

    def __init__(
        self,
        *,
        shapes: Sequence[Sequence[int]],
        num_samples: int = 64,
        kinds: Sequence[str] = ("blobs", "lognormal", "boxes", "cells"),
        contrast: int | float = 1e4,
        anisotropy: int | float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(
            shapes, num_samples, seed, kinds=kinds, contrast=contrast, anisotropy=anisotropy
        )
        for kind in kinds:
            if kind not in COEFFICIENTS:
                raise ValueError(
                    f"Unknown kind of coefficient {kind!r}.{did_you_mean(kind, COEFFICIENTS)} "
                    f"Choose from {', '.join(COEFFICIENTS)}."
                )
        if min(contrast, anisotropy) < 1 or not kinds:
            raise ValueError(
                f"contrast and anisotropy must be 1 or more, and kinds not empty; got {contrast}, "
                f"{anisotropy}, {list(kinds)}."
            )
        self.kinds, self.contrast, self.anisotropy = list(kinds), contrast, anisotropy

    def draw(
        self, shape: tuple[int, ...], random: np.random.Generator
    ) -> tuple[list[Tensor], Tensor]:
        while True:
            kind = self.kinds[random.integers(len(self.kinds))]
            contrast = self.contrast ** random.random()
            a = COEFFICIENTS[kind](shape, contrast, random)
            is_open = random.random((self.ndim, 2)) < 0.6
            is_open.flat[random.integers(is_open.size)] = True
            a = np.where(_reached(a > 0, is_open), a, 0.0)
            if (a > 0).mean() > 1 / 3:
                break
        error = random.standard_normal(shape) * (a > 0)
        faces = couplings_at_faces(a, is_open, self._scale())
        return [torch.from_numpy(f) for f in faces], torch.from_numpy(error)

    def _scale(self) -> list[float]:
        """Factor of the couplings along each axis in this epoch."""
        if self.epoch % 2 == 0:
            return [1.0] * self.ndim
        random = sample_generator(self.seed + 1, self.epoch)
        scale = [self.anisotropy ** -random.random() for _ in range(self.ndim)]
        scale[random.integers(self.ndim)] = 1.0
        return scale


def blobs(shape: tuple[int, ...], contrast: float, random: np.random.Generator) -> np.ndarray:
    """1 or the contrast, by the sign of a Gaussian field; the interface is rough (α = 2)."""
    return np.where(_gaussian(shape, random) > 0, contrast, 1.0)


def lognormal(shape: tuple[int, ...], contrast: float, random: np.random.Generator) -> np.ndarray:
    """exp of a Gaussian field, scaled to the range from 1 to the contrast."""
    g = _gaussian(shape, random)
    return contrast ** ((g - g.min()) / (g.max() - g.min()))


def noise(shape: tuple[int, ...], contrast: float, random: np.random.Generator) -> np.ndarray:
    """Log-uniform and independent in each cell."""
    return contrast ** random.random(shape)


def boxes(shape: tuple[int, ...], contrast: float, random: np.random.Generator) -> np.ndarray:
    """1 around solid boxes that fill up to 40 %."""
    a, fluid = np.ones(shape), 1 - 0.4 * random.random()
    while a.mean() > fluid:
        size = [1 + int(n * random.uniform(0, 0.2)) for n in shape]
        low = [random.integers(0, n) for n in shape]
        a[tuple(slice(i, i + k) for i, k in zip(low, size, strict=True))] = 0.0
    return a


def cells(shape: tuple[int, ...], contrast: float, random: np.random.Generator) -> np.ndarray:
    """1 between random solid grains of width 1 to 4 cells that fill up to 40 %."""
    k = int(random.integers(1, 5))
    grains = random.random([-(-n // k) for n in shape]) >= 0.4 * random.random()
    fluid = np.kron(grains, np.ones([k] * len(shape)))
    return fluid[tuple(slice(n) for n in shape)]


def _gaussian(shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    grid = Grid(shape, 1.0, "neumann", "centers")
    modes = min(max(shape), 128 if len(shape) < 3 else 32)
    return GaussianField(tau=random.uniform(3, 15), num_modes=modes).sample(grid, random).numpy()


def _reached(fluid: np.ndarray, is_open: np.ndarray) -> np.ndarray:
    """Mask of the fluid cells that are connected with an open side."""
    from scipy import ndimage

    labels, _ = ndimage.label(fluid)
    ends = [
        labels.take(0 if side == 0 else -1, axis).ravel()
        for axis, sides in enumerate(is_open)
        for side, opened in enumerate(sides)
        if opened
    ]
    found = np.unique(np.concatenate(ends))
    return np.isin(labels, found[found > 0])


def couplings_at_faces(
    a: np.ndarray, is_open: np.ndarray, scale: Sequence[float]
) -> list[np.ndarray]:
    """The couplings at all faces, one array per axis."""
    faces = []
    for axis, n in enumerate(a.shape):
        before, behind = a.take(range(n - 1), axis), a.take(range(1, n), axis)
        total = before + behind
        inner = 2 * before * behind / np.where(total > 0, total, 1)
        ends = [
            a.take([i], axis) * opened for i, opened in zip((0, -1), is_open[axis], strict=True)
        ]
        faces.append(scale[axis] * np.concatenate((ends[0], inner, ends[1]), axis))
    return faces


COEFFICIENTS: dict[str, Callable[[tuple[int, ...], float, np.random.Generator], np.ndarray]] = {
    "blobs": blobs,
    "lognormal": lognormal,
    "noise": noise,
    "boxes": boxes,
    "cells": cells,
}
