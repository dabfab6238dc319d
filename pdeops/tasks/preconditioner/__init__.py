"""Networks inside iterative solvers: training, loading by name, and what they save."""

from .learned import NotForCGError, learned_preconditioner, load_preconditioner
from .loading import load_correction, training_seconds
from .task import PreconditionerRecipe, PreconditionerTask

__all__ = [
    "NotForCGError",
    "PreconditionerRecipe",
    "PreconditionerTask",
    "learned_preconditioner",
    "load_correction",
    "load_preconditioner",
    "training_seconds",
]
