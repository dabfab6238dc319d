"""A time-dependent equation with a random initial field: what trajectories are generated from."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..grid import Boundary, Grid, Placement
from ..solvers.evolution import Evolution, Trajectory, evolve
from .problem import Generated
from .spec import DatasetSpec, Field


class EvolutionKind(Protocol):
    """A recipe: a frozen dataclass whose fields are numbers, and how it starts.

    Attributes:
        t_end, num_frames: the solution is stored at num_frames equal steps up to t_end.
        dt: largest step of time; shorter where the flow is fast.
        refinement: the solver's grid has this many times the nodes per axis of what is stored.
        num_waves: of the initial field, per axis.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]
    isometric: ClassVar[bool]

    @property
    def t_end(self) -> float: ...

    @property
    def num_frames(self) -> int: ...

    @property
    def dt(self) -> float: ...

    @property
    def refinement(self) -> int: ...

    @property
    def num_waves(self) -> int: ...

    @property
    def extent(self) -> tuple[float, ...]:
        """Side lengths of the periodic box."""
        ...

    def sample(self, grid: Grid, random: np.random.Generator) -> Tensor:
        """One initial field (c, *space) in float64, the same function on every grid."""
        ...


class EvolutionProblem(Generated):
    """u_t = L u + N(u, t) from a random u(0) on a periodic box: u(0) -> u(t_1), .., u(t_m).

    Solved by ETDRK4 in float64 on a grid `refinement` times as fine, whose values at the stored
    nodes are kept, with steps of Courant number 0.5 at most; and again with steps twice as long:
    the difference of both, relative to the solution in L², is stored as the residual. The method is
    of order four, so the error in time is about a fifteenth of it.

    Attributes:
        field: name and description of the one field.
        tolerance: bound of that difference.
    """

    field: ClassVar[tuple[str, str]]
    tolerance: ClassVar[float] = 1e-2
    inputs: EvolutionKind

    @abstractmethod
    def equation_on(self, grid: Grid) -> Evolution:
        """The equation to solve."""

    @property
    def times(self) -> tuple[float, ...]:
        """When the solution is stored."""
        kind = self.inputs
        return tuple(kind.t_end * (i + 1) / kind.num_frames for i in range(kind.num_frames))

    def grid(self, shape: Sequence[int]) -> Grid:
        """The box with this many nodes per axis."""
        grid = Grid(shape, self.inputs.extent, Boundary.PERIODIC)
        self.check_grid(grid)
        return grid

    def check_grid(self, grid: Grid) -> None:
        """Raise a ValueError unless the grid is the kind's box, periodic, left ends stored, and the
        solver's holds the waves of an initial field."""
        if (
            grid.extent != self.inputs.extent
            or set(grid.boundary) != {Boundary.PERIODIC}
            or set(grid.placement) != {Placement.LEFT}
            or min(grid.shape) < 8
        ):
            shape = ", ".join(["64"] * len(self.inputs.extent))
            raise ValueError(
                f"{self.name} {self.kind} is solved on a periodic box of sides "
                f"{self.inputs.extent} with at least 8 nodes per axis; got {grid}. Use "
                f"{self.name}'s grid(({shape},))."
            )
        nodes, needed = min(grid.shape) * self.inputs.refinement, 2 * self.inputs.num_waves + 1
        if nodes < needed:
            raise ValueError(
                f"The initial fields of {self.name} {self.kind} have {self.inputs.num_waves} waves "
                f"per axis, for which the solver needs {needed} nodes; got {nodes} (the grid's, "
                f"times refinement). Use more nodes, a larger refinement, or fewer num_waves."
            )

    def spec(self, grid: Grid, seed: int, num_samples: int) -> DatasetSpec:
        """What a data set of this problem says of itself."""
        name, description = self.field
        return DatasetSpec(
            name=self.name,
            kind=self.kind,
            equation=self.equation,
            fields=(
                Field(f"initial_{name}", "input", f"{description} at t = 0"),
                Field(name, "target", description, times=self.times),
            ),
            grid=grid,
            parameters=self.parameters,
            seed=seed,
            num_samples=num_samples,
            tolerance=self.tolerance,
            isometric=self.isometric,
        )

    def solve(self, u0: Float[Tensor, "c *fine"], grid: Grid, *, courant: float) -> Trajectory:
        """The trajectory on `grid`, of the initial field given on its refinement."""
        fine = grid.refined(self.inputs.refinement)
        dt = self.inputs.dt * courant / 0.5
        result = evolve(self.equation_on(fine), u0[None], self.times, dt=dt, courant=courant)
        stored: Any = (..., *[slice(None, None, self.inputs.refinement)] * grid.ndim)
        result.u = result.u[stored].contiguous()
        return result

    def solved_sample(self, spec: DatasetSpec, index: int) -> tuple[Tensor, Tensor, float, str]:
        """Drawn, solved with both steps, compared."""
        assert spec.seed is not None
        grid = spec.grid
        fine = grid.refined(self.inputs.refinement)
        u0 = self.sample_input(fine, spec.seed, index)
        result, coarse = (self.solve(u0, grid, courant=c) for c in (0.5, 1.0))
        x = self.sample_input(grid, spec.seed, index)
        if not (result.completed and coarse.completed):
            reason = coarse.reason if result.completed else result.reason
            return x, torch.empty(0), float("nan"), reason
        difference = (result.u - coarse.u).norm() / result.u.norm()
        return x, result.u[0].flatten(0, 1), difference.item(), result.reason
