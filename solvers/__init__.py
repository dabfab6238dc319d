"""Classical solvers: one file for each method and each equation."""

from .allen_cahn import AllenCahn
from .amg import RugeStueben, SmoothedAggregation
from .bicgstab import bicgstab
from .boundary import with_boundary, without_boundary
from .burgers import Burgers, cole_hopf
from .cg import cg
from .chebcb import ChebCB
from .darcy import solve_darcy
from .deep_conjugate_direction import deep_conjugate_direction
from .diagonal import Diagonal
from .diffusion import Diffusion
from .direct import solve_sparse
from .dst import FastPoisson, solve_poisson
from .etdrk4 import ETDRK4
from .evolution import Evolution, Stepper, Trajectory, evolve
from .finite_volume import BurgersFlux, Flux, LinearFlux, solve_conservation_law
from .flexible_cg import flexible_cg
from .ghosts import GhostElimination
from .gray_scott import GrayScott
from .heat import AdvectionDiffusion, Heat
from .hopf_lax import hopf_lax
from .incomplete_cholesky import IncompleteCholesky
from .kdv import KortewegDeVries
from .kuramoto_sivashinsky import KuramotoSivashinsky
from .lanczos import condition
from .laplacian import Laplacian
from .matrix import Matrix
from .minres import minres
from .multigrid import Multigrid, solve_multigrid
from .navier_stokes import NavierStokes
from .pseudospectral import Linear, PseudoSpectral
from .race import RaceResult
from .recognise import recognise
from .relax import Binned, Relaxation
from .result import SolveResult
from .richardson import richardson
from .scipy_krylov import solve_scipy
from .shallow_water import ShallowWater
from .sor import SOR, SSOR, sor, ssor
from .steppers import RK2CN, RK4CN, IMEXEuler
from .tsallis_inf import TsallisINF
from .vector_file import read_vector
from .wave import Wave

__all__ = [
    "ETDRK4",
    "RK2CN",
    "RK4CN",
    "SOR",
    "SSOR",
    "AdvectionDiffusion",
    "AllenCahn",
    "Binned",
    "Burgers",
    "BurgersFlux",
    "ChebCB",
    "Diagonal",
    "Diffusion",
    "Evolution",
    "FastPoisson",
    "Flux",
    "GhostElimination",
    "GrayScott",
    "Heat",
    "IMEXEuler",
    "IncompleteCholesky",
    "KortewegDeVries",
    "KuramotoSivashinsky",
    "Laplacian",
    "Linear",
    "LinearFlux",
    "Matrix",
    "Multigrid",
    "NavierStokes",
    "PseudoSpectral",
    "RaceResult",
    "Relaxation",
    "RugeStueben",
    "ShallowWater",
    "SmoothedAggregation",
    "SolveResult",
    "Stepper",
    "Trajectory",
    "TsallisINF",
    "Wave",
    "bicgstab",
    "cg",
    "cole_hopf",
    "condition",
    "deep_conjugate_direction",
    "evolve",
    "flexible_cg",
    "hopf_lax",
    "minres",
    "read_vector",
    "recognise",
    "richardson",
    "solve_conservation_law",
    "solve_darcy",
    "solve_multigrid",
    "solve_poisson",
    "solve_scipy",
    "solve_sparse",
    "sor",
    "ssor",
    "with_boundary",
    "without_boundary",
]
