"""Solving an equation without data: a network is trained on the residual at collocation points."""
# Axes: b batch, t time, c channel, d space, *space nodes, n points.

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..compare.tables import markdown_table
from ..datasets.layouts import native_file
from ..datasets.spec import DatasetSpec
from ..datasets.spec import Field as SpecField
from ..domain import Grid
from ..models import FIELDS
from ..nn.space_time_field import SpaceTimeField
from ..runs.recipe import Choice, choice, table
from ..solvers.evolution.equations.allen_cahn import AllenCahn
from ..solvers.evolution.equations.burgers import Burgers
from ..solvers.evolution.equations.heat import AdvectionDiffusion, Heat
from ..solvers.evolution.equations.navier_stokes import NavierStokes
from ..solvers.evolution.equations.transport import Transport
from ..solvers.evolution.initial import INITIAL
from . import own_models, prediction
from .classical_solution import classical_solution
from .collocation import (
    CollocationPoints,
    CollocationTable,
    HeldOutResidual,
    ResidualLoss,
    random_features,
)
from .curriculum import CurriculumTable, curriculum_of
from .own_models import Models
from .task import Finished, Job, Task, TrainingRecipe

EQUATIONS: dict[str, type[Any]] = {
    "AdvectionDiffusion": AdvectionDiffusion,
    "AllenCahn": AllenCahn,
    "Burgers": Burgers,
    "Heat": Heat,
    "NavierStokes": NavierStokes,
}
KNOWN_EQUATIONS = Models(EQUATIONS, ("grid",), base=Transport)
KNOWN_INITIAL = Models(INITIAL, ("grid",), base=object)
KNOWN_FIELDS = Models(FIELDS, ("equation", "u0", "t_end"))
_NODES = 64  # per axis, of the grid that carries the box of the equation
_EVALUATED = (128, 11)  # nodes per axis and times of `evaluate`


@dataclass(frozen=True)
class DomainTable:
    """The recipe's table [domain]: the periodic box [0, L_1] x ... and the interval [0, t_end].

    Attributes:
        extent: L, one number per axis.
        t_end: end time.
    """

    extent: Sequence[float] = (2 * math.pi,)
    t_end: float = 1.0

    def grid(self) -> Grid:
        """Nodes of the box."""
        return Grid((_NODES,) * len(self.extent), tuple(self.extent), "periodic")


@dataclass(frozen=True)
class FeaturesTable:
    """The recipe's table [features]: random hidden layers, of which only the output is trained.

    Attributes:
        random: draw the hidden layers at random and keep them; then `GaussNewton(damping=0)` is the
            method of random features.
        deviation: standard deviation of the weights of inputs that depend on x.
        time_deviation: that of the weight of t/T.
    """

    random: bool = False
    deviation: float = 2.0
    time_deviation: float = 2.0


@dataclass(frozen=True, kw_only=True)
class EquationRecipe(TrainingRecipe):
    """The recipe of a network that is the solution of an equation."""

    task: ClassVar[str] = "equation"
    sources: ClassVar[tuple[str, ...]] = ("model", "equation", "initial")
    fixed: ClassVar[tuple[str, ...]] = ("domain", "collocation", "features", "curriculum")

    equation: Choice = choice(KNOWN_EQUATIONS, given=KNOWN_EQUATIONS.given)
    domain: DomainTable = table(DomainTable)
    initial: Choice = choice(KNOWN_INITIAL, "Sine", given=KNOWN_INITIAL.given)
    model: Choice = choice(KNOWN_FIELDS, given=KNOWN_FIELDS.given)
    collocation: CollocationTable = table(CollocationTable)
    features: FeaturesTable = table(FeaturesTable)
    curriculum: CurriculumTable = table(CurriculumTable)


