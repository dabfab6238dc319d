"""Networks inside iterative solvers, trained on linear systems without their solutions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset

from ...batch import Batch
from ...datasets.systems import SYSTEMS
from ...training import distributed
from .. import own_models, running
from ..task import Finished, Job, Task
from .evaluation import evaluate_systems, to_markdown
from .objectives import OBJECTIVES
from .run import NETWORKS, PreconditionerRecipe, SolverRun

# Metric for validation and model selection; lower is better.
MONITOR = "contraction"
_HELD_OUT, _STEPS = 64, 8


class PreconditionerTask(Task):
    """Trains on systems drawn during training; compares solves with classical methods."""

    name = "preconditioner"
    summary = "networks inside solvers"
    measured = "iterations and seconds against those of every classical preconditioner"
    recipe = PreconditionerRecipe
    loader = "pdeops.load_correction or pdeops.load_preconditioner"
    options = ("systems", "size", "solver")

    def job(self, recipe: PreconditionerRecipe, device: torch.device) -> Job:
        """Systems, network and objective; validation takes eight steps on held-out systems."""
        systems = SYSTEMS[recipe.systems.name](**recipe.systems.arguments, seed=recipe.seed)
        carry = {"model": own_models.describe(recipe.model), "ndim": systems.ndim}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)  # torch's layers initialise from the global generator
            model = self.build({**carry, "model": asdict(recipe.model)}, None)
        objective = OBJECTIVES[recipe.objective.name]
        walk = objective(**{**recipe.objective.arguments, "steps": _STEPS})
        return Job(
            model,
            objective(**recipe.objective.arguments),
            systems,
            Validation(walk, systems, device),
            MONITOR,
            carry,
        )

    def build(self, carry: Mapping[str, Any], folder: Path | None) -> nn.Module:
        """The network for systems with carry["ndim"] axes."""
        return NETWORKS.build(carry["model"], folder, carry["ndim"])

    def finished(self, found: Finished, model: nn.Module, recipe: Any) -> SolverRun:
        """A `SolverRun`, whose `on(A)` returns the network for a system."""
        seconds = running.training_seconds(found.source)
        return SolverRun(found.source, recipe, model, seconds)

    def evaluate(
        self,
        run: SolverRun,
        *,
        systems: int = 8,
        size: int | None = None,
        solver: Sequence[str] = (),
        progress: Callable[[float], None] | None = None,
    ) -> dict[str, Any]:
        """Iterations and seconds of the network and of every classical preconditioner; see
        `evaluation.evaluate_systems`."""
        return evaluate_systems(
            run, num_systems=systems, size=size, solver=solver, progress=progress
        )

    def text(self, report: Mapping[str, Any]) -> str:
        """A Markdown table of the methods."""
        return to_markdown(dict(report))


class Validation:
    """Mean factor by which a step reduces the A-norm of the error, over eight steps of the method
    on held-out systems; and on systems of unseen kinds, where the systems have any."""

    def __init__(self, walk: Any, systems: Any, device: torch.device) -> None:
        self.walk, self.device = walk, device
        self.sets: dict[str, Dataset] = {MONITOR: systems.held_out(_HELD_OUT)}
        unseen = getattr(systems, "held_out_kinds", lambda number: None)(_HELD_OUT)
        if unseen is not None:
            self.sets["contraction_unseen_kinds"] = unseen

    def __call__(self, model: nn.Module) -> Mapping[str, float]:
        return {name: self._mean(model, systems) for name, systems in self.sets.items()}

    def _mean(self, model: nn.Module, systems: Dataset) -> float:
        total = torch.zeros(2, dtype=torch.float64)
        mine = distributed.my_slice(_HELD_OUT)
        collate = getattr(systems, "collate", Batch.collate)
        for start in range(mine.start, mine.stop, 8):
            samples = [systems[i] for i in range(start, min(start + 8, mine.stop))]
            rates, _ = self.walk.walk(model, collate(samples).to(self.device))
            total += torch.tensor([rates.mean(0).sum().item(), len(samples)])
        rate, number = distributed.sum_over_samples(total.tolist(), self.device)
        return torch.tensor(rate / number).exp().item()
