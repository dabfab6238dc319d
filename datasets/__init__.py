"""Benchmark data: generation (`generate`), reading of files of known formats (`open_dataset`) and
inspection (`inspect`)."""

if __name__ != "pdeops.datasets":
    raise ImportError(
        f"The folder datasets/ of pdeops was imported as {__name__!r}, because its parent folder "
        f"stands on sys.path (the current directory does by default). It is pdeops.datasets. If "
        f"another package called datasets was meant, run python -P, or start from another folder."
    )

from .compatible import compatible
from .convert import convert
from .dataset import FieldDataset
from .generate.generate import generate
from .inspection import inspect
from .layouts import open_dataset
from .layouts.points_file import PointSample, write_points
from .problems.burgers import Burgers
from .problems.darcy import Darcy
from .problems.evolution import EvolutionProblem
from .problems.navier_stokes import NavierStokes
from .problems.poisson import Poisson
from .problems.problem import Problem
from .problems.registry import DATASETS, EVOLUTIONS, problem_named, problem_of
from .problems.shallow_water import ShallowWater
from .residuals import estimator_of
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
    "PointSample",
    "Poisson",
    "Problem",
    "ShallowWater",
    "Window",
    "compatible",
    "convert",
    "estimator_of",
    "generate",
    "inspect",
    "open_dataset",
    "problem_named",
    "problem_of",
    "write_points",
]
