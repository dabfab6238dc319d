"""python -m benchmarks.multigrid_gpu: CG with multigrid cycles in single precision on a GPU.

Poisson and a coefficient with jumps of 100, u = 0 at the boundary, in a plane and a box, and
several right-hand sides at once; solved until the true residual in float64 is 1e-8 of the
right-hand side. A row for each problem: unknowns, time of the set-up, of a cycle, of a solution and
of a first solution (which compiles kernels, chooses tiles and captures the graph), iterations, the
set-up in cycles, how many times faster a cycle is than its twin in plain torch, and the fraction of
the copy bandwidth that the compulsory bytes of a cycle reach: on the finest level, u and b read and
u written in each smoothing, u and b read for the restriction, and the couplings in all three.

Rows of `vcycle_darcy` have the same method with the first coarse level sparsified by the shares
that this network computes on the device, next to rows without a network, and with equal shares: for
one right-hand side on two planes, and for several.

Where nvmath-python and cuDSS are installed, further rows have their direct solution of smaller
systems, factorisation and solution, and ours of the same systems.

Needs a GPU, torch, triton and numpy. `--device cpu` runs the twins at small sizes and checks the
residuals. Writes results/multigrid_gpu.csv.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from pdeops.compare.tables import write_csv
from pdeops.domain import Grid
from pdeops.kernels import tiled_multigrid
from pdeops.kernels.blackbox.sparsify import Shares, Stencil, equal_shares
from pdeops.kernels.runtime.graphs import graphed
from pdeops.solvers import Diffusion, MultigridCG

from .gpu import add_options, begin, copy_bandwidth, gpu_machine, seconds

PLANES, BOXES, COLUMNS, BATCH_SIZE = (1024, 4096), (128, 256), 32, 1024
LEARNED = (2048, 4096)  # planes of the rows with a network; the last row has several columns
DIRECT = ((1024, 1024), (2048, 2048), (64, 64, 64))
RTOL = 1e-8
Row = dict[str, Any]


@dataclass(frozen=True)
class Problem:
    """A system: its unknowns per axis, number of right-hand sides, and kind of coefficient."""

    shape: tuple[int, ...]
    columns: int = 1
    jumps: bool = False

    @property
    def grid(self) -> Grid:
        """With the boundary stored."""
        return Grid([n + 2 for n in self.shape])

    def operator(self, device: torch.device) -> Diffusion:
        """-div(a grad u), a = 1, or 1 and 100 in boxes that no grid line follows."""
        if not self.jumps:
            return Diffusion(1.0, self.grid)
        high = torch.ones((), dtype=torch.float64, device=device)
        for axis, n in enumerate(self.grid.shape):
            x = torch.linspace(0, 1, n, dtype=torch.float64, device=device)
            high = high[..., None] * torch.sin((7 + 2 * axis) * torch.pi * (x + 0.013))
        return Diffusion(torch.where(high > 0, 100.0, 1.0).double(), self.grid)

    def right_hand_sides(self, device: torch.device) -> Tensor:
        generator = torch.Generator(device).manual_seed(0)
        shape = self.shape if self.columns == 1 else (self.columns, *self.shape)
        return torch.randn(shape, generator=generator, dtype=torch.float64, device=device)

    @property
    def words(self) -> Row:
        """Of the table."""
        return {
            "unknowns": " x ".join(map(str, self.shape)),
            "columns": self.columns,
            "coefficient": "jumps" if self.jumps else "constant",
        }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.multigrid_gpu")
    parser.add_argument("--planes", type=int, nargs="*", default=PLANES, help="unknowns per axis")
    parser.add_argument("--boxes", type=int, nargs="*", default=BOXES, help="unknowns per axis")
    parser.add_argument("--learned", type=int, nargs="*", default=LEARNED, help="unknowns per axis")
    parser.add_argument("--batch", type=int, default=BATCH_SIZE, help="of a plane, 0 for none")
    parser.add_argument("--columns", type=int, default=COLUMNS, help="right-hand sides of a batch")
    parser.add_argument("--device", default="cuda", help="'cpu' runs the twins")
    parser.add_argument("--no-direct", action="store_true", help="without cuDSS")
    add_options(parser, repeats=9)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    begin(parser, device, "`--device cpu` checks the twins at small sizes.")
    bandwidth = copy_bandwidth(device) if device.type == "cuda" else None
    if bandwidth is not None:
        print(f"copy bandwidth {bandwidth / 1e12:.2f} TB/s")
    rows: list[Row] = []
    for row in measured(arguments, device, bandwidth):
        rows.append({**row, **gpu_machine()})
        print(*(f"{k} {v}" for k, v in row.items()), sep=" | ", flush=True)
        write_csv(arguments.out / "multigrid_gpu.csv", rows)


def measured(
    arguments: argparse.Namespace, device: torch.device, bandwidth: float | None
) -> Iterator[Row]:
    """The rows of the table."""
    shapes = [(n, n) for n in arguments.planes] + [(n, n, n) for n in arguments.boxes]
    problems = [Problem(shape, jumps=jumps) for shape in shapes for jumps in (False, True)]
    if arguments.batch:
        n, m = arguments.batch, arguments.columns
        problems += [Problem((n, n), m, jumps) for jumps in (False, True)]
    for problem in problems:
        yield multigrid_row(problem, device, bandwidth, arguments.repeats)
    planes = [Problem((n, n), jumps=True) for n in arguments.learned]
    if planes:
        planes.append(replace(planes[0], columns=arguments.columns))
        shares = {"": None, "vcycle_darcy": shares_of("vcycle_darcy", device)}
        shares["equal shares"] = equal_shares
    for problem in planes:
        for name, how in shares.items():
            yield multigrid_row(problem, device, bandwidth, arguments.repeats, name, how)
    if device.type != "cuda" or arguments.no_direct:
        return
    try:
        import nvmath.sparse.advanced  # noqa: F401
    except ImportError as error:
        print(f"cuDSS does not load: {error} (pip install nvmath-python[cu12])")
        return
    for shape in DIRECT:
        for method in (multigrid_row, cudss_row):
            yield method(Problem(shape, jumps=True), device, bandwidth, arguments.repeats)


def shares_of(name: str, device: torch.device) -> Shares:
    """The shares of a trained network, on a device; no gradient is recorded."""
    from pdeops.tasks.preconditioner import load_correction

    network: Any = load_correction(name, device=device)

    @torch.no_grad()
    def shares(stencil: Stencil) -> Tensor:
        result: Tensor = network.shares(stencil)
        return result

    return shares


def multigrid_row(
    problem: Problem,
    device: torch.device,
    bandwidth: float | None,
    repeats: int,
    name: str = "",
    shares: Shares | None = None,
) -> Row:
    """Set-up, cycle and solution by `MultigridCG`, with sparsified levels if shares are given.

    Raises:
        RuntimeError: the true residual exceeds the tolerance.
    """
    A, b = problem.operator(device), problem.right_hand_sides(device)
    begun = time.perf_counter()
    solver = MultigridCG(A, device=device, shares=shares)
    solver.solve(b, rtol=RTOL)
    first = time.perf_counter() - begun
    solution = seconds(lambda: solver.solve(b, rtol=RTOL), device, repeats).median
    result = solver.solve(b, rtol=RTOL)
    if not result.converged:
        raise RuntimeError(f"{problem}: {result.reason}")
    setup = seconds(lambda: MultigridCG(A, device=device, shares=shares), device, repeats).median
    cycle = cycle_time(solver, b, device, repeats)
    with tiled_multigrid.FORMS.twin():
        twin = cycle_time(solver, b, device, min(repeats, 3))
    row = {
        "method": f"MultigridCG, {name}" if name else "MultigridCG",
        **problem.words,
        "first_s": f"{first:.2f}",
        "setup_s": f"{setup:.3e}",
        "cycle_s": f"{cycle:.3e}",
        "solve_s": f"{solution:.3e}",
        "iterations": result.iterations,
        "residual": f"{result.residual:.1e}",
        "setup_in_cycles": f"{setup / cycle:.1f}",
        "twin_over_kernels": f"{twin / cycle:.1f}",
    }
    if bandwidth is not None:
        row["fraction_of_copy"] = f"{compulsory_bytes(solver, problem) / cycle / bandwidth:.2f}"
        row["copy_TB_s"] = f"{bandwidth / 1e12:.2f}"
    return row


def cycle_time(solver: MultigridCG, b: Tensor, device: torch.device, repeats: int) -> float:
    """Seconds of a cycle, as a graph."""
    stored = solver.hierarchy.stored(b.reshape(-1, *solver.A.grid.shape)).float()
    out = torch.empty_like(stored)
    return seconds(graphed(lambda: out.copy_(solver.cycle(stored)), device), device, repeats).median


def compulsory_bytes(solver: MultigridCG, problem: Problem) -> int:
    """Of the finest level in a V-cycle: see the head of this file."""
    finest = solver.hierarchy.levels[0]
    nodes = finest.c[0].numel()
    couplings = len(finest.c) if any(finest.c.stride()[1:]) else 0
    from_zero, restriction, corrected = 2, 2, 3
    fields = from_zero + restriction + corrected
    return finest.c.element_size() * nodes * (fields * problem.columns + 3 * couplings)


def cudss_row(problem: Problem, device: torch.device, bandwidth: float | None, repeats: int) -> Row:
    """Factorisation and solution by cuDSS of the matrix in the memory of the device."""
    from nvmath.sparse.advanced import DirectSolver

    A, b = problem.operator(device), problem.right_hand_sides(device)
    csr = A.to_csr()
    parts = (torch.from_numpy(x).to(device) for x in (csr.indptr, csr.indices, csr.data))
    matrix = torch.sparse_csr_tensor(*parts, size=csr.shape)
    flat = b.flatten()
    begun = time.perf_counter()
    with DirectSolver(matrix, flat) as solver:
        solver.plan()
        solver.factorize()
        torch.cuda.synchronize(device)
        factorisation = time.perf_counter() - begun
        solution = seconds(solver.solve, device, repeats).median
        x = solver.solve().view(b.shape)
    residual = ((b - A @ x).norm() / b.norm()).item()
    return {
        "method": "cuDSS",
        **problem.words,
        "setup_s": f"{factorisation:.3e}",
        "solve_s": f"{solution:.3e}",
        "residual": f"{residual:.1e}",
    }


if __name__ == "__main__":
    main()
