"""The table of domains for tests: each with its eigenfunctions of the Laplacian, and with what
does not exist on it. A new domain is a new row."""
# Axes: b batch, t time, c channel, *space nodes.

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from pdeops.batch import Batch
from pdeops.domain import Grid, Points, Sphere
from pdeops.losses import LOSSES

# A wave: values at the nodes, its eigenvalue λ of -Δ, the band it belongs to (0, 1, 2).
Wave = tuple[torch.Tensor, float, int]
NO_WAVES = ("relative_h1", "low_frequency_error", "mid_frequency_error", "high_frequency_error")


@dataclass(frozen=True)
class Row:
    """A domain, some of its waves, and what does not exist on it.

    Attributes:
        batch: the samples whose points these are; None where all samples share the nodes.
        uniform: all nodes count alike in means over nodes.
        missing: metrics that do not exist.
        refused: losses that do not exist.
    """

    domain: Any
    waves: Callable[[Any], list[Wave]] | None = None
    batch: Batch | None = None
    uniform: bool = True
    missing: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    samples: int = 3
    here: Any = field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "here", self.domain.at(self.batch or Batch()))

    def random(self, generator, *, channels=2):
        shape = (self.samples, channels, *self.here.shape)
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    def loss(self, name):
        return LOSSES[name](self.domain).at(self.batch or Batch())


def cosines(*ks):
    """Π cos(π k_i x_i / L_i): waves of every box but the one of sines."""

    def waves(grid):
        return [_product(grid, k, torch.cos) for k in ks]

    return waves


def sines(*ks):
    def waves(grid):
        return [_product(grid, k, torch.sin) for k in ks]

    return waves


def _product(grid, k, f):
    """k counts half-waves, and whole waves on periodic axes."""
    turns = [2 if b == "periodic" else 1 for b in grid.boundary]
    xi = [math.pi * t * n / L for t, n, L in zip(turns, k, grid.extent, strict=True)]
    u = torch.ones(grid.shape, dtype=torch.float64)
    for x, s in zip(grid.nodes(), xi, strict=True):
        u = u * f(s * x)
    return u, sum(s**2 for s in xi), _band(math.sqrt(sum(n**2 for n in k)))


def harmonics(*lms):
    """Re Y_lm by scipy, and Im Y_lm where m > 0."""
    from scipy.special import sph_harm_y

    def waves(sphere):
        theta, lam = sphere.nodes().numpy()
        found = []
        for l, m in lms:
            y = sph_harm_y(l, m, theta, lam)
            for part in (np.real(y), np.imag(y))[: 1 + (m > 0)]:
                eigenvalue = l * (l + 1) / sphere.radius**2
                found.append((torch.from_numpy(part.copy()), eigenvalue, _band(l)))
        return found

    return waves


def _band(k):
    return (k >= 4) + (k >= 12)


def cloud(n, *, weights, samples=3):
    """Points in the unit square, a different number in each sample."""
    generator = torch.Generator().manual_seed(n)
    draw = partial(torch.rand, generator=generator, dtype=torch.float64)
    counts = [n - 3 * i for i in range(samples)]
    return Batch.collate(
        [Batch(positions=draw(2, m), weights=draw(m) if weights else None) for m in counts]
    )


MESH = Points(
    3,
    torch.rand(3, 11, generator=torch.Generator().manual_seed(0), dtype=torch.float64),
    weights=torch.linspace(0.5, 1.5, 11, dtype=torch.float64),
)
POINTS = {"missing": ("boundary_error", *NO_WAVES), "refused": ("RelativeH1",), "uniform": False}
LMS = ((0, 0), (1, 1), (3, 2), (4, 0), (11, 7), (12, 5), (13, 13))
ROWS = {
    "periodic box": Row(
        Grid((32, 30), (1.0, 2.0), "periodic"), cosines((0, 0), (3, 2), (4, 0), (0, 12), (9, 9))
    ),
    "Dirichlet endpoints box": Row(
        Grid((17, 18), (1.0, 2.0)), cosines((0, 0), (3, 2), (0, 4), (8, 8), (12, 0), (16, 17))
    ),
    "interior box": Row(
        Grid((15, 16), (3.0, 2.0), placement="interior"), sines((1, 1), (2, 3), (4, 1), (9, 12))
    ),
    "cell-centre box": Row(
        Grid((16, 14), 2.0, ("neumann", "periodic"), "centers"), cosines((1, 0), (5, 2), (13, 4))
    ),
    "3D box": Row(
        Grid((8, 9, 6), (1.0, 2.0, 0.5), ("periodic", "dirichlet", "neumann")),
        cosines((1, 0, 2), (2, 4, 1), (3, 8, 5)),
    ),
    "equiangular sphere": Row(Sphere((33, 64), radius=2.0), harmonics(*LMS), uniform=False),
    "Gauss sphere": Row(Sphere((20, 40), "gauss", radius=0.7), harmonics(*LMS), uniform=False),
    "points with weights": Row(Points(2), batch=cloud(13, weights=True), **POINTS),
    "points without weights": Row(Points(2), batch=cloud(12, weights=False), **POINTS),
    "mesh": Row(MESH, **POINTS),
}
every_row = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
rows_with_waves = pytest.mark.parametrize(
    "row", [r for r in ROWS.values() if r.waves], ids=[n for n, r in ROWS.items() if r.waves]
)


def by_hand(row, u, *, mean=False):
    """Per sample and channel: Σ w u with the weights written out for the row's own nodes."""
    if row.batch is None:
        w = row.domain.quadrature()
        w = w / w.sum() if mean else w
        return (w * u).flatten(2).sum(2)
    sums = []
    for i, values in enumerate(u):
        real = torch.ones(u.shape[-1], dtype=torch.bool)
        real = real if "mask" not in row.batch else row.batch.mask[i]
        known = "weights" in row.batch
        w = row.batch.weights[i, real] if known else torch.ones(int(real.sum())).double()
        w = w / w.sum() if mean or not known else w
        sums.append((w * values[:, real]).sum(1))
    return torch.stack(sums)
