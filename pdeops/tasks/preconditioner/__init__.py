"""Networks inside iterative solvers: training, loading by name, and evaluation."""

from .learned import NotForCGError, learned_preconditioner, load_preconditioner
from .loading import load_correction
from .run import PreconditionerRecipe, SolverRun
from .task import PreconditionerTask

__all__ = [
    "NotForCGError",
    "PreconditionerRecipe",
    "PreconditionerTask",
    "SolverRun",
    "learned_preconditioner",
    "load_correction",
    "load_preconditioner",
]
