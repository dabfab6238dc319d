"""Families of linear systems for the comparison of preconditioners, one random system per seed.

`FAMILIES` is the table: Family(n, seed) gives a `Diffusion` with n unknowns per axis. Coefficients
are given on the unit square or cube with u = 0 on its sides. Obstacles are in a box with no flux
through sides and walls and with cells of unit size, as in pressure systems of flows.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pdeops.datasets.problems.random_fields import GaussianField, sample_generator
from pdeops.domain import Grid
from pdeops.solvers import Diffusion

TAU, ALPHA = 3.0, 2.0  # parameters of the fields whose sign determines the coefficient
UNSEEN = 1_000_000  # added to a seed, larger than the seed of any recipe


class Family(NamedTuple):
    """Systems of one kind.

    Attributes:
        name: name in tables.
        make: the operator for n unknowns per axis and a source of random numbers.
        ndim: number of axes.
        kind: "coefficient" or "obstacles"; or, where trigonometric transforms solve the system
            directly, "constant" (u = 0 on the sides) or "closed" (no flux through them).
    """

    name: str
    make: Callable[[int, np.random.Generator], Diffusion]
    ndim: int = 2
    kind: str = "coefficient"

    def __call__(self, n: int, seed: int) -> Diffusion:
        return self.make(n, sample_generator(UNSEEN + seed, 0))


def signs(n: int, ndim: int, random: np.random.Generator) -> Tensor:
    """Whether a Gaussian field is >= 0, at n + 2 nodes per axis; the same field for all n."""
    modes = 128 if ndim == 2 else 32
    grid = Grid((n + 2,) * ndim)
    return GaussianField(TAU, ALPHA, num_modes=modes).sample(grid, random) >= 0


def two_values(
    n: int,
    random: np.random.Generator,
    *,
    low: float,
    high: float,
    ndim: int = 2,
    anisotropy: float = 1.0,
) -> Diffusion:
    """a is `high` where a Gaussian field is not negative, else `low`; couplings along the last
    axis are `anisotropy` times those along the others."""
    a = torch.where(signs(n, ndim, random), high, low).double()
    extent = (anisotropy**0.5,) * (ndim - 1) + (1.0,)
    return Diffusion(a, Grid((n + 2,) * ndim, extent))


def white_noise(n: int, random: np.random.Generator, *, contrast: float) -> Diffusion:
    """log a independent and uniform at each node."""
    exponent = torch.from_numpy(random.random((n + 2, n + 2))) - 0.5
    return Diffusion(contrast**exponent, Grid((n + 2, n + 2)))


def turning(n: int, random: np.random.Generator, *, anisotropy: float) -> Diffusion:
    """-div(a grad u), a = diag(anisotropy, 1) where a Gaussian field is not negative, else
    diag(1, anisotropy): neither axis is strong everywhere."""
    first = signs(n, 2, random)
    grid = Grid((n + 2, n + 2))
    along = [torch.where(where, anisotropy, 1.0).double() for where in (first, ~first)]
    faces = [Diffusion(a, grid).faces[axis] for axis, a in enumerate(along)]
    return Diffusion.from_faces(faces, grid.interior)


def empty(n: int, random: np.random.Generator, *, ndim: int = 2) -> Diffusion:
    """-Δ, that is, a = 1."""
    return Diffusion(1.0, Grid((n + 2,) * ndim))


def closed(n: int, random: np.random.Generator) -> Diffusion:
    """The box of a pressure system without obstacles."""
    return Diffusion(1.0, Grid((n, n), float(n), "neumann", "centers"))


def tiny(n: int, random: np.random.Generator) -> Diffusion:
    """A system with at most 31 unknowns per axis."""
    return two_values(min(n, 31), random, low=3.0, high=12.0)


def around(fluid: np.ndarray) -> Diffusion:
    """Couplings 1 between fluid cells."""
    shape = fluid.shape
    grid = Grid(shape, [float(n) for n in shape], "neumann", "centers")
    return Diffusion(1.0, grid, fluid=torch.from_numpy(fluid))


def boxes(n: int, random: np.random.Generator, *, solid: float, ndim: int = 2) -> Diffusion:
    """Solid boxes of up to an eighth of an axis, until this fraction of the cells is solid."""
    fluid = np.ones((n,) * ndim, dtype=bool)
    while fluid.mean() > 1 - solid:
        sides = random.integers(1, max(n // 8, 2), size=ndim)
        low = random.integers(0, n, size=ndim)
        fluid[tuple(slice(i, i + k) for i, k in zip(low, sides, strict=True))] = False
    return around(fluid)


def cells(n: int, random: np.random.Generator, *, solid: float, ndim: int = 2) -> Diffusion:
    """Each cell independently solid with this probability."""
    return around(random.random((n,) * ndim) >= solid)


def obstacle(name: str, make: Callable[..., Diffusion], ndim: int = 2, **more: float) -> Family:
    return Family(name, partial(make, ndim=ndim, **more), ndim, "obstacles")


FAMILIES = {
    family.name: family
    for family in [
        Family("Darcy 12/3", partial(two_values, low=3.0, high=12.0)),
        Family("Darcy 1e2", partial(two_values, low=1.0, high=1e2)),
        Family("Darcy 1e4", partial(two_values, low=1.0, high=1e4)),
        Family("white noise 1e4", partial(white_noise, contrast=1e4)),
        Family("anisotropy 10", partial(two_values, low=3.0, high=12.0, anisotropy=10.0)),
        Family("anisotropy 100", partial(two_values, low=3.0, high=12.0, anisotropy=100.0)),
        Family("turning anisotropy 100", partial(turning, anisotropy=100.0)),
        obstacle("boxes 30 %", boxes, solid=0.3),
        obstacle("cells 5 %", cells, solid=0.05),
        obstacle("cells 20 %", cells, solid=0.2),
        obstacle("cells 40 %", cells, solid=0.4),
        Family("empty", empty, kind="constant"),
        Family("empty, closed", closed, kind="closed"),
        Family("Darcy 12/3, tiny", tiny),
        Family("Darcy 1e4, 3D", partial(two_values, low=1.0, high=1e4, ndim=3), 3),
        obstacle("boxes 30 %, 3D", boxes, 3, solid=0.3),
        obstacle("cells 20 %, 3D", cells, 3, solid=0.2),
        Family("empty, 3D", partial(empty, ndim=3), 3, "constant"),
    ]
}
