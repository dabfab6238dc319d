"""Benchmark data: generation (`generate`), reading of files of known formats (`open_dataset`) and
inspection (`inspect`)."""

if __name__ != "pdeops.datasets":
    raise ImportError(
        f"The folder datasets/ of pdeops was imported as {__name__!r}, because its parent folder "
        f"stands on sys.path (the current directory does by default). It is pdeops.datasets. If "
        f"another package called datasets was meant, run python -P, or start from another folder."
    )

from typing import Any

from .compatible import compatible
from .convert import convert
from .dataset import FieldDataset
from .generate.generate import generate
from .inspection import inspect
from .layouts import open_dataset
from .problems.burgers import Burgers
from .problems.darcy import Darcy
from .problems.evolution import EvolutionProblem
from .problems.navier_stokes import NavierStokes
from .problems.poisson import Poisson
from .problems.problem import Generated, Problem, unknown
from .problems.shallow_water import ShallowWater
from .spec import DatasetSpec, Field
from .symmetry import DihedralAugmentation
from .windows import Window

__all__ = [
    "DATASETS",
    "EVOLUTIONS",
    "Burgers",
    "Darcy",
    "DatasetSpec",
    "DihedralAugmentation",
    "EvolutionProblem",
    "Field",
    "FieldDataset",
    "NavierStokes",
    "Poisson",
    "Problem",
    "ShallowWater",
    "Window",
    "compatible",
    "convert",
    "generate",
    "inspect",
    "open_dataset",
    "problem_named",
    "problem_of",
]

DATASETS: dict[str, type[Problem]] = {problem.name: problem for problem in (Darcy, Poisson)}
EVOLUTIONS: dict[str, type[EvolutionProblem]] = {
    problem.name: problem for problem in (NavierStokes, Burgers, ShallowWater)
}


def problem_named(name: str, kind: str | None = None, **parameters: Any) -> Generated:
    """The problem with this name and kind (by default the first kind), for `generate`.

    Raises:
        ValueError: the name or kind is unknown; the message lists the choices.
    """
    problems: dict[str, type[Generated]] = {**DATASETS, **EVOLUTIONS}
    if name not in problems:
        raise ValueError(unknown("problem", name, list(problems)))
    return problems[name](kind, **parameters)


def problem_of(spec: DatasetSpec) -> Problem | EvolutionProblem | None:
    """The boundary-value or evolution problem that a data set was generated from; None if it is
    unknown to pdeops."""
    if spec.name in DATASETS:
        return DATASETS[spec.name](spec.kind, **spec.parameters)
    if spec.name in EVOLUTIONS:
        return EVOLUTIONS[spec.name](spec.kind, **spec.parameters)
    return None
