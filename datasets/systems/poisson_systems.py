"""Linear systems with known errors, drawn anew in every epoch: what learned solvers train on.

A sample holds the couplings of a system and an error e; its residual is r = A e, so a network that
maps r to e needs no solution.
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
    """Poisson systems without flux through sides and walls, cells of unit size.

    Couplings are 1, and 0 at walls; all in float32. Walls: a box one cell wide around the fluid in
    most samples (cells at the sides are often solid, or belong to known values), and in the share
    `walls` of the samples up to six solid boxes anywhere, or else single solid cells, up to a fifth
    of all. The error has norm 1.

    Args:
        shapes, num_samples: as for `LinearSystems`.
        walls: share of samples with solid boxes.
        errors: a name in `ERRORS`.

    Raises:
        ValueError: shapes that do not fit, or an unknown name.
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
    """Cells that are not solid: nearly all, or what boxes or single cells leave, over a third."""
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
    """Per axis, 1 at the faces between two fluid cells."""
    faces = []
    for axis, n in enumerate(fluid.shape):
        both = fluid.narrow(axis, 0, n - 1) & fluid.narrow(axis, 1, n - 1)
        ends = torch.zeros_like(fluid.narrow(axis, 0, 1))
        faces.append(torch.cat((ends, both, ends), dim=axis).double())
    return faces


def smooth_to_rough(
    fluid: Bool[Tensor, "*space"], random: np.random.Generator
) -> Float[Tensor, "*space"]:
    """Cosines of all waves, random amplitudes falling as |k|^-p: white noise (p = 0) in a third of
    the samples, else 0 < p < 4. In an empty box they are the eigenvectors of the system."""
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
    """e = Σ c θ⁻¹ v over 60 Ritz pairs of the system, so that r ≈ Σ c v, c normal, 9 times as large
    for the lower 55 % of the pairs: the published training set (Kaneda et al. 2023), but of each
    sample's own system, and with memory for 60 fields instead of 10 000."""
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
