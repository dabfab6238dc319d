"""The candidates of a study on points: an operator, or finite elements on a mesh of some size."""
# Axes: b batch, n points, c channel, d coordinates, p parameters.

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..batch import Batch
from ..calculus.norms import Lp
from ..datasets.problems.elasticity import Elasticity
from ..domain import Points
from .candidates import Candidate
from .duel import Row
from .fitted import Fitted
from .tables import grid_name

# Points of samples, as members of a batch -> fields (b, c, n) on them.
PointOperator = Callable[[Batch], Tensor]


@dataclass(frozen=True)
class PointTruth:
    """The test samples: their geometry, and the reference solution at their points.

    Attributes:
        curves: the void of each sample, as the solver reads it.
        samples: positions, weights and parameters of all samples, as a run reads them.
        domain: the points that differ from sample to sample.
        fields: the reference at the points.
        reference: cells of the mesh of the reference.
        data_error: mean relative error of the solver of the training data.
    """

    curves: Sequence[Any]
    samples: Batch
    domain: Points
    fields: Float[Tensor, "b 1 n"]
    reference: tuple[int, int]
    data_error: float


@dataclass(frozen=True)
class PointRow(Row):
    """The row of a method on points; `grid` are the cells of its mesh, or the number of points."""

    @property
    def place(self) -> str:
        """For example "28×2 cells" or "972 points"."""
        return f"{grid_name(self.grid)} {'cells' if self.kind == 'classical' else 'points'}"


@dataclass
class PointCandidate(Candidate):
    """A method for the solution at the points of the truth; `grid` are the cells of its mesh, or
    the number of points."""

    grid: Any
    truth: PointTruth = field(kw_only=True)

    def record(
        self,
        indices: Sequence[int],
        prediction: Float[Tensor, "b 1 n"],
        truth: Float[Tensor, "b 1 n"],
        norm: Lp,
    ) -> None:
        """Keep the relative errors in L², with the weights of these samples."""
        super().record(indices, prediction, truth, norm.on(points_at(self.truth, indices)))

    def row(self) -> PointRow:
        """The measured figures."""
        return PointRow(**self.figures())


@dataclass
class PointOperatorCandidate(PointCandidate):
    """An operator that reads the points of samples, in batches."""

    operator: PointOperator | None = None
    device: str = "cpu"

    kind = "operator"
    dtype = torch.float32

    def prepare(self, indices: Sequence[int]) -> Any:
        return self.truth.samples[list(indices)]

    def predict(self, x: Any) -> Float[Tensor, "b 1 n"]:
        assert self.operator is not None
        with torch.no_grad():
            return self.operator(x).cpu()


@dataclass
class FittedPointCandidate(PointCandidate):
    """A surrogate without a network, from the parameters of samples to fields at their points."""

    fitted: Fitted = field(kw_only=True)

    kind = "reduced"
    dtype = torch.float32

    def prepare(self, indices: Sequence[int]) -> Float[Tensor, "b p"]:
        return self.truth.samples[list(indices)].parameters.to(self.dtype)

    def predict(self, x: Float[Tensor, "b p"]) -> Float[Tensor, "b 1 n"]:
        return self.fitted.predict(x)


@dataclass
class ElementsCandidate(PointCandidate):
    """Finite elements on a mesh of other cells, from the void to the stress at the points: mesh,
    assembly, sparse LU and recovery."""

    problem: Elasticity | None = None
    order: int = 2

    kind = "classical"

    def prepare(self, indices: Sequence[int]) -> Any:
        return [self.truth.curves[i] for i in indices]

    def predict(self, x: Any) -> Float[Tensor, "b 1 n"]:
        assert self.problem is not None
        results = [self.problem.solve(void, self.grid.shape, self.order) for void in x]
        self.converged = self.converged and all(result.converged for result in results)
        return torch.stack([result.x[None] for result in results])


@dataclass(frozen=True)
class Cells:
    """The size of a mesh or a cloud, in the place of a grid."""

    shape: tuple[int, ...]


def points_at(truth: PointTruth, indices: Sequence[int]) -> Points:
    """The points of some samples, with their weights."""
    points: Any = truth.domain.at(truth.samples[list(indices)])
    return points


def run_on_points(run: Any) -> PointOperator:
    """A finished run as a candidate calls it."""
    from ..tasks.points import located

    return lambda batch: run(**located(batch), batch_size=len(batch.positions))


def solve_point_truth(
    problem: Elasticity, reference: tuple[int, int], *, seed: int, num_samples: int
) -> PointTruth:
    """The reference of samples 0 .. num_samples - 1, by quadratic elements on this many cells."""
    spec = problem.spec(problem.grid(), seed, num_samples)
    curves = [problem.void(seed, i) for i in range(num_samples)]
    points = [problem.points(curve) for curve in curves]
    parameters = np.stack([problem.code(curve) for curve in curves])
    samples = Batch(
        positions=torch.stack([p.nodes() for p in points]),
        weights=torch.stack([p.quadrature() for p in points]),
        parameters=torch.from_numpy(parameters),
    )
    fields = torch.stack([problem.solve(curve, reference).x[None] for curve in curves])
    generated = torch.stack([problem.solve(c, problem.solver_cells).x[None] for c in curves])
    domain: Any = spec.domain
    norm = Lp(2.0, domain=domain.at(samples))
    error = (norm(generated - fields) / norm(fields)).mean().item()
    return PointTruth(curves, samples, domain, fields, reference, error)
