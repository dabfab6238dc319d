"""Training: one readable loop around an objective, resumable bit for bit."""

from .checkpoint import CheckpointError
from .optim import OPTIMIZERS, SCHEDULES
from .options import TrainingOptions
from .record import History
from .trainer import DivergedError, Trainer

__all__ = [
    "OPTIMIZERS",
    "SCHEDULES",
    "CheckpointError",
    "DivergedError",
    "History",
    "Trainer",
    "TrainingOptions",
]
