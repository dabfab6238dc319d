"""Navier-Stokes steps compared with exponax and jax-cfd: same equation, modes and number of steps.

jax is imported when a bench is set up, never before. The steps of exponax and jax-cfd are compiled
into one loop, and the time includes waiting for their results.
"""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pdeops.calculus import fourier
from pdeops.domain import Grid
from pdeops.solvers import ETDRK4, RK4CN, NavierStokes, Stepper

from .bench import Bench

DT, VISCOSITY, THREADS = 1e-3, 1e-3, 2


class Flow(NamedTuple):
    """One flow, prepared for both sides."""

    w_hat: Tensor
    equation: NavierStokes
    stepper: Stepper
    steps: int
    peer: Callable[[], Tensor]


def vorticity(n: int, batch: int) -> Tensor:
    """Random vorticity of unit size on [0, 1]² with wave numbers up to 8."""
    noise = torch.randn(batch, 1, 17, 17, generator=torch.Generator().manual_seed(0))
    w = fourier.resample(noise, Grid((17, 17), boundary="periodic"), (n, n))
    return w - w.mean((-2, -1), keepdim=True)


def ours(flow: Flow) -> Tensor:
    u_hat = flow.w_hat.clone()
    for i in range(flow.steps):
        flow.stepper.step(u_hat, i * DT, DT)
    return flow.equation.decode(u_hat)


def exponax(w: Tensor, K: int, steps: int) -> Callable[[], Tensor]:
    """ETDRK4 of exponax from nodal values to nodal values, all steps in Fourier space."""
    jax = two_threads()
    from exponax import RepeatedStepper
    from exponax.stepper import NavierStokesVorticity

    # Its mask keeps |k| <= fraction n/2 - 1; the added half avoids rounding. Its velocity has
    # Δψ = ω with u = ψ_y, the negative of ours, so its convection needs the opposite sign.
    n = w.shape[-1]
    step = NavierStokesVorticity(
        2, 1.0, n, DT, diffusivity=VISCOSITY, vorticity_convection_scale=-1.0, order=4,
        dealiasing_fraction=(K + 1.5) / (n / 2),
    )  # fmt: skip
    run = jax.jit(jax.vmap(RepeatedStepper(step, steps)))
    field = jax.numpy.asarray(w.numpy())
    return lambda: torch.from_numpy(jax.device_get(run(field)).copy())


def jax_cfd(w: Tensor, K: int, steps: int) -> Callable[[], Tensor]:
    """RK4-CN of jax-cfd. Its filter keeps k = -K and drops K; with ours the two sides agree."""
    jax = two_threads()
    from jax_cfd.base.grids import Grid as Box
    from jax_cfd.spectral.equations import NavierStokes2D
    from jax_cfd.spectral.time_stepping import crank_nicolson_rk4

    n = w.shape[-1]
    equation = NavierStokes2D(VISCOSITY, Box((n, n), domain=((0, 1), (0, 1))))
    k = jax.numpy.abs(jax.numpy.fft.fftfreq(n, 1 / n))
    kept = (k[:, None] <= K) & (k[None, : n // 2 + 1] <= K)
    equation.filter_ = kept.astype(w.numpy().dtype)
    step = crank_nicolson_rk4(equation, DT)

    @jax.jit
    @jax.vmap
    def run(w):
        w_hat = jax.numpy.fft.rfft2(w)
        w_hat = jax.lax.fori_loop(0, steps, lambda _, u: step(u), w_hat)
        return jax.numpy.fft.irfft2(w_hat)

    field = jax.numpy.asarray(w[:, 0].numpy())
    return lambda: torch.from_numpy(jax.device_get(run(field)).copy())[:, None]


def two_threads() -> Any:
    """jax on two cores: its pool has one thread for each core that the process may use."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:THREADS]))
    import jax

    return jax


def _benches(n: int, batch: int, steps: int) -> list[Bench]:
    def make(name: str, method: type[Stepper], peer: Any, step_name: str, peer_name: str) -> Bench:
        def setup() -> Flow:
            w = vorticity(n, batch)
            equation = NavierStokes(Grid((n, n), boundary="periodic"), VISCOSITY)
            w_hat = equation.encode(w)
            run = peer(w, equation.K[0], steps)
            return Flow(w_hat, equation, method(equation, w_hat), steps, run)

        return Bench(
            name=f"vorticity_{name}{n}_batch{batch}",
            size=f"{n} x {n}, batch {batch}, {steps} steps",
            dtype="float32",
            setup=setup,
            work=ours,
            reference=lambda flow: flow.peer(),
            work_name=step_name,
            reference_name=peer_name,
            tolerance=1e-4,
            repeats=9,
            threads=THREADS,
        )

    return [
        make("exponax", ETDRK4, exponax, "ETDRK4", "exponax, ETDRK4 (jax, compiled)"),
        make("jaxcfd", RK4CN, jax_cfd, "RK4-CN", "jax-cfd, RK4-CN (jax, compiled)"),
    ]


BENCHES = [
    bench
    for n, batch, steps in ((64, 1, 100), (64, 16, 20), (256, 1, 20), (256, 16, 4), (512, 1, 10))
    for bench in _benches(n, batch, steps)
]
