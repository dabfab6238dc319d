"""python -m benchmarks.steppers_gpu: time steps on a GPU, of Navier-Stokes and of every equation.

Navier-Stokes, 512 x 512 nodes, batch 16: seconds of a step of RK4-CN and of ETDRK4, divided by
those of its FFTs alone (the same transforms of both axes, of the whole batch or of parts of it,
whichever is faster, launched alike). Other equations: ETDRK4, with half as many nodes on each of
two axes, or twice as many on one. Each with the form for the device and with the plain twins,
launched one operation after the other and as one CUDA graph, and the error after a few steps
against the twins in float64.

Needs a GPU, torch, triton and numpy. `--device cpu` computes all rows that need no graph, at tiny
sizes. Writes results/steppers_gpu.csv.
"""

import argparse
import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pdeops.calculus import fourier
from pdeops.compare.tables import write_csv
from pdeops.domain import Grid
from pdeops.kernels import etdrk4, low_storage, vorticity
from pdeops.solvers import (
    ETDRK4,
    RK4CN,
    AdvectionDiffusion,
    AllenCahn,
    Burgers,
    Evolution,
    GrayScott,
    KortewegDeVries,
    KuramotoSivashinsky,
    NavierStokes,
    Stepper,
    Wave,
)

from .gpu import Call, add_options, begin, gpu_machine, launches, seconds

TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-11}  # of the steps of one timed call


@dataclass(frozen=True)
class Case:
    """An equation, its grid and the length of a step.

    Attributes:
        axes: number of axes of space.
        extent: side of the box.
        boundary: of every axis.
    """

    equation: Callable[[Grid], Evolution]
    axes: int
    dt: float
    extent: float = 1.0
    boundary: str = "periodic"
    stepper: type[Stepper] = ETDRK4

    def grid(self, n: int) -> Grid:
        """n nodes on the only axis, or on each of two."""
        return Grid((n,) * self.axes, extent=self.extent, boundary=self.boundary)


def navier_stokes(grid: Grid) -> Evolution:
    return NavierStokes(grid, 1e-3)


FLOWS = {
    "Navier-Stokes, RK4-CN": Case(navier_stokes, 2, 1e-3, stepper=RK4CN),
    "Navier-Stokes, ETDRK4": Case(navier_stokes, 2, 1e-3),
}
OTHERS = {
    "Burgers": Case(lambda g: Burgers(g, 0.01), 1, 1e-3),
    "Burgers in 2D": Case(lambda g: Burgers(g, 0.01), 2, 1e-3),
    "Korteweg-de Vries": Case(KortewegDeVries, 1, 1e-3, extent=40.0),
    "Kuramoto-Sivashinsky": Case(KuramotoSivashinsky, 1, 0.05, extent=100.0),
    "Allen-Cahn": Case(lambda g: AllenCahn(g, 1e-3), 2, 0.05),
    "Allen-Cahn, cosines": Case(lambda g: AllenCahn(g, 1e-3), 2, 0.05, boundary="neumann"),
    "Gray-Scott": Case(GrayScott, 2, 0.5, extent=2.5),
    "advection-diffusion": Case(lambda g: AdvectionDiffusion(g, (1.0, 0.5), 1e-3), 2, 1e-3),
    "wave": Case(lambda g: Wave(g, 1.0), 2, 1e-3),
}


class Run:
    """Steps of a case from a smooth random field, in one way to compute the sums."""

    def __init__(
        self, case: Case, n: int, batch: int, dtype: torch.dtype, device: torch.device, twins: bool
    ) -> None:
        grid = case.grid(n)
        self.case, self.num_steps = case, 0
        with ExitStack() as stack:
            if twins:
                for operation in (vorticity, etdrk4, low_storage):
                    stack.enter_context(operation.FORMS.twin())
            self.equation = case.equation(grid)
            u = smooth(grid, batch * self.equation.num_channels)
            u = u.view(batch, self.equation.num_channels, *grid.shape).to(device, dtype)
            self.u_hat = self.equation.encode(u)
            self.start = self.u_hat.clone()
            self.method = case.stepper(self.equation, self.u_hat)
            self.step()  # binds the forms, chooses parts, makes plans and coefficients

    @torch.no_grad()
    def step(self) -> None:
        self.method.step(self.u_hat, 0.0, self.case.dt)

    def restart(self) -> None:
        self.u_hat.copy_(self.start)


def smooth(grid: Grid, count: int) -> Tensor:
    """Random fields (count, *space) of unit size with at most 17 waves per axis, mean 0."""
    coarse = grid.with_shape((min(17, grid.shape[0]),) * grid.ndim)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(count, *coarse.shape, generator=generator, dtype=torch.float64)
    u = fourier.resample(noise, coarse, grid.shape)
    return u - u.flatten(1).mean(1).view(-1, *[1] * grid.ndim)


