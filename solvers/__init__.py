"""Classical solvers: one file for each method and each equation."""

from .boundary import with_boundary, without_boundary
from .cg import cg
from .darcy import solve_darcy
from .diffusion import Diffusion
from .direct import solve_sparse
from .dst import solve_poisson
from .laplacian import Laplacian
from .multigrid import Multigrid
from .result import SolveResult

__all__ = [
    "Diffusion",
    "Laplacian",
    "Multigrid",
    "SolveResult",
    "cg",
    "solve_darcy",
    "solve_poisson",
    "solve_sparse",
    "with_boundary",
    "without_boundary",
]
