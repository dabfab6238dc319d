"""What a study times: an operator on a grid, a classical method on a grid."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..datasets.problems.problem import Problem
from ..domain import Grid
from ..domain.transfer import Transfer
from .duel import Row
from .methods import ClassicalMethod


class Inputs:
    """Sample inputs of a problem at the nodes of any grid, kept for the next time."""

    def __init__(self, problem: Problem, seed: int) -> None:
        self.problem, self.seed = problem, seed
        self._kept: dict[tuple[Grid, int], Tensor] = {}

    def __call__(self, grid: Grid, index: int) -> Float[Tensor, "c *space"]:
        """Input of sample `index` at the nodes of the grid, float64."""
        if (grid, index) not in self._kept:
            self._kept[grid, index] = self.problem.sample_input(grid, self.seed, index)
        return self._kept[grid, index]


@dataclass
class Candidate(ABC):
    """One row in the making: call after call it collects errors by sample and seconds per solve."""

    method: str
    grid: Grid
    transfer: Transfer
    inputs: Inputs
    threads: int
    batch: int = 1
    tolerance: float | None = None
    errors: dict[int, float] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    setup_seconds: list[float] = field(default_factory=list)
    iterations: list[int] = field(default_factory=list)
    converged: bool = True

    kind = ""
    dtype = torch.float64

    @abstractmethod
    def predict(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c_out *out"]:
        """Solutions at the nodes of the test grid."""

    def set_up(self, x: Float[Tensor, "b c *space"]) -> bool:
        """Do the set-up of a solve alone; False where it cannot be told apart."""
        return False

    def prepare(self, indices: Sequence[int]) -> Float[Tensor, "b c *space"]:
        """The inputs of these samples as the method takes them; not timed."""
        return torch.stack([self.inputs(self.grid, i) for i in indices]).to(self.dtype)

    def row(self) -> Row:
        """What was measured."""
        errors = np.array([self.errors[i] for i in sorted(self.errors)])
        low, median, high = np.quantile(self.seconds, [0.25, 0.5, 0.75])
        return Row(
            method=self.method,
            kind=self.kind,
            grid=self.grid.shape,
            tolerance=self.tolerance,
            batch=self.batch,
            error=float(errors.mean()),
            error_std=float(errors.std()),
            error_max=float(errors.max()),
            seconds=float(median),
            seconds_low=float(low),
            seconds_high=float(high),
            setup_seconds=float(np.median(self.setup_seconds)) if self.setup_seconds else None,
            iterations=float(np.mean(self.iterations)) if self.iterations else None,
            converged=self.converged,
            threads=self.threads,
            dtype=str(self.dtype).removeprefix("torch."),
        )


@dataclass
class OperatorCandidate(Candidate):
    """An operator on a grid with a batch of inputs."""

    operator: Callable[[Tensor], Tensor] | None = None

    kind = "operator"
    dtype = torch.float32

    def predict(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c_out *out"]:
        assert self.operator is not None
        with torch.no_grad():
            y = self.operator(x).cpu()  # a solve ends when its solution is where the solver's is
        return self.transfer(y)


@dataclass
class ClassicalCandidate(Candidate):
    """A classical method on a grid, to a tolerance, one problem after the other."""

    solver: ClassicalMethod | None = None

    kind = "classical"
    dtype = torch.float64

    def predict(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c_out *out"]:
        assert self.solver is not None
        result = self.solver.solve(self.inputs.problem, x[0], self.grid, self.tolerance or 1e-10)
        self.iterations.append(result.iterations)
        self.converged = self.converged and result.converged
        return self.transfer(result.x[None, None])

    def set_up(self, x: Float[Tensor, "b c *space"]) -> bool:
        assert self.solver is not None
        if self.solver.set_up is None:
            return False
        self.solver.set_up(self.inputs.problem, x[0], self.grid)
        return True
