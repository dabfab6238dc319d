"""A training step of MgNO, channels last, compared with a plain form of its equations."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pdeops.domain import Grid
from pdeops.losses import LOSSES
from pdeops.models import MgNO, PublishedMgNO
from pdeops.models.operators.mgno_published import PublishedCycle

from .bench import Bench
from .training_step import TrainingStep

GRID = Grid((128, 128))
BATCH = 8


def plain_cycle(cycle: PublishedCycle, f: Tensor, u: Tensor | None = None) -> Tensor:
    """The equations of the published cycle; each sum is a new tensor."""
    for sweep in cycle.before:
        u = sweep.S(f) if u is None else u + sweep.S(f - sweep.A(u))
    if cycle.coarser is not None:
        u = cycle.norm(u + cycle.P(plain_cycle(cycle.coarser, cycle.R(f), cycle.Pi(u))))
    for sweep in cycle.after:
        u = u + sweep.S(f - sweep.A(u))
    return u


def plain_forward(model: PublishedMgNO, x: Tensor) -> Tensor:
    """The value of `model(x)`, computed in the memory format of its weights and of x."""
    u = x
    for layer in model.layers:
        w = layer.norm(plain_cycle(layer.multigrid, u))
        u = F.gelu(w if layer.pointwise is None else w + layer.pointwise(u))
    y = model.head(u)
    return x + y if model.variant.skip else y


def training(
    model: nn.Module, forward: Callable[[nn.Module, Tensor], Tensor] = nn.Module.__call__
) -> TrainingStep:
    """A step on one batch of noise."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, BATCH, 1, *GRID.shape, generator=generator)
    loss = LOSSES["RelativeL2"](GRID)
    return TrainingStep(model, x, lambda prediction: loss(prediction, y), forward=forward)


def published() -> PublishedMgNO:
    """572,661 parameters: 24 channels, 4 layers, 6 levels."""
    torch.manual_seed(0)
    return PublishedMgNO(1, 1, GRID)


def paper(sweeps: tuple[int, int]) -> MgNO:
    """The paper's cycle with the channels, layers and levels of the published network."""
    torch.manual_seed(0)
    return MgNO(1, 1, GRID, hidden_channels=24, n_layers=4, levels=6, sweeps=sweeps)


def plain() -> TrainingStep:
    """The published network, contiguous, in the plain form of its equations."""
    return training(published().to(memory_format=torch.contiguous_format), plain_forward)


def compiled(model: nn.Module) -> TrainingStep:
    graph = torch.compile(model, fullgraph=True)
    return training(model, lambda _, x: graph(x))


PLAIN = "published equations, contiguous, eager"


def bench(
    name: str, setup: Callable[[], TrainingStep], words: str, tolerance: float | None
) -> Bench:
    """One form of training and the plain twin; both start from the same weights."""
    return Bench(
        name=name,
        size=f"{GRID.shape[0]} x {GRID.shape[1]} nodes, batch {BATCH}: one training step",
        dtype="float32",
        setup=lambda: (setup(), plain()),
        work=lambda sides: sides[0].step(),
        reference=lambda sides: sides[1].step(),
        work_name=words,
        reference_name=PLAIN,
        tolerance=tolerance,
        threads=2,
    )


BENCHES = [
    bench("mgno_published128", lambda: training(published()), "PublishedMgNO, channels last", 1e-5),
    bench(
        "mgno_published128_compiled",
        lambda: compiled(published()),
        "PublishedMgNO, channels last, compiled",
        1e-5,
    ),
    bench("mgno_backslash128", lambda: training(paper((1, 0))), "MgNO, sweeps (1, 0)", None),
    bench("mgno_default128", lambda: training(paper((1, 1))), "MgNO, sweeps (1, 1)", None),
]
