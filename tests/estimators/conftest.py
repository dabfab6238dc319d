"""Dense true trajectories of several equations, from finer grids and small steps."""

import math

import pytest
import torch

from pdeops.calculus.fourier import resample
from pdeops.domain import Grid
from pdeops.solvers import AllenCahn, Burgers, Heat, NavierStokes, evolve

PI = math.pi
BOX = 2 * PI


def random_field(grid, waves, generator, samples=1):
    """A mean-zero field of a few waves, the same function on every grid."""
    u = torch.zeros(samples, 1, *grid.shape, dtype=torch.float64)
    x = grid.nodes() * 2 * PI / grid.extent[0]
    for _ in range(12):
        k = torch.randint(-waves, waves + 1, (samples, grid.ndim), generator=generator)
        k[:, 0] += (k == 0).all(1)
        phase, size = torch.rand(2, samples, generator=generator, dtype=torch.float64)
        angle = torch.einsum("sd,d...->s...", k.double(), x) + 2 * PI * phase.reshape(
            -1, *[1] * grid.ndim
        )
        u[:, 0] += size.reshape(-1, *[1] * grid.ndim) * angle.cos()
    return u


def true_frames(make, grid, u0, times, *, finer=2):
    """Frames on `grid` of the solution on a grid `finer` times as fine, from u0 there."""
    fine = grid.refined(finer)
    solution = evolve(make(fine), u0(fine), times, dt=(times[1] - times[0]) / 2)
    assert solution.completed
    return resample(solution.u, fine, grid.shape)


def flow(grid):
    return NavierStokes(grid, 0.02, forcing=lambda x, t: torch.cos(2 * x[1]) * math.cos(t))


def cases():
    plane, circle = Grid((32, 32), BOX, "periodic"), Grid((128,), BOX, "periodic")
    return {
        "navier_stokes": (flow, plane, 3, 0.01),
        "burgers": (lambda g: Burgers(g, 0.1), circle, 2, 0.01),
        "allen_cahn": (lambda g: AllenCahn(g, 0.1, 4.0), circle, 4, 0.005),
        "heat": (lambda g: Heat(g, 0.5), circle, 4, 0.01),
    }


@pytest.fixture(scope="session")
def trajectories():
    """name -> (equation on a grid, grid, times, frames (1, 17, 1, *space))."""
    made = {}
    for name, (make, grid, waves, dt) in cases().items():
        times = [0.1 + dt * i for i in range(17)]

        def u0(g, waves=waves):
            return random_field(g, waves, torch.Generator().manual_seed(3))

        made[name] = (make, grid, times, true_frames(make, grid, u0, times))
    return made


def shuffled(u):
    """The frames in another order."""
    order = torch.randperm(u.shape[1], generator=torch.Generator().manual_seed(0))
    return u[:, order]


def translated(u):
    """Every frame moved by a distance of its own."""
    generator = torch.Generator().manual_seed(1)
    axes = tuple(range(3, u.ndim))
    frames = []
    for frame in u.unbind(1):
        by = [int(torch.randint(1, n, (), generator=generator)) for n in u.shape[3:]]
        frames.append(frame.roll(by, [a - 1 for a in axes]))
    return torch.stack(frames, 1)
