"""Linear systems with known errors, to train networks inside solvers."""

from .darcy_systems import DarcySystems
from .linear_systems import LinearSystems
from .poisson_systems import PoissonSystems

__all__ = ["SYSTEMS", "DarcySystems", "LinearSystems", "PoissonSystems"]

# Registry of the names in recipes.
SYSTEMS: dict[str, type[LinearSystems]] = {
    "PoissonSystems": PoissonSystems,
    "DarcySystems": DarcySystems,
}
