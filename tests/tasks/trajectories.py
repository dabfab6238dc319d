"""Trajectories in memory: a data set whose frames are cut into windows, as files are."""

import numpy as np
import torch

from pdeops.batch import Batch
from pdeops.datasets import FieldDataset
from pdeops.datasets.windows import Window
from pdeops.domain import Grid

SPEED, VISCOSITY, DT = 0.4, 0.002, 0.1


class Trajectories(FieldDataset):
    """u of shape (n, t, c, *space); sample i is window i mod s of trajectory i // s."""

    spec = path = None
    half_open = False

    def __init__(self, u, domain, window=None, rows=None, names=("u",)):
        self.u, self.domain, self.names = u, domain, names
        self.window = window or Window.whole(u.shape[1])
        starts = self.window.num_starts(u.shape[1])
        whole = [(i, k) for i in range(len(u)) for k in range(starts)]
        self.rows = whole if rows is None else rows

    n_in = property(lambda self: self.window.n_in)
    n_out = property(lambda self: self.window.n_out)
    inputs = targets = property(lambda self: self.names)
    times = property(lambda self: tuple(DT * k for k in range(self.u.shape[1])))

    def __len__(self):
        return len(self.rows)

    def read(self, indices):
        samples, starts = np.array([self.rows[i] for i in indices]).reshape(-1, 2).T
        frames = self.window.frames(starts)
        u = self.u[torch.from_numpy(samples)[:, None], torch.from_numpy(frames)]
        n_in = self.window.n_in
        times = torch.from_numpy(DT * frames)
        return Batch(input=u[:, :n_in], target=u[:, n_in:], times=times)

    def batches(self, size):
        for start in range(0, len(self), size):
            yield self.read(range(start, min(start + size, len(self))))

    def subset(self, indices):
        rows = [self.rows[i] for i in indices]
        return type(self)(self.u, self.domain, self.window, rows, self.names)

    def windowed(self, window):
        starts = window.num_starts(self.u.shape[1])
        samples = dict.fromkeys(i for i, _ in self.rows)
        rows = [(i, k) for i in samples for k in range(starts)]
        return Trajectories(self.u, self.domain, window, rows, self.names)

    def check(self):
        assert self.u.isfinite().all()

    def __repr__(self):
        return f"Trajectories({tuple(self.u.shape)})"


class WithoutTime(Trajectories):
    """Fields that do not say that they have the axis time."""

    n_in = n_out = None


def multiplier(n, dt=DT):
    """exp((-i c k - ν k²) dt) for each wave: the exact step of u_t + c u_x = ν u_xx on [0, 1)."""
    k = 2 * torch.pi * torch.arange(n // 2 + 1, dtype=torch.float64)
    return torch.exp(dt * torch.complex(-VISCOSITY * k**2, -SPEED * k))


def advected(num_samples, num_frames, n=32, seed=0, dtype=torch.float32):
    """Random waves that move and decay: `Trajectories` of the exact solution."""
    generator = torch.Generator().manual_seed(seed)
    waves = torch.zeros(num_samples, 1, n // 2 + 1, dtype=torch.complex128)
    waves[..., 1:6] = torch.randn(num_samples, 1, 5, generator=generator, dtype=torch.complex128)
    frames = [torch.fft.irfft(waves * multiplier(n) ** k, n=n) * n / 4 for k in range(num_frames)]
    grid = Grid((n,), (1.0,), "periodic")
    return Trajectories(torch.stack(frames, 1).to(dtype), grid)