def transforms(run: Run) -> dict[str, Call]:
    """The FFTs of a step of Navier-Stokes: of the whole batch, and of its parts as measured."""
    equation, stages = run.equation, 4 if run.case.stepper is ETDRK4 else 5
    assert isinstance(equation, NavierStokes)
    nx, ny = equation.box
    z = run.u_hat.new_zeros(len(run.u_hat), ny, nx)

    def of_parts(size: int) -> Call:
        parts = z.split(size)

        def call() -> None:
            for _ in range(stages):
                for part in parts:
                    torch.fft.ifft2(part, norm="forward")
                    torch.fft.fft2(part, norm="backward")

        return call

    chunks = vorticity.bind(run.u_hat, equation.box).chunks
    return {f"FFTs of {size}": of_parts(size) for size in {len(z), *chunks}}


def step_seconds(call: Call, steps: int, repeats: int, device: torch.device) -> float:
    """Median seconds of a call, `steps` of which are timed together."""

    def many() -> None:
        for _ in range(steps):
            call()

    return seconds(many, device, repeats).median / steps


def error_of(run: Run, step: Call, exact: Run, steps: int) -> float:
    """Of the state after some steps, relative to that of the twins in float64."""
    for side, call in ((run, step), (exact, exact.step)):
        side.restart()
        for _ in range(steps):
            call()
    difference = run.u_hat.to(exact.u_hat.dtype) - exact.u_hat
    run.restart()
    return (difference.norm() / exact.u_hat.norm()).item()


def measure(
    name: str, case: Case, n: int, dtype: torch.dtype, arguments: argparse.Namespace
) -> list[dict[str, Any]]:
    """The rows of one case and precision.

    Raises:
        RuntimeError: the error of a row exceeds the tolerance of its precision.
    """
    device, batch, steps = torch.device(arguments.device), arguments.batch, arguments.steps
    exact = Run(case, n, batch, torch.float64, device, twins=True)
    rows, slowest, ffts = [], math.nan, {}
    for forms in ("twins", "kernels"):
        run = Run(case, n, batch, dtype, device, twins=forms == "twins")
        for launch, call in launches(run.step, device):
            error = error_of(run, call, exact, steps)
            if not error <= TOLERANCE[dtype]:
                raise RuntimeError(
                    f"{name}, {forms}, {launch}, {dtype}: the error {error:.1e} is not that of "
                    f"round-off; the times cannot be compared."
                )
            step_s = step_seconds(call, steps, arguments.repeats, device)
            if forms == "twins" and launch == "operations":
                slowest = step_s
            row = {
                "equation": name,
                "nodes": "x".join(map(str, run.equation.grid.shape)),
                "batch": batch,
                "dtype": str(dtype).removeprefix("torch."),
                "forms": forms,
                "launch": launch,
                "step_s": f"{step_s:.3e}",
                "times_faster": f"{slowest / step_s:.2f}",
                "error": f"{error:.1e}",
                "fft_s": "",
                "step_over_fft": "",
            }
            if name in FLOWS:
                if launch not in ffts:
                    pairs = (dict(launches(c, device))[launch] for c in transforms(run).values())
                    ffts[launch] = min(
                        step_seconds(c, steps, arguments.repeats, device) for c in pairs
                    )
                row |= {
                    "fft_s": f"{ffts[launch]:.3e}",
                    "step_over_fft": f"{step_s / ffts[launch]:.2f}",
                }
            rows.append(row | gpu_machine())
            print(*list(row.values()), sep=" | ", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.steppers_gpu")
    parser.add_argument("--device", default="cuda", help="cuda, or cpu for tiny sizes")
    parser.add_argument("--nodes", type=int, help="per axis of Navier-Stokes; 512, or 16 on a CPU")
    parser.add_argument("--batch", type=int, help="samples; 16, or 2 on a CPU")
    parser.add_argument("--steps", type=int, default=10, help="steps of one timed call")
    add_options(parser, repeats=10)
    arguments = parser.parse_args()
    tiny = arguments.device == "cpu"
    begin(parser, torch.device(arguments.device), "`--device cpu` runs tiny sizes.")
    if tiny:
        torch.set_num_threads(1)
    arguments.batch = arguments.batch or (2 if tiny else 16)
    nodes = arguments.nodes or (16 if tiny else 512)
    rows: list[dict[str, Any]] = []
    for name, case in (FLOWS | OTHERS).items():
        n = nodes if name in FLOWS else max(16, nodes // 2 if case.axes == 2 else 2 * nodes)
        for dtype in (torch.float32, torch.float64):
            rows += measure(name, case, n, dtype, arguments)
            write_csv(arguments.out / "steppers_gpu.csv", rows)


if __name__ == "__main__":
    main()
