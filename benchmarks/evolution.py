"""Navier-Stokes steps compared with the published form in torch and with bare transforms."""

from typing import NamedTuple

import torch
from torch import Tensor

from pdeops.calculus import fourier
from pdeops.domain import Grid
from pdeops.solvers import RK4CN, NavierStokes

from .bench import Bench

DT, VISCOSITY = 1e-3, 1e-3


class PublishedForm:
    """RK4-CN as in the code of Spectral-Refiner (torch_cfd): 25 transforms, full spectra.

    Each stage transforms u, v, ω_x, ω_y to the nodes and u·∇ω back, each by one real FFT of the
    whole grid. The published filter keeps k = -21 and drops 21; here it is symmetric, as ours is,
    so that the two sides agree.
    """

    def __init__(self, grid: Grid, dtype: torch.dtype) -> None:
        kx, ky = fourier.wavenumbers(grid)
        kx, ky = kx[:, None].to(dtype), ky[None].to(dtype)
        laplacian = -(kx**2 + ky**2)
        self.linear = VISCOSITY * laplacian
        self.dx, self.dy = 1j * kx, 1j * ky
        self.inverse = torch.where(laplacian == 0, 1, laplacian).reciprocal()
        self.filter = fourier.dealias_mask(grid).to(dtype)

    def explicit(self, w_hat: Tensor) -> Tensor:
        psi_hat = -w_hat * self.inverse
        u, v = torch.fft.irfft2(self.dy * psi_hat), torch.fft.irfft2(-self.dx * psi_hat)
        wx, wy = torch.fft.irfft2(self.dx * w_hat), torch.fft.irfft2(self.dy * w_hat)
        return -torch.fft.rfft2(u * wx + v * wy) * self.filter

    def step(self, w_hat: Tensor, dt: float) -> Tensor:
        h = torch.zeros_like(w_hat)
        for i, (beta, gamma) in enumerate(zip(RK4CN.beta, RK4CN.gamma, strict=True)):
            h = self.explicit(w_hat) + beta * h
            mu = 0.5 * dt * (RK4CN.alpha[i + 1] - RK4CN.alpha[i])
            rhs = w_hat + gamma * dt * h + mu * self.linear * w_hat
            w_hat = rhs / (1 - mu * self.linear)
        return w_hat


class Flow(NamedTuple):
    """The same flow for both sides, and the number of steps."""

    w: Tensor
    w_hat: Tensor
    equation: NavierStokes
    stepper: RK4CN
    plain: PublishedForm
    steps: int


def flow(n: int, batch: int, steps: int) -> Flow:
    """Random vorticity of unit size with wave numbers up to 8."""
    grid = Grid((n, n), boundary="periodic")
    noise = torch.randn(batch, 1, 17, 17, generator=torch.Generator().manual_seed(0))
    w = fourier.resample(noise, grid.with_shape((17, 17)), (n, n))
    w = w - w.mean((-2, -1), keepdim=True)
    equation = NavierStokes(grid, VISCOSITY)
    w_hat = equation.encode(w)
    plain = PublishedForm(grid, w.dtype)
    return Flow(w, w_hat, equation, RK4CN(equation, w_hat), plain, steps)


def fused(f: Flow) -> Tensor:
    u_hat = f.w_hat.clone()
    for i in range(f.steps):
        f.stepper.step(u_hat, i * DT, DT)
    return f.equation.decode(u_hat)


def published(f: Flow) -> Tensor:
    w_hat = torch.fft.rfft2(f.w[:, 0])
    for _ in range(f.steps):
        w_hat = f.plain.step(w_hat, DT)
    return torch.fft.irfft2(w_hat)[:, None]


def transforms(f: Flow) -> Tensor:
    """Only the real FFTs that the steps need in the form with four transforms."""
    w, out = f.w[:, 0], f.w
    for _ in range(10 * f.steps):
        out = torch.fft.irfft2(torch.fft.rfft2(w))
    return out[:, None]


def _benches(n: int, batch: int, steps: int) -> list[Bench]:
    size = f"{n} x {n}, batch {batch}, {steps} steps of RK4-CN"

    def make(name: str, reference, reference_name: str, tolerance: float | None) -> Bench:
        return Bench(
            name=f"{name}{n}_batch{batch}",
            size=size,
            dtype="float32",
            setup=lambda: flow(n, batch, steps),
            work=fused,
            reference=reference,
            work_name="two complex transforms each way, fused loops",
            reference_name=reference_name,
            tolerance=tolerance,
            repeats=9,
            threads=2,
        )

    return [
        make("vorticity", published, "published form, 25 transforms (torch)", 1e-4),
        make("vorticity_bound", transforms, "20 bare real FFTs (torch)", None),
    ]


BENCHES = [
    bench
    for n, batch, steps in ((64, 1, 100), (64, 16, 20), (256, 1, 20), (256, 16, 4))
    for bench in _benches(n, batch, steps)
]
