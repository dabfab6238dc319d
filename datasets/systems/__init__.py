"""Linear systems with known errors, to train networks inside solvers."""

from .darcy_systems import DarcySystems
from .linear_systems import LinearSystems
from .matrix_systems import MatrixSystems
from .poisson_systems import PoissonSystems

__all__ = ["SYSTEMS", "DarcySystems", "LinearSystems", "MatrixSystems", "PoissonSystems"]

# Registry of the names in recipes.
SYSTEMS: dict[str, type[LinearSystems | MatrixSystems]] = {
    "PoissonSystems": PoissonSystems,
    "DarcySystems": DarcySystems,
    "MatrixSystems": MatrixSystems,
}
