"""Runs of networks inside solvers: trained on linear systems without solutions, loaded by name."""

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset

from ..batch import Batch
from ..datasets.systems import SYSTEMS
from ..models import CORRECTIONS
from ..nearest import did_you_mean
from ..runs.recipe import SystemsRecipe
from ..training import checkpoint, distributed
from ..training.objectives import OBJECTIVES
from ..training.optim import OPTIMIZERS, SCHEDULES
from ..training.trainer import Trainer

# Validation and model selection look at this metric; the lower the better.
MONITOR = "contraction"
_HELD_OUT, _STEPS = 64, 8


def assemble(recipe: SystemsRecipe, folder: Path, device: torch.device) -> Trainer:
    """Systems, network and trainer of a recipe."""
    systems = SYSTEMS[recipe.systems.name](**recipe.systems.arguments, seed=recipe.seed)
    carry: dict[str, Any] = {
        "correction": recipe.model.name,
        "arguments": dict(recipe.model.arguments),
        "ndim": systems.ndim,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)  # torch's layers initialise from the global generator
        model = _build(carry)
    objective = OBJECTIVES[recipe.objective.name]
    walk = objective(**{**recipe.objective.arguments, "steps": _STEPS})
    return Trainer(
        model,
        objective(**recipe.objective.arguments),
        systems,
        options=recipe.training,
        optimizer=OPTIMIZERS[recipe.optimizer.name](**recipe.optimizer.arguments),
        schedule=SCHEDULES[recipe.schedule.name](**recipe.schedule.arguments),
        evaluate=_Validation(walk, systems.held_out(_HELD_OUT), device),
        monitor=MONITOR,
        folder=folder,
        seed=recipe.seed,
        device=device,
        carry=carry,
    )


def load_correction(
    source: str | Path, *, weights: str = "best", device: str | torch.device = "cpu"
) -> nn.Module:
    """The trained network of a run folder, of a file, or shipped with the package by name; `on(A)`
    gives it a system.

    Raises:
        ValueError: there is none, or it is a checkpoint of something else.
    """
    path = Path(source)
    if path.is_dir():
        path = path / "checkpoints" / f"{weights}.pt"
    elif not path.is_file():
        path = _shipped(str(source))
    state = checkpoint.load(path, map_location=device)
    if "correction" not in state.get("carry", {}):
        raise ValueError(
            f"{source} is the checkpoint of an operator, not of a network inside a solver. Load it "
            f"with load_run, or train one with a recipe that has a table [systems]."
        )
    model = _build(state["carry"])
    model.load_state_dict(state["model"])
    return model.to(device).eval()


def training_seconds(source: str | Path) -> float | None:
    """How long the training of a run folder, of a file, or of shipped weights took by the clock;
    None where it was not written down."""
    path = Path(source)
    if path.is_dir():
        path = path / "checkpoints" / "last.pt"
    elif not path.is_file():
        path = _shipped(str(source))
    return checkpoint.load(path).get("seconds") if path.is_file() else None


def shipped_weights() -> list[str]:
    """Names of the trained networks inside the package."""
    folder = resources.files("pdeops.weights")
    return sorted(p.name.removesuffix(".pt") for p in folder.iterdir() if p.name.endswith(".pt"))


def _shipped(name: str) -> Path:
    if name not in shipped_weights():
        raise ValueError(
            f"No network {name!r}: neither a run folder, a file, nor a shipped one."
            f"{did_you_mean(name, shipped_weights())} Shipped: {', '.join(shipped_weights())}."
        )
    return Path(str(resources.files("pdeops.weights") / f"{name}.pt"))


def _build(carry: Mapping[str, Any]) -> nn.Module:
    """The network that a checkpoint describes, freshly initialised."""
    return CORRECTIONS[carry["correction"]](carry["ndim"], **carry["arguments"])


class _Validation:
    """By what factor the A-norm of the error falls per step, the mean over eight steps of the
    method on held-out systems."""

    def __init__(self, walk: Any, systems: Dataset, device: torch.device) -> None:
        self.walk, self.systems, self.device = walk, systems, device

    def __call__(self, model: nn.Module) -> Mapping[str, float]:
        total = torch.zeros(2, dtype=torch.float64)
        mine = distributed.my_slice(_HELD_OUT)
        for start in range(mine.start, mine.stop, 8):
            samples = [self.systems[i] for i in range(start, min(start + 8, mine.stop))]
            rates, _ = self.walk.walk(model, Batch.collate(samples).to(self.device))
            total += torch.tensor([rates.mean(0).sum().item(), len(samples)])
        rate, number = distributed.all_reduce_sum(total.tolist(), self.device)
        return {MONITOR: torch.tensor(rate / number).exp().item()}
