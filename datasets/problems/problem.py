"""Base classes of PDE problems with random inputs, for the generation of data sets."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...domain import Boundary, Domain, Grid, Placement
from ...linop import LinearOperator
from ...nearest import did_you_mean
from ...solvers.operators.boundary import with_boundary, without_boundary
from ...solvers.result import SolveResult
from ..ragged import RaggedSizes
from ..spec import DatasetSpec, Field
from .random_fields import sample_generator


class Kind(Protocol):
    """A distribution of inputs: a frozen dataclass whose numeric fields are its parameters.

    Attributes:
        isometric: whether it is invariant under every symmetry of the grid
            (`nn.symmetry.isometries`).
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]
    isometric: ClassVar[bool]

    def sample(self, grid: Any, random: np.random.Generator) -> Tensor:
        """One input (c, *space) in float64, the same function on every grid."""
        ...


@dataclass(frozen=True)
class Solved:
    """A solved sample and its residual.

    Attributes:
        fields: fields by name in float64, with the axes of the variable except the sample axis; on
            points that differ from sample to sample, the `rows` of a `PointSample`. Empty if the
            solver failed.
        residual: the value of `DatasetSpec.measure`; NaN if the solver failed.
        reason: why the solver stopped.
    """

    fields: dict[str, Tensor]
    residual: float
    reason: str


