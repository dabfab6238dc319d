"""Training: the loop that minimises an objective; a resumed run is bitwise equal."""

from .checkpoint import CheckpointError
from .learner import DivergedError
from .optim import OPTIMIZERS, SCHEDULES
from .options import TrainingOptions
from .record import History
from .trainer import Trainer

__all__ = [
    "OPTIMIZERS",
    "SCHEDULES",
    "CheckpointError",
    "DivergedError",
    "History",
    "Trainer",
    "TrainingOptions",
]
