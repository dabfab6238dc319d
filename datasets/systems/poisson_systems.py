"""Poisson systems with known errors, drawn anew in every epoch, to train learned solvers.

A sample holds the couplings of a system and an error e. The residual is r = A e, so a network that
maps r to e is trained without solving the system.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...domain import Grid
from ...nearest import did_you_mean
from ...solvers.krylov.lanczos import ritz_pairs
from ...solvers.operators.diffusion import Diffusion
from .linear_systems import LinearSystems


class PoissonSystems(LinearSystems):
    """Poisson systems on unit cells with zero flux through sides and walls.

    Couplings are 1, and 0 at walls, in float32. In most samples a wall one cell wide surrounds the
    fluid, because cells at the sides are often solid or hold known values. A fraction `walls` of
    the samples also has solids inside: up to six boxes at random positions, or single cells, up to
    a fifth of all cells. The error has norm 1.

    Args:
        shapes, num_samples: as for `LinearSystems`.
        walls: fraction of samples with solid boxes or single solid cells.
        errors: a name in `ERRORS`.

    Raises:
        ValueError: the shapes are invalid, or `errors` is unknown.
    """

    def __init__(
        self,
        *,
        shapes: Sequence[Sequence[int]],
        num_samples: int = 1024,
        walls: float = 0.6,
        errors: str = "smooth_to_rough",
        seed: int = 0,
    ) -> None:
        super().__init__(shapes, num_samples, seed, walls=walls, errors=errors)
        if errors not in ERRORS:
            raise ValueError(
                f"Unknown errors {errors!r}.{did_you_mean(errors, ERRORS)} Choose from "
                f"{', '.join(ERRORS)}."
            )
        self.walls, self.errors = walls, errors

    def draw(
        self, shape: tuple[int, ...], random: np.random.Generator
    ) -> tuple[list[Tensor], Tensor]:
        fluid = _fluid(shape, self.walls, random)
        error = ERRORS[self.errors](fluid, random)
        error = torch.where(fluid, error - error[fluid].mean(), 0)
        return [c.float() for c in _open_faces(fluid)], (error / error.norm()).float()


def _fluid(
    shape: tuple[int, ...], walls: float, random: np.random.Generator
) -> Bool[Tensor, "*space"]:
    """Mask of the fluid cells outside walls, boxes and single solid cells; over a third of all."""
    whole = np.zeros(shape, dtype=bool)
    whole[(slice(1, -1),) * len(shape)] = True
    if random.random() < 0.3:
        whole[:] = True
    fluid, kind = whole.copy(), random.random()
    if kind < walls / 4:
        fluid &= random.random(shape) > random.uniform(0, 0.2)
    elif kind < walls:
        for _ in range(random.integers(1, 7)):
            size = [1 + int(random.random() * random.integers(1, n // 2)) for n in shape]
            if random.random() < 0.3:  # a plate
                size[random.integers(len(shape))] = 1
            low = [random.integers(0, n) for n in shape]
            fluid[tuple(slice(i, i + k) for i, k in zip(low, size, strict=True))] = False
    return torch.from_numpy(fluid if fluid.mean() > 1 / 3 else whole)


def _open_faces(fluid: Bool[Tensor, "*space"]) -> list[Float[Tensor, "..."]]:
    """Couplings per axis: 1 at faces between two fluid cells, else 0."""
    faces = []
    for axis, n in enumerate(fluid.shape):
        both = fluid.narrow(axis, 0, n - 1) & fluid.narrow(axis, 1, n - 1)
        ends = torch.zeros_like(fluid.narrow(axis, 0, 1))
        faces.append(torch.cat((ends, both, ends), dim=axis).double())
    return faces


def smooth_to_rough(
    fluid: Bool[Tensor, "*space"], random: np.random.Generator
) -> Float[Tensor, "*space"]:
    """Cosine series with random amplitudes that decay as |k|^-p: p = 0 (white noise) in a third of
    the samples, else 0 < p < 4. In an empty box the cosines are the eigenvectors of A."""
    from scipy.fft import idctn

    shape = tuple(fluid.shape)
    p = random.uniform(0, 4) if random.random() > 1 / 3 else 0.0
    waves = np.meshgrid(*[np.arange(n) / n for n in shape], indexing="ij", sparse=True)
    size = np.sqrt(sum(k**2 for k in waves)) * max(shape)
    size.flat[0] = math.inf if p else 1.0
    return torch.from_numpy(idctn(random.standard_normal(shape) * size**-p, norm="ortho"))


def ritz_mixtures(
    fluid: Bool[Tensor, "*space"], random: np.random.Generator
) -> Float[Tensor, "*space"]:
    """e = Σ c θ⁻¹ v over 60 Ritz pairs of the system, so that r ≈ Σ c v, with normal c, 9 times as
    large for the lower 55 % of the pairs. This is the training set of Kaneda et al. (2023), except
    that each sample uses its own system, with memory for 60 fields instead of 10 000."""
    grid = Grid(fluid.shape, [float(n) for n in fluid.shape], "neumann", "centers")
    A = Diffusion.from_faces(_open_faces(fluid), grid)
    theta, v = ritz_pairs(A, torch.from_numpy(random.standard_normal(grid.shape)), 60)
    c = torch.from_numpy(random.standard_normal(len(theta)))
    c[: round(0.55 * len(theta))] *= 9
    return torch.tensordot(c / theta, v, dims=1)


ERRORS: dict[str, Callable[[Tensor, np.random.Generator], Tensor]] = {
    "smooth_to_rough": smooth_to_rough,
    "ritz_mixtures": ritz_mixtures,
}
