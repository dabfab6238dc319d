"""Linear systems with known errors: what networks inside solvers are trained on."""

from .darcy_systems import DarcySystems
from .linear_systems import LinearSystems
from .poisson_systems import PoissonSystems

__all__ = ["SYSTEMS", "DarcySystems", "LinearSystems", "PoissonSystems"]

# The registry that recipes name.
SYSTEMS: dict[str, type[LinearSystems]] = {
    "PoissonSystems": PoissonSystems,
    "DarcySystems": DarcySystems,
}
