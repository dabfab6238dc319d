"""Base classes of time-dependent problems with random initial fields, for trajectories."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...domain import Boundary, Domain, Grid, Placement
from ...solvers.evolution.evolution import Evolution
from ...solvers.evolution.evolve import evolve
from ...solvers.evolution.trajectory import Trajectory
from ..spec import DatasetSpec, Field
from .problem import Generated, Solved


class EvolutionKind(Protocol):
    """A distribution of initial fields: a frozen dataclass whose fields are numbers.

    Attributes:
        t_end, num_frames: the solution is stored at num_frames equidistant times up to t_end, and
            before them at t_start.
        t_start: end of the warm-up, which is not stored; optional, 0 by default.
        dt: largest time step; steps are shorter if the flow is fast.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]
    isometric: ClassVar[bool]

    @property
    def t_end(self) -> float: ...

    @property
    def num_frames(self) -> int: ...

    @property
    def dt(self) -> float: ...

    def sample(self, grid: Any, random: np.random.Generator) -> Tensor:
        """One initial field (c, *space) in float64, the same function on every grid."""
        ...


class PeriodicKind(EvolutionKind, Protocol):
    """A distribution of initial fields on a periodic box.

    Attributes:
        refinement: the solver's grid has this many times the stored nodes per axis.
        num_waves: number of waves of the initial field per axis.
    """

    @property
    def refinement(self) -> int: ...

    @property
    def num_waves(self) -> int: ...

    @property
    def extent(self) -> tuple[float, ...]:
        """Side lengths of the periodic box."""
        ...


class EvolutionProblem(Generated):
    """u_t = L u + N(u) from a random u(0): trajectories u(t_0), u(t_1), .., u(t_m), one state per
    quantity; t_0 = 0 without a warm-up. L and N do not depend on the time.

    Samples are solved by ETDRK4 in float64 on the solver's grid, with Courant number at most 0.5,
    and again with steps twice as long. The difference of both solutions relative to the solution in
    L², for the field with the largest difference, is stored as the residual. The method has order
    four, so the error in time is about a fifteenth of the residual. After a warm-up, both solutions
    start from the same field at t_0, because the warm-up only draws a field.

    Attributes:
        fields: name, description and units of each quantity.
        time_units: units of `times` and t_end, and their length in the solver's units.
        tolerance: bound of the residual.

    Raises:
        ValueError: the errors of `Generated`, or t_start is negative or not below t_end.
    """

    fields: ClassVar[tuple[tuple[str, str, str], ...]]
    time_units: ClassVar[tuple[str, float]] = ("1", 1.0)
    tolerance: ClassVar[float] = 1e-2
    remedy = "Set dt below the mean of the steps that it took, in the solver's unit of time."
    inputs: EvolutionKind

    def __init__(self, kind: str | None = None, **parameters: Any) -> None:
        super().__init__(kind, **parameters)
        if not 0 <= self.t_start < self.inputs.t_end or self.inputs.num_frames < 1:
            raise ValueError(
                f"{self.name} {self.kind} stores num_frames frames after t_start up to t_end, with "
                f"0 <= t_start < t_end and num_frames >= 1; got t_start {self.t_start:g}, t_end "
                f"{self.inputs.t_end:g}, num_frames {self.inputs.num_frames}."
            )

    @abstractmethod
    def equation_on(self, grid: Any) -> Evolution:
        """The equation to solve, on the solver's grid."""

    def check_domain(self, grid: Domain) -> None:
        """Raise a ValueError unless the nodes are those of the equation's domain; `check_grid` also
        requires that they resolve the initial fields."""
        self.check_grid(grid)

    @abstractmethod
    def solver_grid(self, grid: Any) -> Any:
        """The grid of the solver for fields stored on `grid`."""

    @abstractmethod
    def stored(self, u: Float[Tensor, "*batch_fine"], grid: Any) -> Float[Tensor, "*batch_space"]:
        """The solver's fields at the nodes of `grid`."""

    def diagnostics(
        self, u: Float[Tensor, "b t c *space"], grid: Any
    ) -> dict[str, Float[Tensor, "b t"]]:
        """Integrals of each frame that the equation balances, by name; by default none."""
        return {}

    @property
    def t_start(self) -> float:
        """Time of the first stored frame, the end of the warm-up; 0 for kinds without one."""
        return float(getattr(self.inputs, "t_start", 0.0))

    @property
    def times(self) -> tuple[float, ...]:
        """Times of the stored frames: t_start and num_frames equidistant times up to t_end."""
        start, kind = self.t_start, self.inputs
        span = kind.t_end - start
        return (start, *(start + span * (i + 1) / kind.num_frames for i in range(kind.num_frames)))

    def spec(self, grid: Domain, seed: int, num_samples: int) -> DatasetSpec:
        """The spec of a data set of this problem."""
        return DatasetSpec(
            name=self.name,
            kind=self.kind,
            equation=self.equation,
            fields=tuple(Field(n, "state", d, u) for n, d, u in self.fields),
            domain=grid,
            parameters=self.parameters,
            seed=seed,
            num_samples=num_samples,
            tolerance=self.tolerance,
            isometric=self.isometric,
            time_units=self.time_units[0],
            times=self.times,
        )

    def solve(self, u0: Float[Tensor, "c *fine"], grid: Any, *, courant: float) -> Trajectory:
        """The frames after the first one on `grid`, from the first one on its solver's grid."""
        return self._solve(u0[None], grid, courant)

    def _solve(self, u0: Float[Tensor, "b c *fine"], grid: Any, courant: float) -> Trajectory:
        """`solve` for a batch, on the device of u0; the frames lie on the CPU."""
        times = [t - self.t_start for t in self.times[1:]]
        result = self._evolved(u0, grid, times, courant)
        result.u = self.stored(result.u, grid).cpu()
        return result

    def _evolved(
        self, u0: Float[Tensor, "b c *fine"], grid: Any, times: Sequence[float], courant: float
    ) -> Trajectory:
        equation = self.equation_on(self.solver_grid(grid))
        seconds = [t * self.time_units[1] for t in times]
        dt = self.inputs.dt * courant / 0.5
        return evolve(equation, u0, seconds, dt=dt, courant=courant)

    def solved_sample(self, spec: DatasetSpec, index: int) -> Solved:
        """Draw sample `index`, solve it with both step sizes, and compare the solutions."""
        return self._solved(spec, [index], torch.device("cpu"))[0]

    def solver_nodes(self, grid: Domain) -> int:
        """Number of nodes of the solver's grid."""
        return int(self.solver_grid(grid).num_nodes)

    def _solved(
        self, spec: DatasetSpec, indices: Sequence[int], device: torch.device
    ) -> list[Solved]:
        """The samples, solved as one batch whose steps are those of the fastest flow; without
        fields if the batch could not be solved."""
        assert spec.seed is not None
        grid, seed = spec.domain, spec.seed
        drawn = [self.sample_input(self.solver_grid(grid), seed, i) for i in indices]
        u0 = torch.stack(drawn).to(device)
        if self.t_start > 0:
            warm = self._evolved(u0, grid, [self.t_start], 0.5)
            if not warm.completed:
                return [Solved({}, float("nan"), f"in the warm-up: {warm.reason}")] * len(indices)
            u0 = warm.u[:, 0]
        start = self.stored(u0, grid).cpu()  # what the solver resolves of it, like later frames
        result, coarse = (self._solve(u0, grid, c) for c in (0.5, 1.0))
        if not (result.completed and coarse.completed):
            reason = coarse.reason if result.completed else result.reason
            return [Solved({}, float("nan"), reason)] * len(indices)
        return [
            Solved(
                spec.by_field("state", torch.cat([first[None], frames])),
                max(
                    ((u - v).norm() / u.norm()).item()
                    for u, v in zip(frames.unbind(1), other.unbind(1), strict=True)
                ),
                result.reason,
            )
            for first, frames, other in zip(start, result.u, coarse.u, strict=True)
        ]