@dataclass(frozen=True, repr=False)
class EquationRun:
    """A finished run, the function (x, t) ↦ u.

    Attributes:
        folder: the folder of the run.
        recipe: its resolved recipe.
        field: the network.
    """

    task: ClassVar[str] = "equation"

    folder: Path
    recipe: EquationRecipe
    field: SpaceTimeField

    def __repr__(self) -> str:
        recipe = self.recipe
        return (
            f"EquationRun: {recipe.model.name} for {recipe.equation.name}"
            f"({', '.join(f'{k}={v}' for k, v in recipe.equation.arguments.items())})\n"
            f"  box {' x '.join(f'[0, {L:.6g}]' for L in recipe.domain.extent)}, "
            f"0 <= t <= {recipe.domain.t_end:g}\n  folder {self.folder}"
        )

    @property
    def domain(self) -> Grid:
        """Nodes of the box."""
        return self.field.equation.grid

    def __call__(self, x: Any, t: Any) -> Tensor:
        """u at points x (n, d), or (n,) in one dimension, and times t, a number or (n,).

        Returns (n, c), or (n,) for one channel, in the dtype of the network.

        Raises:
            ValueError: x or t has another shape, or t is outside of [0, t_end].
        """
        parameter = next(self.field.parameters())
        x = torch.as_tensor(x).to(parameter)
        d = self.domain.ndim
        points = x[:, None] if x.ndim == 1 and d == 1 else x
        if points.ndim != 2 or points.shape[1] != d:
            raise ValueError(f"x must be of shape (n, {d}); got {tuple(x.shape)}.")
        times = torch.as_tensor(t).to(parameter)
        if tuple(times.shape) not in ((), (len(points),)):
            raise ValueError(
                f"t must be a number or of shape ({len(points)},); got {tuple(times.shape)}."
            )
        u = self.field(points.T.contiguous(), times.expand(len(points)).contiguous()).T
        return u[:, 0] if u.shape[1] == 1 else u

    def on(self, grid: Grid, times: Sequence[float]) -> Float[Tensor, "t c *space"]:
        """u at the nodes of a grid and these times.

        Raises:
            ValueError: the grid has another number of axes, or a time is outside of [0, t_end].
        """
        points = grid.nodes().flatten(1).T
        frames = [self(points, t).reshape(len(points), -1).T for t in times]
        return torch.stack(frames).unflatten(2, grid.shape)


