"""The problems by name."""

from typing import Any

from ..spec import DatasetSpec
from .burgers import Burgers
from .darcy import Darcy
from .elasticity import Elasticity
from .evolution import EvolutionProblem
from .navier_stokes import NavierStokes
from .poisson import Poisson
from .problem import Generated, Problem, unknown
from .shallow_water import ShallowWater

DATASETS: dict[str, type[Problem]] = {problem.name: problem for problem in (Darcy, Poisson)}
EVOLUTIONS: dict[str, type[EvolutionProblem]] = {
    problem.name: problem for problem in (NavierStokes, Burgers, ShallowWater)
}
# Problems whose samples have points of their own.
ON_POINTS: dict[str, type[Elasticity]] = {problem.name: problem for problem in (Elasticity,)}


def problem_named(name: str, kind: str | None = None, **parameters: Any) -> Generated:
    """The problem with this name and kind (by default the first kind), for `generate`.

    Raises:
        ValueError: the name or kind is unknown; the message lists the choices.
    """
    problems: dict[str, type[Generated]] = {**DATASETS, **EVOLUTIONS, **ON_POINTS}
    if name not in problems:
        raise ValueError(unknown("problem", name, list(problems)))
    return problems[name](kind, **parameters)


def problem_of(spec: DatasetSpec) -> Problem | EvolutionProblem | Elasticity | None:
    """The boundary-value or evolution problem that a data set was generated from; None if it is
    unknown to pdeops."""
    if spec.name in DATASETS:
        return DATASETS[spec.name](spec.kind, **spec.parameters)
    if spec.name in EVOLUTIONS:
        return EVOLUTIONS[spec.name](spec.kind, **spec.parameters)
    if spec.name in ON_POINTS:
        return ON_POINTS[spec.name](spec.kind, **spec.parameters)
    return None