class PeriodicProblem(EvolutionProblem):
    """An evolution problem on a periodic box, solved on a grid `refinement` times as fine; the
    values at the stored nodes are kept."""

    inputs: PeriodicKind

    def unfit_for_devices(self) -> str | None:
        """None: the transforms of a periodic box run on every device."""
        return None

    def solved_together(
        self, spec: DatasetSpec, indices: Sequence[int], device: torch.device
    ) -> list[Solved]:
        """The samples as one batch; one after another where the batch could not be solved, to find
        the sample that stopped it."""
        samples = self._solved(spec, indices, device)
        if len(indices) > 1 and not all(s.fields for s in samples):
            return [self._solved(spec, [i], device)[0] for i in indices]
        return samples

    def grid(self, shape: Sequence[int]) -> Grid:
        """The box with this many nodes per axis."""
        grid = Grid(shape, self.inputs.extent, Boundary.PERIODIC)
        self.check_grid(grid)
        return grid

    def check_domain(self, grid: Domain) -> None:
        """Raise a ValueError unless the grid is the kind's periodic box with left ends stored."""
        if (
            not isinstance(grid, Grid)
            or grid.extent != self.inputs.extent
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

    def check_grid(self, grid: Domain) -> None:
        """Raise a ValueError unless the grid is the kind's periodic box with left ends stored, and
        the solver's grid resolves the waves of an initial field."""
        self.check_domain(grid)
        assert isinstance(grid, Grid)
        nodes, needed = min(grid.shape) * self.inputs.refinement, 2 * self.inputs.num_waves + 1
        if nodes < needed:
            raise ValueError(
                f"The initial fields of {self.name} {self.kind} have {self.inputs.num_waves} waves "
                f"per axis, for which the solver needs {needed} nodes; got {nodes} (the grid's "
                f"{min(grid.shape)}, times refinement). Use --resolution "
                f"{math.ceil(needed / self.inputs.refinement)} or more, a finer grid of the solver "
                f"(--set refinement={math.ceil(needed / min(grid.shape))}), or smoother fields "
                f"(--set num_waves={(nodes - 1) // 2})."
            )

    def solver_grid(self, grid: Grid) -> Grid:
        """The grid of the box refined by `refinement`."""
        return grid.refined(self.inputs.refinement)

    def stored(self, u: Float[Tensor, "*batch_fine"], grid: Grid) -> Float[Tensor, "*batch_space"]:
        """The values at the shared nodes."""
        shared: Any = (..., *[slice(None, None, self.inputs.refinement)] * grid.ndim)
        return u[shared].contiguous()
