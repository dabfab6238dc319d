"""Classical solvers: one file for each method and each equation.

Names are resolved on first use, so that a command loads the solvers that it runs and no others.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .choice.choices import choices
    from .choice.rigid import rigid_body_modes
    from .choice.solve import solve
    from .darcy import solve_darcy
    from .direct.dst import FastPoisson, solve_poisson
    from .direct.separable import SeparableInverse
    from .direct.sparse import SparseDirect, solve_sparse
    from .evolution.equations.allen_cahn import AllenCahn
    from .evolution.equations.burgers import Burgers, cole_hopf
    from .evolution.equations.gray_scott import GrayScott
    from .evolution.equations.heat import AdvectionDiffusion, Heat
    from .evolution.equations.kdv import KortewegDeVries
    from .evolution.equations.kuramoto_sivashinsky import KuramotoSivashinsky
    from .evolution.equations.navier_stokes import NavierStokes
    from .evolution.equations.shallow_water import ShallowWater
    from .evolution.equations.transport import Transport
    from .evolution.equations.wave import Wave
    from .evolution.etdrk4 import ETDRK4
    from .evolution.evolution import Evolution
    from .evolution.evolve import evolve
    from .evolution.finite_volume import BurgersFlux, Flux, LinearFlux, solve_conservation_law
    from .evolution.hopf_lax import hopf_lax
    from .evolution.pseudospectral import Linear, PseudoSpectral
    from .evolution.rk4cn import RK4CN
    from .evolution.stepper import Stepper
    from .evolution.trajectory import Trajectory
    from .gaussian_process.interval import solve_on_interval
    from .gaussian_process.mixtures import GaussianMixture, StudentMixture
    from .gaussian_process.rectangle import solve_on_rectangle
    from .gaussian_process.second_order import SecondOrder
    from .krylov.approximate_inverse import ApproximateInverse, FactoredApproximateInverse
    from .krylov.bicgstab import bicgstab
    from .krylov.cg import cg
    from .krylov.deep_conjugate_direction import deep_conjugate_direction
    from .krylov.diagonal import Diagonal
    from .krylov.flexible_cg import flexible_cg
    from .krylov.incomplete_cholesky import IncompleteCholesky
    from .krylov.lanczos import condition
    from .krylov.race import RaceResult
    from .krylov.sor import SOR, SSOR, sor
    from .multigrid.aggregation import AggregationCycle
    from .multigrid.algebraic import AlgebraicMultigrid
    from .multigrid.amg import RugeStueben, SmoothedAggregation
    from .multigrid.ghosts import GhostElimination
    from .multigrid.multigrid import Multigrid
    from .multigrid.multigrid_cg import MultigridCG
    from .operators.boundary import with_boundary, without_boundary
    from .operators.diffusion import Diffusion
    from .operators.laplacian import Laplacian
    from .operators.matrix import Matrix
    from .operators.recognise import recognise
    from .operators.stencil import Stencil, stencil_offsets
    from .result import SolveResult
    from .tuning.chebcb import ChebCB
    from .tuning.linucb import LinUCB
    from .tuning.relax import Binned, Relaxation
    from .tuning.tsallis_inf import TsallisINF
    from .tuning.tuned import Tuned
    from .tuning.tuned_multigrid import TunedMultigrid
    from .vector_file import read_vector

_HOME = {
    "ETDRK4": "evolution.etdrk4",
    "RK4CN": "evolution.rk4cn",
    "SOR": "krylov.sor",
    "SSOR": "krylov.sor",
    "AdvectionDiffusion": "evolution.equations.heat",
    "AggregationCycle": "multigrid.aggregation",
    "AlgebraicMultigrid": "multigrid.algebraic",
    "AllenCahn": "evolution.equations.allen_cahn",
    "ApproximateInverse": "krylov.approximate_inverse",
    "Binned": "tuning.relax",
    "Burgers": "evolution.equations.burgers",
    "BurgersFlux": "evolution.finite_volume",
    "ChebCB": "tuning.chebcb",
    "Diagonal": "krylov.diagonal",
    "Diffusion": "operators.diffusion",
    "Evolution": "evolution.evolution",
    "FactoredApproximateInverse": "krylov.approximate_inverse",
    "FastPoisson": "direct.dst",
    "Flux": "evolution.finite_volume",
    "GaussianMixture": "gaussian_process.mixtures",
    "GhostElimination": "multigrid.ghosts",
    "GrayScott": "evolution.equations.gray_scott",
    "Heat": "evolution.equations.heat",
    "IncompleteCholesky": "krylov.incomplete_cholesky",
    "KortewegDeVries": "evolution.equations.kdv",
    "KuramotoSivashinsky": "evolution.equations.kuramoto_sivashinsky",
    "Laplacian": "operators.laplacian",
    "Linear": "evolution.pseudospectral",
    "LinUCB": "tuning.linucb",
    "LinearFlux": "evolution.finite_volume",
    "Matrix": "operators.matrix",
    "Multigrid": "multigrid.multigrid",
    "MultigridCG": "multigrid.multigrid_cg",
    "NavierStokes": "evolution.equations.navier_stokes",
    "PseudoSpectral": "evolution.pseudospectral",
    "RaceResult": "krylov.race",
    "Relaxation": "tuning.relax",
    "RugeStueben": "multigrid.amg",
    "SecondOrder": "gaussian_process.second_order",
    "SeparableInverse": "direct.separable",
    "ShallowWater": "evolution.equations.shallow_water",
    "SmoothedAggregation": "multigrid.amg",
    "SolveResult": "result",
    "SparseDirect": "direct.sparse",
    "Stencil": "operators.stencil",
    "Stepper": "evolution.stepper",
    "StudentMixture": "gaussian_process.mixtures",
    "Trajectory": "evolution.trajectory",
    "Transport": "evolution.equations.transport",
    "TsallisINF": "tuning.tsallis_inf",
    "Tuned": "tuning.tuned",
    "TunedMultigrid": "tuning.tuned_multigrid",
    "Wave": "evolution.equations.wave",
    "bicgstab": "krylov.bicgstab",
    "cg": "krylov.cg",
    "choices": "choice.choices",
    "cole_hopf": "evolution.equations.burgers",
    "condition": "krylov.lanczos",
    "deep_conjugate_direction": "krylov.deep_conjugate_direction",
    "evolve": "evolution.evolve",
    "flexible_cg": "krylov.flexible_cg",
    "hopf_lax": "evolution.hopf_lax",
    "read_vector": "vector_file",
    "recognise": "operators.recognise",
    "rigid_body_modes": "choice.rigid",
    "solve": "choice.solve",
    "solve_conservation_law": "evolution.finite_volume",
    "solve_darcy": "darcy",
    "solve_on_interval": "gaussian_process.interval",
    "solve_on_rectangle": "gaussian_process.rectangle",
    "solve_poisson": "direct.dst",
    "solve_sparse": "direct.sparse",
    "sor": "krylov.sor",
    "stencil_offsets": "operators.stencil",
    "with_boundary": "operators.boundary",
    "without_boundary": "operators.boundary",
}

__all__ = [
    "ETDRK4",
    "RK4CN",
    "SOR",
    "SSOR",
    "AdvectionDiffusion",
    "AggregationCycle",
    "AlgebraicMultigrid",
    "AllenCahn",
    "ApproximateInverse",
    "Binned",
    "Burgers",
    "BurgersFlux",
    "ChebCB",
    "Diagonal",
    "Diffusion",
    "Evolution",
    "FactoredApproximateInverse",
    "FastPoisson",
    "Flux",
    "GaussianMixture",
    "GhostElimination",
    "GrayScott",
    "Heat",
    "IncompleteCholesky",
    "KortewegDeVries",
    "KuramotoSivashinsky",
    "Laplacian",
    "LinUCB",
    "Linear",
    "LinearFlux",
    "Matrix",
    "Multigrid",
    "MultigridCG",
    "NavierStokes",
    "PseudoSpectral",
    "RaceResult",
    "Relaxation",
    "RugeStueben",
    "SecondOrder",
    "SeparableInverse",
    "ShallowWater",
    "SmoothedAggregation",
    "SolveResult",
    "SparseDirect",
    "Stencil",
    "Stepper",
    "StudentMixture",
    "Trajectory",
    "Transport",
    "TsallisINF",
    "Tuned",
    "TunedMultigrid",
    "Wave",
    "bicgstab",
    "cg",
    "choices",
    "cole_hopf",
    "condition",
    "deep_conjugate_direction",
    "evolve",
    "flexible_cg",
    "hopf_lax",
    "read_vector",
    "recognise",
    "rigid_body_modes",
    "solve",
    "solve_conservation_law",
    "solve_darcy",
    "solve_on_interval",
    "solve_on_rectangle",
    "solve_poisson",
    "solve_sparse",
    "sor",
    "stencil_offsets",
    "with_boundary",
    "without_boundary",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'pdeops.solvers' has no attribute {name!r}; it has {__all__}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
