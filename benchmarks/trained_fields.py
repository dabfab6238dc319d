"""Trained networks of the same size for `benchmarks.lagrangian --trained`.

Every network has tanh layers of 20 channels: three in a PINN, two and two in an LPINN. The
`Trainer` trains it by Levenberg-Marquardt in float64: 60 steps with 32 x 24 random points each,
from λ = 1 (with 1e-3 the first steps saturate the layers). ε of the causal weights is 0.01. The
weights with the lowest residual at points that are not trained on are kept.
"""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from pdeops.models import LPINN, PINN
from pdeops.nn.space_time_field import SpaceTimeField
from pdeops.tasks.collocation import (
    CollocationPoints,
    CollocationTable,
    HeldOutResidual,
    ResidualLoss,
)
from pdeops.tasks.curriculum import Curriculum
from pdeops.training import checkpoint
from pdeops.training.optim import Constant, GaussNewton
from pdeops.training.options import TrainingOptions
from pdeops.training.trainer import Trainer

from .lagrangian_problems import Problem, Solution

CHANNELS = 20
EPOCHS, STEPS = 12, 5
POINTS, NUM_TIMES = 32, 24
SEED = 0


def train(
    field: SpaceTimeField,
    causality: float = 0.0,
    *,
    curriculum: Curriculum | None = None,
    epochs: int = EPOCHS,
    seed: int = SEED,
    points: int = POINTS,
    times: int = NUM_TIMES,
) -> None:
    """Train a field as `pdeops train` does."""
    table = CollocationTable(points, times, random=True, steps=STEPS, causality=causality)
    data = CollocationPoints(field.double(), table, epochs, seed, curriculum)
    device = torch.device("cpu")
    with TemporaryDirectory() as folder:
        trainer = Trainer(
            field,
            ResidualLoss(causality, curriculum),
            data,
            options=TrainingOptions(epochs=epochs, batch_size=1),
            optimizer=GaussNewton(damping=1.0),
            schedule=Constant(),
            evaluate=HeldOutResidual(data, device, curriculum),
            monitor="residual",
            folder=Path(folder),
            seed=seed,
            device=device,
        )
        if trainer.fit().reason == "interrupted":
            raise SystemExit(130)  # a network that is half trained has no row
        field.load_state_dict(checkpoint.load(trainer.best_path)["model"])


def pinn(p: Problem, *, moving: bool = False, causality: float = 0.0) -> Solution:
    """A PINN, possibly in the moving frame."""
    torch.manual_seed(SEED)
    equation = p.in_moving_frame() if moving else p.equation
    field = PINN(equation, p.u0, 1.0, hidden_channels=CHANNELS, num_layers=3)
    train(field, causality)
    return p.in_fixed_frame(field) if moving else p.of_field(field)


def lpinn(p: Problem, **arguments: Any) -> Solution:
    """An LPINN."""
    torch.manual_seed(SEED)
    two = {"position_layers": 2, "value_layers": 2}
    field = LPINN(p.equation, p.u0, 1.0, hidden_channels=CHANNELS, **two, **arguments)
    train(field)
    return p.of_field(field)


METHODS: dict[str, Callable[[Problem], Solution]] = {
    "PINN": pinn,
    "PINN, causal weights": lambda p: pinn(p, causality=0.01),
    "PINN, moving frame": lambda p: pinn(p, moving=True),
    "LPINN, drift not subtracted": lambda p: lpinn(p, subtract_drift=False),
    "LPINN": lpinn,
}
