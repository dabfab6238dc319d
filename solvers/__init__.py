"""Classical solvers: one file for each method and each equation."""

from .cg import cg
from .darcy import solve_darcy
from .diffusion import Diffusion
from .direct import solve_sparse
from .dst import solve_poisson
from .multigrid import Multigrid
from .result import SolveResult

__all__ = [
    "Diffusion",
    "Multigrid",
    "SolveResult",
    "cg",
    "solve_darcy",
    "solve_poisson",
    "solve_sparse",
]
