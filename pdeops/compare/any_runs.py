"""Comparison of finished runs of any kind: which study fits them, and the options of each."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..datasets import problem_of
from ..domain import Points
from ..tasks.own_models import function_at
from .comparison import Comparison
from .error_time import MIN_NODES, check_tolerances
from .learned import compare_learned
from .methods import own_method
from .point_runs import compare_points
from .rollout_runs import compare_rollouts
from .runs import compare_runs
from .shifts import shifts_of
from .stepping_grids import MIN_NODES as MIN_STEPPED
from .timing import Clock


@dataclass(frozen=True)
class Options:
    """What a user chooses of a comparison.

    Attributes:
        num_samples: unseen samples to solve.
        against: classical methods that the verdict also compares with; () if none is named.
        tolerances: of the iterative methods; () for the default ones.
        resolutions: nodes per axis of the operators' and of the classical grids; () for the default
            ones.
        shifted: also compute errors on other distributions of the inputs.
        compiled: also measure each run under `torch.compile`.
        solver: names of the user's classical solvers, file.py:function (`methods.own_method`).
    """

    num_samples: int = 16
    against: Sequence[str] = ()
    tolerances: Sequence[float] = ()
    resolutions: Sequence[int] = ()
    shifted: bool = False
    compiled: bool = False
    solver: Sequence[str] = ()

    def __post_init__(self) -> None:
        check_tolerances(self.tolerances)
        if self.num_samples < 1:
            raise ValueError(f"A comparison needs one sample or more; got {self.num_samples}.")


def compare_any(
    runs: Mapping[str, Any],
    folder: str | Path,
    options: Options,
    progress: Callable[[int, int], None] | None = None,
    clock: Clock | None = None,
) -> Comparison:
    """Compare runs with the classical solvers of their problem, by the study for its kind; without
    such a solver, only with surrogates without a network (`compare_learned`).

    Args:
        progress: called with (calls done, total calls).
        clock: source of the time; by default the clocks of this machine.

    Raises:
        ValueError: the runs differ in problem, grid or kind, or an option does not fit the problem.
    """
    first = next(iter(runs.values()))
    if options.compiled and not isinstance(first.domain, Points):
        runs = {**runs, **{f"{name}, compiled": Compiled(run) for name, run in runs.items()}}
        options = replace(options, compiled=False)
    shared: dict[str, Any] = {
        "folder": folder,
        "num_samples": options.num_samples,
        "progress": progress,
        "clock": clock,
    }
    problems = {name: run.spec and problem_of(run.spec) for name, run in runs.items()}
    lost = [name for name, problem in problems.items() if problem is None]
    if isinstance(first.domain, Points):
        refuse(replace(options, shifted=False), "runs on points")
        known: list[Any] = [problem for problem in problems.values() if problem is not None]
        if options.shifted and known:
            shared["shifts"] = shifts_of(known[0])
        return compare_points(runs, **shared)
    if len(lost) == len(runs):
        refuse(options, "runs on data without a classical solver")
        reason = (
            "the training data name no equation that pdeops can solve. Data made by `pdeops data "
            "generate` do."
        )
        return compare_learned(runs, reason=reason, **shared)
    problem: Any = next(p for p in problems.values() if p is not None)
    rollouts = first.n_out is not None
    if options.shifted:
        shared["shifts"] = shifts_of(problem, longer=first.task == "rollout")
    if rollouts:
        refuse(replace(options, shifted=False, resolutions=()), "runs on trajectories")
        if options.resolutions:
            n = first.domain.shape[0]
            _check_resolutions(options.resolutions, MIN_STEPPED, n)
            shared["scales"] = [m / n for m in options.resolutions]
        return compare_rollouts(runs, **shared)
    if options.resolutions:
        _check_resolutions(options.resolutions, MIN_NODES)
        n, cells = first.domain.shape[0], first.domain.cells[0]
        scales = [(m - n + cells) / cells for m in options.resolutions]
        shared |= {"operator_scales": scales, "classical_scales": scales}
    if options.tolerances:
        shared["tolerances"] = tuple(options.tolerances)
    further = [own_method(function_at(name)) for name in options.solver]
    return compare_runs(runs, against=options.against, further=further, **shared)


def _check_resolutions(resolutions: Sequence[int], low: int, high: float = math.inf) -> None:
    """Raise a ValueError if a number of nodes per axis is out of range."""
    if wrong := [n for n in resolutions if not low <= n <= high]:
        bound = "" if math.isinf(high) else f" and at most {high}, those of the data"
        raise ValueError(
            f"Resolutions are nodes per axis, at least {low}{bound}; got "
            f"{', '.join(map(str, wrong))}."
        )


def refuse(options: Options, what: str) -> None:
    """Raise a ValueError if an option is given that a kind of runs does not have."""
    given = [
        name for name in ("against", "tolerances", "resolutions", "shifted", "compiled", "solver")
        if getattr(options, name)
    ]  # fmt: skip
    if given:
        raise ValueError(
            f"{', '.join(f'--{name}' for name in given)} does not apply to {what}. Leave it out."
        )


class Compiled:
    """A run with its network compiled by `torch.compile` for the grid of the training data.

    Other grids are refused, because each shape is compiled anew.

    Raises:
        ValueError: it does not compile here; the message has the reason.
    """

    def __init__(self, run: Any) -> None:
        self.run = replace(run, operator=torch.compile(run.operator, dynamic=False))
        self.shape = tuple(run.domain.shape)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.run, name)

    def __call__(self, x: Tensor, *given: Any, **options: Any) -> Any:
        if tuple(x.shape[-len(self.shape) :]) != self.shape:
            raise ValueError(f"compiled for the grid {self.shape} only")
        try:
            return self.run(x, *given, **options)
        except RuntimeError as error:  # of Dynamo or of the compiler
            raise ValueError(
                f"torch.compile fails for {self.run.recipe.model.name}: "
                f"{str(error).splitlines()[0]} Leave --compiled out."
            ) from error
