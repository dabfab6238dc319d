"""Benchmark data: generated (`generate`), read from files of any known format (`open_dataset`),
described."""

if __name__ != "pdeops.datasets":
    raise ImportError(
        f"The folder datasets/ of pdeops was imported as {__name__!r}, because its parent folder "
        f"stands on sys.path (the current directory does by default). It is pdeops.datasets. If "
        f"another package called datasets was meant, run python -P, or start from another folder."
    )

from typing import Any

from .convert import convert
from .darcy import Darcy
from .dataset import FieldDataset, compatible
from .generate import generate
from .inspection import inspect
from .poisson import Poisson
from .problem import Problem, unknown
from .readers import open_dataset
from .spec import DatasetSpec, Field
from .symmetry import DihedralAugmentation

__all__ = [
    "DATASETS",
    "Darcy",
    "DatasetSpec",
    "DihedralAugmentation",
    "Field",
    "FieldDataset",
    "Poisson",
    "Problem",
    "compatible",
    "convert",
    "generate",
    "inspect",
    "open_dataset",
    "problem_named",
    "problem_of",
]

DATASETS: dict[str, type[Problem]] = {problem.name: problem for problem in (Darcy, Poisson)}


def problem_named(name: str, kind: str | None = None, **parameters: Any) -> Problem:
    """The problem of this name and kind (its first one by default).

    Raises:
        ValueError: there is none; the message lists the choices.
    """
    if name not in DATASETS:
        raise ValueError(unknown("problem", name, list(DATASETS)))
    return DATASETS[name](kind, **parameters)


def problem_of(spec: DatasetSpec) -> Problem | None:
    """The problem that a data set was generated from; None if pdeops does not know it."""
    if spec.name not in DATASETS:
        return None
    return problem_named(spec.name, spec.kind, **spec.parameters)
