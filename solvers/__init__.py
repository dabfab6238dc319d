"""Classical solvers: one file for each method and each equation."""

from .bicgstab import bicgstab
from .boundary import with_boundary, without_boundary
from .cg import cg
from .darcy import solve_darcy
from .diffusion import Diffusion
from .direct import solve_sparse
from .dst import solve_poisson
from .etdrk4 import ETDRK4
from .evolution import Evolution, Stepper, Trajectory, evolve
from .flexible_cg import flexible_cg
from .laplacian import Laplacian
from .matrix import Matrix
from .minres import minres
from .multigrid import Multigrid, solve_multigrid
from .navier_stokes import NavierStokes
from .result import SolveResult
from .richardson import richardson
from .scipy_krylov import solve_scipy
from .steppers import RK2CN, RK4CN, IMEXEuler

__all__ = [
    "ETDRK4",
    "RK2CN",
    "RK4CN",
    "Diffusion",
    "Evolution",
    "IMEXEuler",
    "Laplacian",
    "Matrix",
    "Multigrid",
    "NavierStokes",
    "SolveResult",
    "Stepper",
    "Trajectory",
    "bicgstab",
    "cg",
    "evolve",
    "flexible_cg",
    "minres",
    "richardson",
    "solve_darcy",
    "solve_multigrid",
    "solve_poisson",
    "solve_scipy",
    "solve_sparse",
    "with_boundary",
    "without_boundary",
]
