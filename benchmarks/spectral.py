"""Spectral convolution and FNO training steps compared with neuraloperator's."""

import contextlib
import io
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from pdeops.domain import Grid
from pdeops.models import FNO
from pdeops.nn.coordinates import position_channels
from pdeops.nn.spectral_conv import SpectralConv

from .bench import Bench

BATCH, WIDTH, LAYERS = 8, 32, 4
THEIR_PARAMETERS = {12: 701_409, 24: 2_569_185}  # by n_modes; checked when the bench is set up


@cache
def neuralop() -> Any:
    """The package, imported without the text that it prints."""
    with contextlib.redirect_stdout(io.StringIO()):
        import neuralop.layers.spectral_convolution
        import neuralop.models
    return neuralop


class Convolutions(NamedTuple):
    """Two implementations of one map, a field, and the gradient of a loss in the result."""

    ours: nn.Module
    theirs: nn.Module
    u: Tensor
    g: Tensor


def convolutions(n: int, n_modes: int) -> Convolutions:
    generator = torch.Generator().manual_seed(0)
    modes = (n_modes, n_modes)
    ours = SpectralConv(WIDTH, WIDTH, modes)
    theirs = neuralop().layers.spectral_convolution.SpectralConv(WIDTH, WIDTH, modes, bias=False)
    weight = torch.view_as_complex(ours.weight.detach().movedim(-2, -1).contiguous())
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.copy_(weight.movedim((-2, -1), (0, 1)))
    u, g = (torch.randn(BATCH, WIDTH, n, n, generator=generator) for _ in range(2))
    # Their code halves modes without conjugate, ours counts them twice; both are set to zero here.
    with torch.no_grad():
        ours.weight[0, 0] = 0
        for parameter in theirs.parameters():
            parameter[:, :, 0, 0] = 0
    return Convolutions(ours, theirs, u, g)


def differentiated(layer: nn.Module, case: Convolutions) -> Tensor:
    """Forward and backward; returns the gradient with respect to the field."""
    layer.zero_grad()
    u = case.u.requires_grad_()
    u.grad = None
    layer(u).backward(case.g)
    assert u.grad is not None
    return u.grad


class Trainings(NamedTuple):
    """Training steps of two models of equal size on the same batch."""

    ours: Callable[[], Tensor]
    theirs: Callable[[], Tensor]


class WithPosition(nn.Module):
    """A model that receives the position channels of our models as further inputs."""

    position: Tensor

    def __init__(self, model: nn.Module, grid: Grid) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("position", position_channels(grid), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(torch.cat([x, self.position.expand(len(x), -1, -1, -1)], dim=1))


def our_fno(n: int, n_modes: int) -> nn.Module:
    grid = Grid((n, n), boundary="periodic")
    modes = (n_modes, n_modes)
    # Their channel MLP is half as wide as the layer.
    return FNO(
        1, 1, grid, n_modes=modes, hidden_channels=WIDTH, n_layers=LAYERS, mlp_channels=WIDTH // 2
    )


def their_fno(n: int, n_modes: int) -> nn.Module:
    grid = Grid((n, n), boundary="periodic")
    model = neuralop().models.FNO(
        n_modes=(n_modes, n_modes),
        in_channels=1 + len(position_channels(grid)),
        out_channels=1,
        hidden_channels=WIDTH,
        n_layers=LAYERS,
        positional_embedding=None,
    )
    return WithPosition(model, grid)


def num_parameters(model: nn.Module) -> int:
    """The number of real parameters; a complex one counts as two."""
    return sum(p.numel() * (2 if p.is_complex() else 1) for p in model.parameters())


def step(model: nn.Module, x: Tensor, y: Tensor) -> Callable[[], Tensor]:
    """A training step: forward, loss, backward, Adam."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def run() -> Tensor:
        optimizer.zero_grad()
        loss = (model(x) - y).square().mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return run


def trainings(n: int, n_modes: int) -> Trainings:
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(BATCH, 1, n, n, generator=generator) for _ in range(2))
    torch.manual_seed(0)
    models = our_fno(n, n_modes), their_fno(n, n_modes)
    assert num_parameters(models[1]) == THEIR_PARAMETERS[n_modes]
    return Trainings(*(step(model, x, y) for model in models))


def convolution_bench(n: int) -> Bench:
    return Bench(
        name=f"spectral_conv{n}",
        size=f"{n} x {n}, {WIDTH} channels, n_modes 24 (24 x 13), batch {BATCH}, and backward",
        dtype="float32",
        setup=lambda: convolutions(n, 24),
        work=lambda case: differentiated(case.ours, case),
        reference=lambda case: differentiated(case.theirs, case),
        work_name="matrix products",
        reference_name="neuraloperator's SpectralConv (FFT)",
        tolerance=1e-5,
        repeats=9 if n > 128 else 21,
        threads=2,
    )


def fno_bench(n: int, n_modes: int) -> Bench:
    # On the meta device the parameters are counted and not allocated.
    with torch.device("meta"):
        ours = num_parameters(our_fno(n, n_modes))
    return Bench(
        name=f"fno{n}",
        size=f"{n} x {n}, width {WIDTH}, {LAYERS} layers, n_modes {n_modes}, batch {BATCH}, "
        "training step with Adam",
        dtype="float32",
        setup=lambda: trainings(n, n_modes),
        work=lambda models: models.ours(),
        reference=lambda models: models.theirs(),
        work_name=f"FNO, {ours:,} parameters",
        reference_name=f"neuraloperator's FNO, {THEIR_PARAMETERS[n_modes]:,} parameters",
        tolerance=None,
        repeats={64: 15, 128: 9}.get(n, 5),
        threads=2,
    )


BENCHES = [
    *(convolution_bench(n) for n in (64, 128, 256)),
    fno_bench(64, 12),
    fno_bench(128, 12),
    fno_bench(211, 24),
]
