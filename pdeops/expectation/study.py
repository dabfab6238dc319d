"""The expectation of a quantity over a problem's random input, with a trained operator."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..compare.runs import training_time
from ..compare.tables import grid_name, markdown_table, seconds_text
from ..datasets import Problem
from ..domain import Grid
from ..tasks.supervised import Run
from .estimates import MIN_SAMPLES, Estimate, monte_carlo, require_positive
from .multifidelity import Pair, multifidelity
from .multilevel import multilevel
from .quantities import Quantity, quantity_named
from .sampling import Sampler

log = logging.getLogger("pdeops")

RTOL = 1e-8  # of the solves: far below the standard error of any estimate
MIN_CELLS = 8  # per axis of the coarsest level
BATCH = 32
METHODS = ("operator", "monte-carlo", "coarse", "multilevel")
HEADER = (
    "method",
    "mean",
    "standard error",
    "evaluations",
    "seconds",
    "of it pilot",
    "at the error",
)


@dataclass(frozen=True)
class ExpectationStudy:
    """Estimates of one expectation by several methods, planned for the same standard error.

    Attributes:
        quantity: its name.
        grid: the grid on which the quantity is defined.
        standard_error: what was asked for; those of the estimates differ by chance.
        estimates: one per method.
        pairs: by name of the cheap quantity, what the pilot run found.
        refused: by name, why a method was not used.
        training_seconds: of the operator; None if not known.
    """

    quantity: str
    grid: Grid
    standard_error: float
    estimates: dict[str, Estimate]
    pairs: dict[str, Pair]
    refused: dict[str, str]
    training_seconds: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "quantity": self.quantity,
            "grid": list(self.grid.shape),
            "standard_error": self.standard_error,
            "training_seconds": self.training_seconds,
            "estimates": {
                name: {
                    "mean": e.mean,
                    "standard_error": e.standard_error,
                    "interval": list(e.interval),
                    "evaluations": e.counts,
                    "seconds": e.seconds + e.pilot_seconds,
                    "pilot_seconds": e.pilot_seconds,
                    "seconds_at_standard_error": e.seconds_at(self.standard_error),
                }
                for name, e in self.estimates.items()
            },
            "control_variates": {
                name: {
                    "correlation": p.correlation,
                    "cost": p.cheap_cost / p.cost,
                    "relative_cost": p.relative_cost,
                }
                for name, p in self.pairs.items()
            },
            "refused": self.refused,
        }

    def to_markdown(self) -> str:
        """A table of the methods, and what the pilot run predicts for the others."""
        cells = [
            (
                e.method,
                f"{e.mean:.6g}",
                f"{e.standard_error:.2e}",
                ", ".join(f"{n:,} {name}" for name, n in e.counts.items()),
                seconds_text(e.seconds + e.pilot_seconds),
                seconds_text(e.pilot_seconds),
                seconds_text(e.seconds_at(self.standard_error)),
            )
            for e in self.estimates.values()
        ]
        lines = [
            f"E[{self.quantity}] of the solution on {grid_name(self.grid.shape)} nodes, unbiased "
            f"for that grid:",
            "",
            markdown_table(HEADER, cells),
            "",
            f"The last column: seconds in proportion, at the standard error of "
            f"{self.standard_error:.3g} that was asked for. The pilot run alone fixes the numbers "
            f"of samples, at least {MIN_SAMPLES} of each, since drawing until the error is reached "
            f"would bias the mean: so the standard errors differ, less so with a larger --pilot.",
        ]
        for name, p in self.pairs.items():
            lines.append(
                f"{name}: correlation {p.correlation:.4f} with the solution, "
                f"{p.cheap_cost / p.cost:.3g} of its seconds; the pilot predicts "
                f"{p.relative_cost:.3g} times the seconds of Monte Carlo."
            )
        lines += list(self.refused.values())
        if "operator" in self.estimates or self.training_seconds is not None:
            spent = self.training_seconds
            text = "not known" if spent is None else seconds_text(spent)
            lines.append(
                f"Training of the operator and its data are not counted (training: {text})."
            )
        return "\n".join(lines)


def expect(
    run: Run,
    quantity: str,
    standard_error: float,
    *,
    resolution: int | None = None,
    seed: int = 1,
    pilot: int = 50,
    methods: Sequence[str] = ("operator",),
) -> ExpectationStudy:
    """E[Q] over the random input of a run's problem, with its operator as a control variate.

    Q is a functional of the discrete solution on a grid; the estimate is unbiased for that grid
    whatever the operator predicts. The operator works on the grid of its training data. Seconds
    include the drawing of inputs.

    Args:
        standard_error: what the numbers of samples are planned for (`estimates.aim`).
        quantity: a name of `quantities.QUANTITIES`, or `file.py:function`.
        resolution: nodes per axis of the solution; by default those of the training data.
        seed: of the random inputs; not that of the training data.
        pilot: samples that choose sizes and coefficients, and are not used again.
        methods: of `METHODS`; the others are predicted by the pilot where it can.

    Raises:
        ValueError: the problem of the run is not known, the seed is that of the training data, a
            method or quantity is unknown, the quantity is not finite, or every method that was
            asked for costs more than it saves.
    """
    require_positive(standard_error)
    problem, spec = run.problem, run.spec
    if problem is None or spec is None:
        raise ValueError(
            f"The expectation is over the random input of a problem; the data of {run.folder} name "
            f"none that pdeops can draw. Train on data made by `pdeops data generate`."
        )
    if not methods:
        raise ValueError(f"Name at least one method: {', '.join(METHODS)}.")
    if unknown := [m for m in methods if m not in METHODS]:
        raise ValueError(f"The methods are {', '.join(METHODS)}; got {unknown[0]!r}.")
    if seed == spec.seed:
        raise ValueError(
            f"Seed {seed} is that of the training data: no training sample may be used again. "
            f"Give another --seed."
        )
    if seed < 0:
        raise ValueError(f"The seed must not be negative; got {seed}.")
    if pilot < 3:
        raise ValueError(
            f"The pilot run needs at least 3 samples, since any two correlate perfectly; got "
            f"{pilot}."
        )
    trained: Any = spec.domain
    grid = trained if resolution is None else problem.grid([resolution] * trained.ndim)
    wanted = quantity_named(quantity)
    fine = Sampler(f"solve on {grid_name(grid.shape)}", _solved(problem, grid, wanted, seed))
    operator = Sampler("operator", _predicted(run, problem, trained, wanted, seed))
    _first_calls(fine, operator)
    pairs = {"operator": Pair.measured(fine, operator, 0, pilot)}
    estimates: dict[str, Estimate] = {}
    refused: dict[str, str] = {}
    cheap = {"operator": operator}
    if "coarse" in methods:
        levels = _coarser(problem, grid, wanted, seed)
        cheap["coarse"], pairs["coarse"] = _best_coarse(fine, levels, pilot)
    for name in (name for name in cheap if name in methods):
        if why := pairs[name].refusal(cheap[name].name):
            refused[name] = why
            continue
        log.info("sampling with %s as control variate", cheap[name].name)
        estimates[name] = multifidelity(fine, cheap[name], pairs[name], standard_error, first=pilot)
    if refused.keys() == set(methods):
        raise ValueError(" ".join(refused.values()))
    if "monte-carlo" in methods:
        estimates["monte-carlo"] = monte_carlo(fine, standard_error, pilot=pilot)
    if "multilevel" in methods:
        levels = [*_coarser(problem, grid, wanted, seed), fine]
        _first_calls(*levels)
        estimates["multilevel"] = multilevel(levels, standard_error, pilot=pilot)
    spent = training_time(run)
    return ExpectationStudy(quantity, grid, standard_error, estimates, pairs, refused, spent)


def _solved(
    problem: Problem, grid: Grid, quantity: Quantity, seed: int
) -> Callable[[Sequence[int]], np.ndarray]:
    """The quantity of solved samples."""

    def evaluate(indices: Sequence[int]) -> np.ndarray:
        values = []
        for i in indices:
            x = problem.sample_input(grid, seed, i)
            result = problem.solve(x, grid, RTOL)
            if not result.converged:
                raise ValueError(f"Sample {i} was not solved: {result.reason}.")
            values.append(quantity(problem, x, result.x, grid))
        return np.array(values)

    return evaluate


def _predicted(
    run: Run, problem: Problem, grid: Grid, quantity: Quantity, seed: int
) -> Callable[[Sequence[int]], np.ndarray]:
    """The quantity of predicted samples."""

    @torch.no_grad()
    def evaluate(indices: Sequence[int]) -> np.ndarray:
        values = []
        for start in range(0, len(indices), BATCH):
            some = indices[start : start + BATCH]
            x = torch.stack([problem.sample_input(grid, seed, i) for i in some])
            u = run(x.float()).double()
            values += [quantity(problem, a, v[0], grid) for a, v in zip(x, u, strict=True)]
        return np.array(values)

    return evaluate


def _coarser(problem: Problem, grid: Grid, quantity: Quantity, seed: int) -> list[Sampler]:
    """Samplers on the grids with 1/2, 1/4, ... of the cells, from the coarsest on."""
    found, factor = [], 2
    while all(m % factor == 0 and m // factor >= MIN_CELLS for m in grid.cells):
        nodes = [n - m + m // factor for n, m in zip(grid.shape, grid.cells, strict=True)]
        level = grid.with_shape(nodes)
        name = f"solve on {grid_name(level.shape)}"
        found.append(Sampler(name, _solved(problem, level, quantity, seed)))
        factor *= 2
    if not found:
        raise ValueError(
            f"{grid_name(grid.shape)} nodes have no coarser grid of at least {MIN_CELLS} cells per "
            f"axis: take 2^k + 1 nodes, such as --resolution 65."
        )
    return found[::-1]


def _best_coarse(fine: Sampler, coarse: Sequence[Sampler], pilot: int) -> tuple[Sampler, Pair]:
    """The coarse grid of which the pilot run predicts least cost."""
    _first_calls(*coarse)
    pairs = [Pair.measured(fine, g, 0, pilot) for g in coarse]
    best = min(range(len(pairs)), key=lambda k: pairs[k].relative_cost)
    return coarse[best], pairs[best]


def _first_calls(*samplers: Sampler) -> None:
    """Compile and fill caches, on samples that no estimate uses; not counted."""
    for sampler in samplers:
        sampler([2**31 - 1])
        sampler.count, sampler.seconds = 0, 0.0
