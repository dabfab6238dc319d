"""The candidates of a study: an operator or a classical method on one grid."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..calculus.norms import Lp, relative_error
from ..datasets.problems.problem import Problem
from ..domain import Grid
from ..domain.transfer import Transfer
from .duel import Row
from .fitted import Fitted
from .methods import ClassicalMethod
from .tables import spread
from .timing import Quartiles


class Inputs:
    """Sample inputs of a problem at the nodes of any grid, cached."""

    def __init__(self, problem: Problem, seed: int) -> None:
        self.problem, self.seed = problem, seed
        self._cache: dict[tuple[Grid, int], Tensor] = {}

    def __call__(self, grid: Grid, index: int) -> Float[Tensor, "c *space"]:
        """Input of sample `index` at the nodes of the grid, float64."""
        if (grid, index) not in self._cache:
            self._cache[grid, index] = self.problem.sample_input(grid, self.seed, index)
        return self._cache[grid, index]


@dataclass
class Candidate(ABC):
    """A method on a grid, with the errors by sample and seconds per solve measured so far."""

    method: str
    grid: Any
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
    device = "cpu"

    @abstractmethod
    def prepare(self, indices: Sequence[int]) -> Any:
        """The inputs of these samples, fields in the method's dtype; not timed."""

    @abstractmethod
    def predict(self, x: Any) -> Tensor:
        """Solutions at the nodes of the test grid."""

    @property
    def set_up(self) -> Callable[[Any], Any] | None:
        """The set-up of a solve for inputs (b, c, *space), without the solution; None if there is
        no set-up."""
        return None

    def error(self, prediction: Tensor, truth: Tensor, norm: Lp) -> Float[Tensor, " b"]:
        """The error of each prediction: relative L2."""
        return relative_error(norm, prediction, truth)

    def record(self, indices: Sequence[int], prediction: Tensor, truth: Tensor, norm: Lp) -> None:
        """Keep the errors of predictions of these samples; infinite if not finite."""
        errors = self.error(prediction, truth, norm)
        errors = torch.where(errors.isfinite(), errors, torch.inf)
        self.errors.update(zip(indices, errors.tolist(), strict=True))

    def row(self) -> Row:
        """The measured figures."""
        return Row(**self.figures())

    def figures(self) -> dict[str, Any]:
        """The attributes of the row, by name."""
        errors = np.array([self.errors[i] for i in sorted(self.errors)])
        seconds = Quartiles.of(self.seconds)
        return {
            "method": self.method,
            "kind": self.kind,
            "grid": self.grid.shape,
            "tolerance": self.tolerance,
            "batch": self.batch,
            "error": float(errors.mean()),
            "error_std": spread(errors.tolist()),
            "error_max": float(errors.max()),
            "seconds": seconds.median,
            "seconds_low": seconds.q1,
            "seconds_high": seconds.q3,
            "setup_seconds": float(np.median(self.setup_seconds)) if self.setup_seconds else None,
            "iterations": float(np.mean(self.iterations)) if self.iterations else None,
            "converged": self.converged,
            "threads": self.threads,
            "dtype": str(self.dtype).removeprefix("torch."),
            "device": self.device,
            "calls": tuple(self.seconds),
            "errors": tuple(errors.tolist()),
        }


@dataclass
class SteadyCandidate(Candidate):
    """A method for a boundary-value problem, whose inputs are fields at the nodes of its grid."""

    transfer: Transfer = field(kw_only=True)
    inputs: Inputs = field(kw_only=True)

    def prepare(self, indices: Sequence[int]) -> Float[Tensor, "b c *space"]:
        return torch.stack([self.inputs(self.grid, i) for i in indices]).to(self.dtype)


@dataclass
class OperatorCandidate(SteadyCandidate):
    """An operator on a grid, applied to batches of inputs."""

    operator: Callable[[Tensor], Tensor] | None = None

    kind = "operator"
    dtype = torch.float32

    def __post_init__(self) -> None:
        self.device, self.dtype = place_of(self.operator)

    def predict(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c_out *out"]:
        assert self.operator is not None
        with torch.no_grad():
            y = self.operator(x).cpu()  # a solve ends with its solution on the CPU
        return self.transfer(y)


def place_of(operator: Any) -> tuple[str, torch.dtype]:
    """The type of the device and the dtype of the parameters of a run; those of a function on
    fields are cpu and float32."""
    network = getattr(operator, "operator", None)
    parameter = next(network.parameters(), None) if isinstance(network, torch.nn.Module) else None
    if parameter is None:
        return "cpu", torch.float32
    return parameter.device.type, parameter.dtype


@dataclass
class FittedCandidate(SteadyCandidate):
    """A surrogate without a network, on the grid of its training data."""

    fitted: Fitted = field(kw_only=True)

    kind = "reduced"

    def __post_init__(self) -> None:
        self.dtype = self.fitted.dtype

    def predict(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c_out *out"]:
        return self.transfer(self.fitted.predict(x))


@dataclass
class ClassicalCandidate(SteadyCandidate):
    """A classical method on a grid with a tolerance, one problem per call."""

    solver: ClassicalMethod | None = None

    kind = "classical"
    dtype = torch.float64

    def predict(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c_out *out"]:
        assert self.solver is not None
        result = self.solver.solve(self.inputs.problem, x[0], self.grid, self.tolerance or 1e-10)
        self.iterations.append(result.iterations)
        self.converged = self.converged and result.converged
        return self.transfer(result.x[None, None])

    @property
    def set_up(self) -> Callable[[Tensor], Any] | None:
        assert self.solver is not None
        set_up = self.solver.set_up
        if set_up is None:
            return None
        return lambda x: set_up(self.inputs.problem, x[0], self.grid)