class EquationTask(Task):
    """Trains on the residual of an equation; evaluates against the classical solver."""

    name = "equation"
    summary = "networks that solve one equation, without data"
    measured = "errors against a resolved classical solution"
    recipe = EquationRecipe
    prediction_options = ("grid", "times")

    def job(self, recipe: EquationRecipe, device: torch.device) -> Job:
        """Collocation points, network and residual; the best weights are those with the lowest
        residual at points that are not trained on."""
        described = {
            name: own_models.describe(getattr(recipe, name)) for name in EquationRecipe.sources
        }
        carry = {
            **described,
            "extent": list(recipe.domain.extent),
            "t_end": recipe.domain.t_end,
            "dtype": recipe.collocation.dtype,
        }
        located = {name: asdict(getattr(recipe, name)) for name in EquationRecipe.sources}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)  # torch's layers initialise from the global generator
            field = self.build({**carry, **located}, None)
        if recipe.features.random:
            draw = torch.Generator().manual_seed(recipe.seed)
            random_features(field, recipe.features.deviation, recipe.features.time_deviation, draw)
        curriculum = curriculum_of(
            recipe,
            field,
            recipe.curriculum,
            recipe.equation,
            lambda easier: KNOWN_EQUATIONS.build(asdict(easier), None, field.equation.grid),
        )
        points = CollocationPoints(
            field, recipe.collocation, recipe.training.epochs, recipe.seed, curriculum
        )
        return Job(
            field,
            ResidualLoss(recipe.collocation.causality, curriculum),
            points,
            HeldOutResidual(points, device, curriculum),
            "residual",
            carry,
        )

    def build(self, carry: Mapping[str, Any], folder: Path | None) -> SpaceTimeField:
        """The network that a checkpoint describes."""
        grid = DomainTable(carry["extent"], carry["t_end"]).grid()
        equation = KNOWN_EQUATIONS.build(carry["equation"], folder, grid)
        u0 = KNOWN_INITIAL.build(carry["initial"], folder, grid)
        model = KNOWN_FIELDS.named(carry["model"], folder)
        if isinstance(equation, NavierStokes) and not model.steps:
            raise ValueError(
                f"{carry['model']['name']} solves equations derived from Transport; got "
                f"NavierStokes. Use NeuralFieldStepper for incompressible flow."
            )
        field = KNOWN_FIELDS.build(carry["model"], folder, equation, u0, carry["t_end"])
        return field.to(CollocationTable(dtype=carry["dtype"]).precision)

    def finished(self, found: Finished, model: nn.Module, recipe: Any) -> EquationRun:
        """An `EquationRun`, a function of points and times."""
        if recipe is None or found.folder is None:
            raise ValueError(
                f"{found.source} lies outside of the folder of its run, which holds the recipe. "
                f"Name the folder that `train` printed."
            )
        assert isinstance(model, SpaceTimeField)
        return EquationRun(found.folder, recipe, model)

    def evaluate(self, run: EquationRun) -> dict[str, Any]:
        """Errors at uniform nodes and times against `classical_solution`, and how it was resolved.

        The relative error at a time at which the solution is 0 is None.

        Raises:
            ValueError: the classical solution does not converge, or is 0 at all times.
        """
        nodes, num_times = _EVALUATED
        grid = run.domain.with_shape(
            (nodes if run.domain.ndim == 1 else nodes // 2,) * run.domain.ndim
        )
        t_end = run.recipe.domain.t_end
        times = [t_end * k / (num_times - 1) for k in range(num_times)]
        reference = classical_solution(run.field.equation, run.field.u0, grid, times)
        error = run.on(grid, times).double() - reference.u
        size = reference.u.square().flatten(1).mean(1).sqrt()
        rms = error.square().flatten(1).mean(1).sqrt()
        return {
            "relative_l2": (rms.square().sum() / size.square().sum()).sqrt().item(),
            "largest_error": error.abs().amax().item(),
            "times": times,
            "error_at_times": [
                (a / b).item() if b else None for a, b in zip(rms, size, strict=True)
            ],
            "reference": reference.text,
        }

    def text(self, report: Mapping[str, Any]) -> str:
        """A Markdown table of the relative error at each time."""
        rows = [
            (f"{t:.4g}", "-" if e is None else f"{e:.3e}")
            for t, e in zip(report["times"], report["error_at_times"], strict=True)
        ]
        means = [
            ("all", f"{report['relative_l2']:.3e}"),
            ("largest absolute error", f"{report['largest_error']:.3e}"),
        ]
        table = markdown_table(("time", "relative L2 error"), [*rows, *means])
        return f"{table}\n\nReference: {report['reference']}."

    def predict(
        self,
        run: EquationRun,
        data: str | Path | None,
        out: str | Path,
        *,
        grid: int = 128,
        times: Sequence[float] | None = None,
    ) -> dict[str, Any]:
        """Write u at `grid` nodes per axis and these times (by default 11) to a data file.

        Raises:
            ValueError: a data file is given, `out` exists, or a time is outside of [0, t_end].
        """
        if data is not None:
            raise ValueError(
                f"A run of the task {self.name!r} needs no data: it is a function of x and t. "
                f"Leave out --data; choose --grid and --times."
            )
        prediction.prepare(out)
        t_end = run.recipe.domain.t_end
        frames = [t_end * k / 10 for k in range(11)] if times is None else list(times)
        nodes = run.domain.with_shape((grid,) * run.domain.ndim)
        u = run.on(nodes, frames)
        recipe = run.recipe
        spec = DatasetSpec(
            name="prediction",
            kind=recipe.equation.name,
            equation=recipe.equation.name,
            fields=(SpecField("u", "state", "u", channels=_components(u.shape[1])),),
            domain=nodes,
            parameters=dict(recipe.equation.arguments),
            seed=None,
            num_samples=1,
            tolerance=math.inf,
            source=f"predicted by {recipe.model.name}, run {run.folder.name}",
            times=tuple(frames),
        )
        native_file.write(Path(out), spec, spec.by_field("state", u[None]))
        return {"out": str(out), "samples": 1, "frames": len(frames), "grid": list(nodes.shape)}


def _components(channels: int) -> tuple[str, ...]:
    """Names of the components of u; none for one channel."""
    return () if channels == 1 else tuple(map(str, range(channels)))
