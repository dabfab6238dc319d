"""A training step of LSM, and transforms of scattered points, each with a plain twin."""

import copy
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from pdeops.domain import Grid
from pdeops.models import PublishedLSM
from pdeops.nn.nonuniform import (
    to_modes,
    to_modes_plain,
    to_points,
    to_points_plain,
    wavenumbers,
)
from pdeops.nn.spectral_block import NeuralSpectralBlock
from pdeops.training.optim import Adam

from .bench import Bench
from .training_step import TrainingStep

GRID, BATCH = Grid((64, 64)), 8
NUM_POINTS, CHANNELS, SAMPLES = 972, 32, 20


class PlainBlock(nn.Module):
    """A spectral block with keys, values and queries at each node."""

    def __init__(self, block: NeuralSpectralBlock) -> None:
        super().__init__()
        self.block = block

    def forward(self, u: Tensor, patches: list[int]) -> Tensor:
        return self.block.plain(u, patches)


def published() -> PublishedLSM:
    """The network of the Navier-Stokes benchmark, 64 channels."""
    torch.manual_seed(0)
    return PublishedLSM(10, 1, GRID, variant="navier_stokes")


def plain(model: PublishedLSM) -> PublishedLSM:
    """A copy with contiguous weights and plain blocks."""
    twin = copy.deepcopy(model).to(memory_format=torch.contiguous_format)
    unet = twin.trunk.unet
    unet.blocks = nn.ModuleList(PlainBlock(block) for block in unet.blocks)  # type: ignore[arg-type]
    unet.register_forward_pre_hook(lambda _, given: (given[0].contiguous(), given[1]))
    return twin


def training(
    model: nn.Module, optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.Adam
) -> TrainingStep:
    """A step on one batch of noise towards zero."""
    x = torch.randn(BATCH, 10, *GRID.shape, generator=torch.Generator().manual_seed(0))
    loss = lambda prediction: prediction.square().mean()  # noqa: E731
    return TrainingStep(model, x, loss, lr=1e-4, optimizer=optimizer)


def recipes_adam(parameters: Iterable[nn.Parameter], lr: float) -> torch.optim.Optimizer:
    """The optimizer that a recipe's `name = "Adam"` makes."""
    return Adam(lr=lr).build(parameters)


class Transforms:
    """To modes and back at random points, with gradients in the field and in the positions."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.x = torch.rand(SAMPLES, 2, NUM_POINTS, generator=generator, requires_grad=True)
        self.u = torch.randn(SAMPLES, CHANNELS, NUM_POINTS, generator=generator, requires_grad=True)
        self.numbers = wavenumbers((24, 24))

    def fast(self) -> Tensor:
        f = to_modes(self.u, self.x, self.numbers)
        return self._gradient(to_points(f, self.x, self.numbers))

    def direct(self) -> Tensor:
        f = to_modes_plain(self.u, self.x, self.numbers)
        return self._gradient(to_points_plain(f, self.x, self.numbers))

    def _gradient(self, y: Tensor) -> Tensor:
        gu, gx = torch.autograd.grad(y.square().mean(), (self.u, self.x))
        return torch.cat([gu.flatten() / gu.norm(), gx.flatten() / gx.norm()])


def transforms(name: str, work: Callable[[Transforms], Tensor]) -> Bench:
    """The fast transforms and the direct sums."""
    return Bench(
        name=name,
        size=f"{SAMPLES} clouds of {NUM_POINTS} points, {CHANNELS} channels, 24 x 12 modes, there "
        "and back with gradients",
        dtype="float32",
        setup=Transforms,
        work=work,
        reference=Transforms.direct,
        work_name="matrix products, one cloud at a time",
        reference_name="direct sums",
        tolerance=3e-4,
        threads=1,  # with more, threads of small products spin while neighbours hold a core
    )


BENCHES = [
    Bench(
        name="lsm_published64",
        size="64 x 64 nodes, batch 8, 64 channels: one training step",
        dtype="float32",
        setup=lambda: (training(model := published(), recipes_adam), training(plain(model))),
        work=lambda sides: sides[0].step(),
        reference=lambda sides: sides[1].step(),
        work_name="PublishedLSM, channels last, absorbed projections, fused Adam",
        reference_name="published equations, contiguous, eager",
        tolerance=1e-3,
        repeats=7,
        threads=1,
    ),
    transforms("lsm_transforms972", Transforms.fast),
]
