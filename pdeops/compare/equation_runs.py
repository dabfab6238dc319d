"""A network that solves one equation, and the cheapest classical solution of at most its error."""
# Axes: t time, c channel, *space nodes.

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..domain import Grid
from ..metrics import METRICS
from ..solvers.evolution.finite_volume import BurgersFlux, solve_conservation_law
from ..solvers.evolution.trajectory import Trajectory
from ..tasks.classical_solution import classical_solution, is_inviscid_burgers
from ..tasks.equation import EquationRun
from ..tasks.running import training_seconds
from .equation_plots import draw
from .tables import grid_name, markdown_table, percent, seconds_text, write_csv
from .time_stepping import SteppedRow, cheapest, sweep
from .timing import Clock, time_calls

_HALVINGS = 10  # of dt, from the whole interval
_NODES = (8, 12, 16, 24, 32, 48, 64, 96, 128, 256, 512)


@dataclass(frozen=True)
class EquationComparison:
    """A run and a classical solver at the last time, errors relative in L² against a resolved
    solution.

    Attributes:
        model: name of the network.
        error: its error.
        training: seconds of its training; None if its checkpoint does not hold them.
        sampling: seconds to evaluate it at the test nodes.
        nodes: test nodes per axis.
        classical: run of least seconds with at most that error; None if no (n, dt) reaches it.
        reference: the reference in words.
    """

    model: str
    error: float
    training: float | None
    sampling: float
    nodes: tuple[int, ...]
    classical: SteppedRow | None
    reference: str

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    def rows(self) -> list[tuple[str, float, float | None, float]]:
        """Method, error, seconds of training, seconds of the solution."""
        rows: list[tuple[str, float, float | None, float]] = [
            (self.model, self.error, self.training, self.sampling)
        ]
        if self.classical is not None:
            c = self.classical
            rows.append((c.label, c.error, None, c.seconds))
        return rows

    def to_markdown(self) -> str:
        """A table of the two, and the verdict."""
        cells = [
            (name, percent(e), "-" if before is None else seconds_text(before), seconds_text(s))
            for name, e, before, s in self.rows()
        ]
        header = ("method", "error at the last time", "training", "solution")
        table = markdown_table(header, cells)
        if self.classical is None:
            verdict = "No classical run of the sweep reaches this error."
        else:
            whole = self.sampling + (self.training or 0.0)
            verdict = (
                f"Training and evaluation take {whole / self.classical.seconds:.3g} times as long "
                f"as the cheapest classical run with at most the same error."
            )
        return (
            f"{table}\n\n{verdict}\n\nErrors at {grid_name(self.nodes)} nodes. Reference: "
            f"{self.reference}."
        )


def compare_equation(
    run: EquationRun, *, folder: str | Path | None = None, clock: Clock | None = None
) -> EquationComparison:
    """Compare a run with ETDRK4 at many (n, dt), and write equation_compare.csv and .md and the
    figures plots/ (`equation_plots.draw`) to the folder. For the inviscid Burgers equation, which
    forms shocks, finite volumes are opponents too.

    Raises:
        ValueError: the classical solution does not converge.
    """
    test = run.domain.with_shape((128 if run.domain.ndim == 1 else 64,) * run.domain.ndim)
    t_end, equation = run.recipe.domain.t_end, run.field.equation
    truth = classical_solution(equation, run.field.u0, test, [t_end])
    u = run.on(test, [t_end])
    error = METRICS["relative_l2"](u.to(truth.u), truth.u, test).mean().item()
    sampling = time_calls({"run": lambda: run.on(test, [t_end])}, repeats=3, clock=clock)["run"]
    rows: list[SteppedRow] = []
    able = 0
    for nodes in _NODES:
        if (nodes > test.shape[0] and nodes % test.shape[0]) or able == 2:
            continue
        found = sweep(
            equation.on,
            run.field.u0(test.nodes()[None]),
            [t_end],
            truth.u[None],
            start=test,
            test=test,
            grids=[test.with_shape((nodes,) * test.ndim)],
            dts=[t_end / 2**k for k in range(_HALVINGS)],
            clock=clock,
        )
        able += cheapest(found, error) is not None  # finer grids than two that can are dearer
        rows += found
    if is_inviscid_burgers(equation):
        rows += finite_volumes(run.field.u0, test, t_end, truth.u[0], enough=error, clock=clock)
    report = EquationComparison(
        run.recipe.model.name,
        error,
        training_seconds(run.folder),
        sampling.wall.median,
        test.shape,
        cheapest(rows, error),
        truth.text,
    )
    if folder is not None:
        names = ("method", "error", "training_seconds", "seconds")
        lines = [dict(zip(names, row, strict=True)) for row in report.rows()]
        write_csv(Path(folder) / "equation_compare.csv", lines)
        text = report.to_markdown() + "\n"
        (Path(folder) / "equation_compare.md").write_text(text, encoding="utf-8")
        draw(run, Path(folder) / "plots")
    return report


def finite_volumes(
    u0: Callable[[Tensor], Tensor],
    test: Grid,
    t_end: float,
    truth: Float[Tensor, "1 x"],
    *,
    enough: float = 0.0,
    cells: Sequence[int] = (16, 32, 64, 128, 256, 512, 1024, 2048),
    clock: Clock | None = None,
) -> list[SteppedRow]:
    """`solve_conservation_law` of the inviscid Burgers equation on finer and finer grids.

    Cells are around the nodes, and values between them linear. At a shock the error in L² falls in
    proportion to h^½ or slower.

    Args:
        enough: finer grids than the first with at most this error are left out.
    """
    rows: list[SteppedRow] = []
    calls: dict[str, Callable[[], object]] = {}
    for nodes in cells:
        call = partial(_volumes_at, u0, test.with_shape((nodes,)), test, t_end)
        u, result = call()
        error = METRICS["relative_l2"](u[None], truth[None], test).item()
        dt = t_end / max(result.num_steps, 1)
        steps, done = result.num_steps, result.completed
        rows.append(
            SteppedRow(
                "finite volumes", (nodes,), dt, steps, (error,), error, 0.0, done, result.reason
            )
        )
        calls[rows[-1].label] = call
        if error <= enough:
            break
    timings = time_calls(calls, repeats=3, clock=clock)
    return [replace(row, seconds=timings[row.label].wall.median) for row in rows]


def _volumes_at(
    u0: Callable[[Tensor], Tensor], grid: Grid, test: Grid, t_end: float
) -> tuple[Float[Tensor, "1 x"], Trajectory]:
    """The solution by the finite volumes of a grid at the test nodes, and their run."""
    run = solve_conservation_law(BurgersFlux(), u0(grid.nodes()[None]).double(), grid, [t_end])
    x, nodes = test.nodes()[0].numpy(), grid.nodes()[0].numpy()
    u = np.interp(x, nodes, run.u[0, 0, 0].numpy(), period=test.extent[0])
    return torch.from_numpy(u)[None], run