class Generated(ABC):
    """A problem for `generate`: a table of `KINDS` of inputs, and a solver for samples.

    Attributes:
        name: the key in `DATASETS` or `EVOLUTIONS`.
        equation: the equation of the fields, for the file and the card.
        KINDS: name of a kind -> dataclass of its parameters; the first is the default.
        ndim: number of axes of its grids; 0 if samples have points of their own.
        remedy: advice for a sample that misses the tolerance, as a sentence.

    Raises:
        ValueError: the kind or a parameter is unknown (the message lists the choices and the
            nearest one), or a parameter has the wrong type.
    """

    name: ClassVar[str]
    equation: str
    KINDS: ClassVar[dict[str, Any]]
    ndim: ClassVar[int] = 2
    remedy: ClassVar[str]

    def __init__(self, kind: str | None = None, **parameters: Any) -> None:
        self.kind = next(iter(self.KINDS)) if kind is None else kind
        if self.kind not in self.KINDS:
            raise ValueError(unknown(f"kind of {self.name}", self.kind, list(self.KINDS)))
        row = self.KINDS[self.kind]
        types = {f.name: f.type for f in fields(row)}
        for key, value in parameters.items():
            if key not in types:
                what = f"parameter of {self.name} {self.kind}"
                raise ValueError(unknown(what, key, list(types)))
            parameters[key] = _number(key, value, types[key])
        self.inputs: Kind = row(**parameters)

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of the kind, including defaults."""
        return asdict(self.inputs)

    @property
    def isometric(self) -> bool:
        """Whether every symmetry of the grid maps samples to samples."""
        return self.inputs.isometric

    @abstractmethod
    def grid(self, shape: Sequence[int]) -> Domain:
        """The domain of the problem with this many nodes per axis."""

    @abstractmethod
    def check_grid(self, grid: Domain) -> None:
        """Raise a ValueError unless the problem is defined on this grid."""

    @abstractmethod
    def spec(self, grid: Domain, seed: int, num_samples: int) -> DatasetSpec:
        """The spec of a data set of this problem."""

    def _steady_spec(
        self, fields: tuple[Field, ...], grid: Domain, seed: int, num_samples: int
    ) -> DatasetSpec:
        """The spec of a data set of these fields without an axis of time."""
        return DatasetSpec(
            name=self.name,
            kind=self.kind,
            equation=self.equation,
            fields=fields,
            domain=grid,
            parameters=self.parameters,
            seed=seed,
            num_samples=num_samples,
            isometric=self.isometric,
        )

    def sizes(self, spec: DatasetSpec) -> RaggedSizes | None:
        """The numbers of points and cells of all samples, if samples have points of their own; None
        if all share the nodes of the domain."""
        return None

    @abstractmethod
    def solved_sample(self, spec: DatasetSpec, index: int) -> Solved:
        """Draw and solve sample `index` of the data set."""

    def unfit_for_devices(self) -> str | None:
        """Why samples are solved on CPUs alone; None: `solved_together` solves them on a device."""
        return f"{self.name} has no solver for other devices than CPUs"

    def solver_nodes(self, grid: Domain) -> int:
        """Number of nodes on which a sample is solved."""
        return grid.num_nodes

    def solved_together(
        self, spec: DatasetSpec, indices: Sequence[int], device: torch.device
    ) -> list[Solved]:
        """`solved_sample` for several samples, which are drawn on the CPU and solved together on a
        device. The inputs are those of `solved_sample` to the last bit, the solutions to the spec's
        tolerance.

        Raises:
            ValueError: the problem is `unfit_for_devices`.
        """
        raise ValueError(f"{self.unfit_for_devices()}. Use the device cpu.")

    def sample_input(self, grid: Any, seed: int, index: int) -> Float[Tensor, "c *space"]:
        """Input `index` in float64: the same function for every grid, order and worker."""
        return self.inputs.sample(grid, sample_generator(seed, index))


class Problem(Generated):
    """A linear boundary-value problem A(x) u = b(x) with a random input x.

    A subclass is a table of `KINDS` and three methods: `operator`, `rhs` and `solve`.

    Attributes:
        fields: the fields of input and solution.
    """

    fields: ClassVar[tuple[Field, ...]]
    remedy = "Round-off grows with the number of nodes: take fewer per axis."

    @property
    def boundary(self) -> tuple[Boundary, Boundary]:
        """Boundary condition at both ends of each axis."""
        return (Boundary.DIRICHLET, Boundary.DIRICHLET)

    def grid(self, shape: Sequence[int]) -> Any:
        """The unit box with this many nodes per axis, both ends stored: (65, 65) has 63² unknowns
        if all sides are Dirichlet."""
        grid = Grid(shape, boundary=self.boundary if len(shape) == 2 else Boundary.DIRICHLET)
        self.check_grid(grid)
        return grid

    def check_grid(self, grid: Domain) -> None:
        """Raise a ValueError unless the problem is defined on this grid.

        The grid needs two axes with the problem's boundary, stored ends and an interior node.
        """
        if (
            not isinstance(grid, Grid)
            or grid.boundary != self.boundary
            or any(p is not Placement.ENDPOINTS for p in grid.placement)
            or min(grid.shape) < 3
        ):
            x, y = (b.value.capitalize() for b in self.boundary)
            sides = x if x == y else f"{x} (x) and {y} (y)"
            raise ValueError(
                f"{self.name} {self.kind} is solved on 2D grids that store their {sides} boundary, "
                f"with at least 3 nodes per axis; got {grid}. Use {self.name}'s grid((65, 65)), or "
                f"one like it."
            )

    def spec(self, grid: Domain, seed: int, num_samples: int) -> DatasetSpec:
        """The spec of a data set of this problem."""
        return self._steady_spec(self.fields, grid, seed, num_samples)

    def diffusion(self, x: Float[Tensor, "c *space"], grid: Any) -> tuple[Tensor | float, Tensor]:
        """Coefficient a and source f at all nodes, if the equation is -div(a grad u) = f.

        Raises:
            ValueError: it is not.
        """
        raise ValueError(
            f"{self.name} does not state a coefficient and a source of -div(a grad u) = f, so "
            f"guaranteed error bounds are not available. Define its `diffusion`."
        )

    def solved_sample(self, spec: DatasetSpec, index: int) -> Solved:
        """Draw, solve and check sample `index`."""
        assert spec.seed is not None
        assert isinstance(spec.domain, Grid)
        grid = spec.domain
        x = self.sample_input(grid, spec.seed, index)
        # Half the tolerance leaves room for the rounding between the solver's residual and ours.
        solution = self.solve(x, grid, rtol=spec.tolerance / 2)
        y = solution.x[None]
        return Solved(
            spec.by_field("input", x) | spec.by_field("target", y),
            self.residual(x[None], y[None], grid).item(),
            solution.reason,
        )

    def solved_together(
        self, spec: DatasetSpec, indices: Sequence[int], device: torch.device
    ) -> list[Solved]:
        """Draw several samples, solve them together on a device, and check them on the CPU."""
        assert spec.seed is not None
        assert isinstance(spec.domain, Grid)
        grid = spec.domain
        x = torch.stack([self.sample_input(grid, spec.seed, i) for i in indices])
        b = torch.stack([self.rhs(x_i, grid) for x_i in x])
        u = self.unknowns_together(x.to(device), b.to(device), grid, spec.tolerance / 2)
        y = with_boundary(u.cpu(), grid)[:, None]
        reason = f"multigrid and conjugate gradients for {len(x)} samples at once on {device}"
        return [
            Solved(spec.by_field("input", x_i) | spec.by_field("target", y_i), r, reason)
            for x_i, y_i, r in zip(x, y, self.residual(x, y, grid).tolist(), strict=True)
        ]

    def unknowns_together(
        self,
        x: Float[Tensor, "m c *space"],
        b: Float[Tensor, "m *interior"],
        grid: Grid,
        rtol: float,
    ) -> Float[Tensor, "m *interior"]:
        """The unknowns u with |b - A(x) u| <= rtol |b| for several inputs, on the device of x."""
        raise ValueError(f"{self.unfit_for_devices()}. Use the device cpu.")

    @abstractmethod
    def operator(self, x: Float[Tensor, "c *space"], grid: Grid) -> LinearOperator:
        """The discrete operator A for one input, on `grid.interior`."""

    @abstractmethod
    def rhs(self, x: Float[Tensor, "c *space"], grid: Grid) -> Float[Tensor, "*interior"]:
        """The discrete right-hand side b for one input, on `grid.interior`."""

    @abstractmethod
    def solve(self, x: Float[Tensor, "c *space"], grid: Grid, rtol: float = 1e-10) -> SolveResult:
        """The solution of the discrete equation to |b - A u| <= rtol |b|, boundary included."""

    def residual(
        self, x: Float[Tensor, "b c *space"], y: Float[Tensor, "b d *space"], grid: Grid
    ) -> Float[Tensor, " b"]:
        """|b - A u| / |b| of each pair in float64, fields on the physical scale.

        The unknowns are the nodes of `grid.interior`. Values of y on a Dirichlet side are known and
        not used; `boundary_error` measures them. For b = 0 the result is |A u|.
        """
        relative = []
        for x_i, y_i in zip(x.detach().double().cpu(), y.detach().double().cpu(), strict=True):
            b = self.rhs(x_i, grid)
            r = b - self.operator(x_i, grid) @ without_boundary(y_i[0], grid)
            scale = b.norm()
            relative.append(r.norm() / scale if scale > 0 else r.norm())
        return torch.stack(relative) if relative else torch.zeros(0, dtype=torch.float64)


def _number(key: str, value: Any, kind: Any) -> Any:
    """The value as the parameter's type; an int may stand for a float."""
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise ValueError(f"Parameter {key} is of type {kind.__name__}; got {value!r}.")
    return value


def unknown(what: str, got: str, choices: list[str]) -> str:
    """'Unknown kind of darcy: "piecwise". Did you mean "piecewise"? Choices: piecewise, ...'."""
    return f"Unknown {what}: {got!r}.{did_you_mean(got, choices)} Choices: {', '.join(choices)}."
